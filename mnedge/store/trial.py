"""The mark of an update that is not confirmed: nothing is written that the old program cannot read.

`trial.json` in the data directory names what the old program knows. While it is there a newer one
leaves the schema as it is and gives new jobs the old engine revision. Whoever confirms the update
stops the node, takes the mark away, and starts the node: that start brings the schema up to date.
"""

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from mnedge.durable import remove, write_whole

FILE = "trial.json"


class TrialMark(Struct, frozen=True, kw_only=True):
    """What the program that may have to come back can read."""

    schema: int
    engine_revision: int
    program: str = ""
    """Its version, for people."""


LEAST = TrialMark(schema=0, engine_revision=1)
"""What a mark says that cannot be read: hold back all."""


def trial_path(data_dir: str | os.PathLike[str]) -> Path:
    """Return where the mark of a data directory is."""
    return Path(data_dir) / FILE


def read_trial(data_dir: str | os.PathLike[str]) -> TrialMark | None:
    """Return what the old program can read while an update is on trial; None if none is.

    A small file that is seldom there: cheap enough to ask on the loop.
    """
    try:
        content = trial_path(data_dir).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return LEAST
    try:
        return msgspec.json.decode(content, type=TrialMark)
    except msgspec.DecodeError:
        return LEAST


def begin_trial(data_dir: str | os.PathLike[str], trial: TrialMark) -> None:
    """Set the mark, durably; it belongs to whom the data belong."""
    path = trial_path(data_dir)
    whose = path.parent.stat()
    owner = (whose.st_uid, whose.st_gid) if os.geteuid() == 0 else None
    write_whole(path, msgspec.json.encode(trial), owner=owner)


def end_trial(data_dir: str | os.PathLike[str]) -> None:
    """Take the mark away, durably."""
    remove(trial_path(data_dir))


def withheld(revision: int, data_dir: str | os.PathLike[str]) -> int:
    """Return the engine revision of a new job: `revision`, or an older one during a trial."""
    trial = read_trial(data_dir)
    return revision if trial is None else min(revision, trial.engine_revision)
