"""An update that is under way, and what came of the last one: what the disk knows of them.

`trial.json` is written before each step that it names, so whoever finds it goes on from there.
"""

from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from mnedge.config.layout import Layout
from mnedge.durable import remove, write_whole
from mnedge.errors import CorruptError

LAST = "last-update.json"
ASKED_BACK = "go-back"
"""There when somebody asked to go back while the trial runs."""

Phase = Literal["ready", "trying", "confirming", "returning"]
Result = Literal["confirmed", "rolled_back", "abandoned"]

_T = TypeVar("_T")


class TrialUnreadableError(CorruptError):
    """What was written down of an update cannot be read."""

    code = "update.trial_unreadable"


class Party(Struct, frozen=True, kw_only=True):
    """One of the two programs."""

    release: str
    """Its folder's name."""
    version: str
    schema: int
    engine_revision: int
    key: str = ""
    """Names the folder in which the one file unpacks itself; empty if it does not."""


class Trial(Struct, frozen=True, kw_only=True):
    """An update that is not confirmed."""

    token: str
    phase: Phase = "ready"
    old: Party
    new: Party
    data_dir: str
    socket: str
    runs: bool
    """The node ran when the update began: so it has to run after it."""
    boot_id: str
    boots: int = 0
    """How often the machine was started since the switch."""
    before: str = ""
    """Where `previous` led to before."""
    status_before: str = "ok"
    began_at: float = 0.0
    health_timeout_s: float = 60.0
    settle_s: float = 10.0
    why: str = ""
    """What makes it go back."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of an update."""

    token: str
    result: Result
    from_version: str
    to_version: str
    from_release: str
    to_release: str
    runs: bool = True
    """The node runs, or is meant to: nobody had stopped it."""
    well: bool
    """Whoever runs now was seen to be well, if it has to run."""
    why: str = ""
    """Why it went back."""
    unwell: str = ""
    """What is wrong with whoever runs now."""
    at: float = 0.0

    @property
    def good(self) -> bool:
        """Tell whether it is as it was meant."""
        return self.result == "confirmed" and self.well


def read_trial(layout: Layout) -> Trial | None:
    """Return the update that is under way; None if none is.

    Raises: TrialUnreadableError.
    """
    return _read(layout.trial, Trial)


def write_trial(layout: Layout, trial: Trial) -> None:
    """Write it down, durably."""
    write_whole(layout.trial, _encoded(trial))


def end_trial(layout: Layout) -> None:
    """Take the trial away; what came of it was written down."""
    remove(layout.home / ASKED_BACK)
    remove(layout.trial)


def tell_outcome(layout: Layout, outcome: Outcome) -> None:
    """Write down what came of it."""
    write_whole(layout.home / LAST, _encoded(outcome))


def last_outcome(layout: Layout) -> Outcome | None:
    """Return what came of the last update."""
    return _read(layout.home / LAST, Outcome)


def _encoded(value: Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value)) + b"\n"


def _read(path: Path, kind: type[_T]) -> _T | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        raise TrialUnreadableError(
            f"{path} cannot be read: {error}",
            hint="see which release /opt/mnedge/current leads to, then remove that file and "
            "trial.json in the data directory",
        ) from error
