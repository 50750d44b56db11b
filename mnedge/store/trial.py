"""The mark of an update that is not confirmed: nothing is written that the old program cannot read.

`trial.json` in the data directory names what the old program knows. While it is there a newer one
leaves the schema as it is and gives new jobs the old engine revision. Whoever confirms the update
stops the node, takes the mark away, and starts the node: that start brings the schema up to date.

Root updates, and the node's workers may write there too: whatever they laid in the place of the
mark is not followed, not waited for, and not in the way.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

import msgspec
from msgspec import Struct

from mnedge.durable import read_plain, remove, write_whole

FILE = "trial.json"
MOST_BYTES = 1 << 16
"""No mark of ours comes near."""


class TrialMark(Struct, frozen=True, kw_only=True):
    """What the program that may have to come back can read."""

    schema: int
    engine_revision: int
    program: str = ""
    """Its version, for people."""


LEAST = TrialMark(schema=0, engine_revision=1)
"""What a mark says that cannot be read: hold back all."""


def mark_path(data_dir: str | os.PathLike[str]) -> Path:
    """Return where the mark of a data directory is."""
    return Path(data_dir) / FILE


def read_mark(data_dir: str | os.PathLike[str]) -> TrialMark | None:
    """Return what the old program can read while an update is on trial; None if none is.

    A small file that is seldom there: cheap enough to ask on the loop.
    """
    try:
        content = read_plain(mark_path(data_dir), MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return LEAST
    try:
        return msgspec.json.decode(content, type=TrialMark)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return LEAST


def set_mark(data_dir: str | os.PathLike[str], mark: TrialMark) -> None:
    """Set the mark, durably; it belongs to whom the data belong."""
    path = mark_path(data_dir)
    whose = path.parent.stat()
    owner = (whose.st_uid, whose.st_gid) if os.geteuid() == 0 else None
    _move_folder(path)
    write_whole(path, msgspec.json.encode(mark), owner=owner)


def clear_mark(data_dir: str | os.PathLike[str]) -> None:
    """Take the mark away, durably."""
    path = mark_path(data_dir)
    _move_folder(path)
    remove(path)


def _move_folder(path: Path) -> None:
    """Put a folder aside that stands where the mark belongs; nothing of it is touched."""
    with suppress(FileNotFoundError, NotADirectoryError):
        if stat.S_ISDIR(path.lstat().st_mode):
            path.rename(path.with_name(f".{path.name}.{token_hex(6)}"))


def withheld(revision: int, data_dir: str | os.PathLike[str]) -> int:
    """Return the engine revision of a new job: `revision`, or an older one during a trial."""
    mark = read_mark(data_dir)
    return revision if mark is None else min(revision, mark.engine_revision)
