"""What the kernel tells about processes, read from /proc."""

import os
from collections.abc import Iterator
from typing import NamedTuple

TOKEN = "MNEDGE_LAUNCH"  # noqa: S105
"""Variable that names the launch a process belongs to, in its environment."""
_TOKEN_START = f"{TOKEN}=".encode()


class Stat(NamedTuple):
    """State letter (`Z`: ended, not reaped), parent and session of a process."""

    state: str
    parent: int
    session: int


def stat_of(pid: int) -> Stat | None:
    """Return what the kernel says of the process; None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # The name stands in parentheses and may hold anything, parentheses too.
    state, parent, _, session = text[text.rindex(b")") + 2 :].split(b" ", 4)[:4]
    return Stat(state.decode(), int(parent), int(session))


def token_of(pid: int) -> str | None:
    """Return the launch token in the process's environment; None without, or if it is secret."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            text = file.read()
    except OSError:
        return None
    place = 0 if text.startswith(_TOKEN_START) else text.find(b"\0" + _TOKEN_START) + 1
    if place == 0 and not text.startswith(_TOKEN_START):
        return None
    start = place + len(_TOKEN_START)
    return os.fsdecode(text[start : text.find(b"\0", start)])


def running_tokens() -> Iterator[tuple[int, str]]:
    """Yield process id and token of every process that carries one, ourselves left out."""
    own = os.getpid()
    for pid in _all():
        if pid != own and (token := token_of(pid)) is not None:
            yield pid, token


def children() -> list[int]:
    """Return our children, ended ones that nobody reaped included.

    Under heavy starting and ending the kernel may leave one out; a later look has it.
    """
    own = os.getpid()
    try:
        with open(f"/proc/{own}/task/{own}/children", "rb") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return [pid for pid in _all() if (stat := stat_of(pid)) is not None and stat.parent == own]


def descendants(pid: int) -> list[int]:
    """Return all processes below this one, as they are just now."""
    below: dict[int, list[int]] = {}
    for other in _all():
        if (stat := stat_of(other)) is not None:
            below.setdefault(stat.parent, []).append(other)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        kin = below.get(waiting.pop(), [])
        found += kin
        waiting += kin
    return found


def _all() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
