"""Named places where a test makes the program die, fail or hang.

`MNEDGE_FAULT="name:ordinal:action"`, several separated by commas, is read when the process starts.
The ordinal counts the visits of that place from 1; `3+` means the third and all later ones.
Actions: `kill` (SIGKILL to this process), `raise` (InjectedFaultError), `enospc` (OSError as from a
full disk), `hang` (this thread stops for ever).
"""

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from mnedge.errors import UsageError

FAULT_POINTS: dict[str, str] = {
    "journal.append.before": "a batch of facts is about to be written; nothing of it is on disk",
    "journal.append.during": "inside the transaction: rows are written, the commit has not begun",
    "journal.append.after": "the batch is durable; nobody was told yet",
    "journal.snapshot.before": "a snapshot is about to be written",
    "journal.snapshot.after": "the snapshot is durable; nobody was told yet",
    "journal.compact.after": "old facts are gone; nobody was told yet",
    "blob.put.before_rename": "the content is durable under a temporary name",
    "blob.put.after_rename": "the content has its name; nobody was told yet",
    "table.put.after": "a row of the table is durable; nobody was told yet",
    "spawn.before": "an attempt is staged; its process does not exist",
    "spawn.after": "the process of an attempt runs; nobody was told yet",
    "attempt.answered": "an attempt ended; its fact has not entered the inbox",
    "publish.before": "facts are durable; none of their events is in the run folder",
    "publish.during": "a part of the events is in the run folder",
    "publish.after": "all events are in the run folder; the watermark was not moved",
    "runs.rename.before": "a file of the run folder is complete under a temporary name",
    "runs.rename.after": "the file has its name",
    "coordinator.apply": "a fact is about to be applied; `raise` makes it a poison",
    "coordinator.commands.before": "facts are durable; none of their commands was carried out",
    "finish.before": "the job is over in the journal; its record does not say so",
    "finish.after": "the record says that the job is over; the run folder is complete",
}
"""Every place of a job's life, with what is true when it is reached."""

UPDATE_POINTS: dict[str, str] = {
    "update.fetched": "the new file is complete and verified, under a temporary name",
    "update.placed": "the new release stands beside the old one; nothing else changed",
    "update.ready": "it works here, and the trial is written down; nothing is switched",
    "update.marked": "the data bear the mark of the trial; nothing is switched",
    "update.trying": "the trial says that the switch may have been made; it was not yet",
    "update.switched": "`current` leads to the new release; the old program still runs",
    "update.stopped": "the old program has ended; the new one was not started",
    "update.started": "the new program was started; nobody asked it yet",
    "update.confirming": "it is well, and the trial says so; the mark is still on the data",
    "update.released": "the mark is gone from the data; the trial is still written down",
    "update.pruned": "releases that nobody needs are gone; the trial is still written down",
    "update.returning": "it is not well, and the trial says so; nothing is switched back",
    "update.returned": "`current` leads to the old release again; which was not started",
    "update.revived": "the old program was started again; the trial is still written down",
    "update.told": "what came of it is written down, and the trial as well",
}
"""Every place of an update."""
POINTS = FAULT_POINTS | UPDATE_POINTS

ACTIONS = ("kill", "raise", "enospc", "hang")
UNSAFE_FLAGS = {
    "journal_first_off": "act before the facts are durable: crash tests must then fail",
    "fencing_off": "what a stale owner writes counts, and what a stale launch answers",
    "dedupe_off": "what is heard twice counts twice: requests, messages from outside",
}
"""Promises that `MNEDGE_UNSAFE` switches off, to prove that tests guard them.

The engine reads no environment: where its part of a promise is meant, the simulation gives the
coordinator an `apply` without it (`tests/simulation/unsafe.py`).
"""


class InjectedFaultError(Exception):
    """A test asked for this failure by name."""


class FaultInvalidError(UsageError):
    """`MNEDGE_FAULT` or `MNEDGE_UNSAFE` asks for something that does not exist."""

    code = "fault.invalid"


class Fault(Struct, frozen=True):
    """What happens at one place, from visit `first` on, or at that visit only."""

    point: str
    first: int
    action: str
    lasting: bool = False


_armed: dict[str, list[Fault]] = {}
_visits: dict[str, int] = {}
_counting = threading.Lock()


def hit(point: str) -> None:
    """Say that the place is reached; nothing happens unless a test armed it."""
    if _armed:
        _visit(point)


def flag(name: str) -> bool:
    """Tell whether `MNEDGE_UNSAFE` names this promise; never in a frozen executable.

    Raises: FaultInvalidError for a name that `UNSAFE_FLAGS` lacks.
    """
    if name not in UNSAFE_FLAGS:
        raise FaultInvalidError(
            f"no unsafe flag is called {name!r}; there are: {_list(UNSAFE_FLAGS)}"
        )
    if getattr(sys, "frozen", False):
        return False
    return name in os.environ.get("MNEDGE_UNSAFE", "").split(",")


def parse(text: str) -> list[Fault]:
    """Return what the text asks for.

    Raises: FaultInvalidError naming the part that cannot be understood.
    """
    return [_fault(part) for part in text.split(",") if part.strip()]


def arm(text: str) -> None:
    """Replace all armed faults by those of the text, and count visits from 1 again."""
    faults = parse(text)
    with _counting:
        _armed.clear()
        _visits.clear()
        for fault in faults:
            _armed.setdefault(fault.point, []).append(fault)


@contextmanager
def armed(text: str) -> Iterator[None]:
    """Have the faults armed inside the block, and none after it."""
    arm(text)
    try:
        yield
    finally:
        arm("")


def _visit(point: str) -> None:
    if point not in POINTS:
        raise FaultInvalidError(f"no fault point is called {point!r}; there are: {_list(POINTS)}")
    with _counting:
        visit = _visits[point] = _visits.get(point, 0) + 1
        due = [
            f for f in _armed.get(point, ()) if visit == f.first or (f.lasting and visit > f.first)
        ]
    if due:
        _carry_out(due[0], visit)


def _carry_out(fault: Fault, visit: int) -> None:
    match fault.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "enospc":
            raise OSError(errno.ENOSPC, f"no space left on device (injected at {fault.point})")
        case "hang":
            threading.Event().wait()
        case _:
            raise InjectedFaultError(f"injected at visit {visit} of {fault.point}")


def _fault(part: str) -> Fault:
    point, _, rest = part.strip().partition(":")
    ordinal, _, action = rest.partition(":")
    number = ordinal.removesuffix("+")
    if point not in POINTS:
        raise FaultInvalidError(
            f"MNEDGE_FAULT: no fault point is called {point!r}",
            hint=f"there are: {_list(POINTS)}",
        )
    if not number.isdecimal() or int(number) < 1:
        raise FaultInvalidError(
            f"MNEDGE_FAULT: {part.strip()!r} needs a visit number from 1 after the name",
            hint="write name:ordinal:action, for example journal.append.during:2:kill",
        )
    if action not in ACTIONS:
        raise FaultInvalidError(
            f"MNEDGE_FAULT: no action is called {action!r}", hint=f"there are: {_list(ACTIONS)}"
        )
    return Fault(point, int(number), action, ordinal.endswith("+"))


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def _arm_from_environment() -> None:
    text = os.environ.get("MNEDGE_FAULT", "")
    if not text:
        return
    try:
        arm(text)
    except FaultInvalidError as error:
        raise SystemExit(f"{error.message}\n{error.hint}") from None


_arm_from_environment()
