"""Interpreters of workers: the machine's own, and the one that came with a frozen mnedge.

The machine's comes first: its administrator put libraries beside it. Looks along PATH, starts
nothing. Source: worker contract 3.6.
"""

import os
import shlex
from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct

from mnedge.hot.spawn import find_program

OLDEST = (3, 11)
UNVERSIONED = ("python3", "python")
"""Names that ask for no certain version: whatever is new enough is meant."""
ALTERNATIVES = ("python3", "python3.11", "python3.12", "python3.13", "python3.14", "python")
"""What stands in for an interpreter that is not there, if it is new enough."""


class Interpreter(Struct, frozen=True):
    """A real Python on this machine."""

    path: str
    version: str
    """As `python --version` says it: `Python 3.11.9`."""

    @property
    def number(self) -> tuple[int, ...]:
        """The version as numbers."""
        parts = self.version.removeprefix("Python ").split(".")
        return tuple(int(part) for part in parts if part.isdecimal())

    @property
    def is_new_enough(self) -> bool:
        """Tell whether payloads may expect it."""
        return self.number >= OLDEST


class Brought(NamedTuple):
    """The interpreter that came with this program."""

    path: str
    is_only: bool
    """The machine has no `python3`: this one is last on the PATH of workers."""

    @property
    def folder(self) -> str:
        """Where it stands, with links of its other names."""
        return os.path.dirname(self.path)

    def within(self, command: str) -> str:
        """Return the shell command with the interpreter on PATH, which a login shell sets anew."""
        if not self.is_only:
            return command
        return f'export PATH="$PATH":{shlex.quote(self.folder)}; {command}'


def brought_along(
    host: Mapping[str, str], path: str | None
) -> tuple[dict[str, str], Brought | None]:
    """Return what workers see of the host, and the interpreter at `path`, if one came along.

    Last on the PATH it takes nothing away: should the machine get a Python, that one is meant.
    """
    if path is None:
        return dict(host), None
    brought = Brought(path, is_only=found("python3", host) is None)
    if not brought.is_only:
        return dict(host), brought
    places = [host.get("PATH", os.defpath), brought.folder]
    return {**host, "PATH": os.pathsep.join(filter(None, places))}, brought


def found(name: str, environment: Mapping[str, str]) -> str | None:
    """Return the program of this name, or None."""
    try:
        return find_program(name, environment, "/")
    except OSError:
        return None
