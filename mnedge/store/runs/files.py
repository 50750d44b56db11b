"""Where a run folder lies, and how its JSON files are written: whole or not at all."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mnedge import durable, faults
from mnedge.errors import ConflictError, UsageError
from mnedge.model.ids import is_run_id
from mnedge.store.runs.bounds import encode

TEMPORARY = ".part"
"""Ending of a file that is not complete yet."""
READ_LIMIT_BYTES = 256 << 20


class RunIdInvalidError(UsageError):
    """The run id cannot name a folder below the runs root."""

    code = "run_store.run_id_invalid"


class RunExistsError(UsageError):
    """A finished run of that id is kept already."""

    code = "run_store.run_exists"


class RunTakenError(ConflictError):
    """Somebody else has opened the run folder since."""

    code = "run_store.run_taken"


class Stamp(NamedTuple):
    """What tells a file from one that somebody replaced or wrote to."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int


def run_folder_path(root: Path, run_id: str) -> Path:
    """Return where the run is kept; it never lies outside of the root.

    Raises: RunIdInvalidError.
    """
    if not is_run_id(run_id):
        raise RunIdInvalidError(
            f"{run_id!r} cannot be a run id",
            hint="a run id begins with a letter or digit and holds letters, digits and _ . : -",
        )
    folder = root / run_id
    if folder.is_symlink():
        raise RunIdInvalidError(
            f"the run folder {folder} is a link to somewhere else",
            hint="choose another run id, or remove the link",
        )
    return folder


def stamp_of(path: Path) -> Stamp | None:
    """Return the stamp of a plain file, or None if there is none."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return as_stamp(found)


def as_stamp(found: os.stat_result) -> Stamp:
    """Return what of a file's status tells that it is still the same."""
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def pretty(content: Any) -> bytes:
    """Return JSON for people: sorted keys, indented by two, with a newline at the end."""
    return msgspec.json.format(encode(content), indent=2) + b"\n"


def replace_file(path: Path, content: bytes, *, durably: bool = False) -> Stamp:
    """Put a complete file in the place of whatever is there.

    `durably`: a power cut leaves the old or the new content; else it may leave an empty file.
    Raises: OSError.
    """
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        if durably:
            os.fsync(file.fileno())
        written = os.fstat(file.fileno())
    faults.hit("runs.rename.before")
    if path.is_dir() and not path.is_symlink():
        _move_aside(path)
    os.replace(temporary, path)
    faults.hit("runs.rename.after")
    return as_stamp(written)


_OURS = re.compile(
    r"\.(?:(?:run|config|inputs|job|result|final_artifact|timeline|observability_summary)\.json"
    r"|(?:events|errors|timeline|logs|human)\.(?:\d+\.)?(?:jsonl|index\.json)"
    r"|workflow_state\.json|human\.heard\.json|holder\.json)" + re.escape(TEMPORARY)
)


def remove_temporaries(folder: Path) -> None:
    """Remove what `replace_file` left when it was interrupted.

    Raises: OSError.
    """
    for path in folder.glob(f".*{TEMPORARY}"):
        if _OURS.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _move_aside(folder: Path) -> None:
    """Make room where a worker left a folder under the name of one of our files."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    folder.rename(aside)


def open_to_read(path: Path) -> int | None:
    """Return a descriptor of a file, or None if it cannot be opened; a link is not followed."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None


def read_plain(path: Path, *, limit_bytes: int = READ_LIMIT_BYTES) -> bytes | None:
    """Return what a file holds, or None if it is missing, too large or not a plain file.

    Workers write to run folders: a link or a pipe in the place of a file is not followed.
    """
    try:
        return durable.read_plain(path, limit_bytes)
    except OSError:
        return None


def read_json(path: Path) -> Any:
    """Return what a JSON file holds, or None if it is missing, no plain file, or no JSON."""
    content = read_plain(path)
    if content is None:
        return None
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def sync_paths(paths: Iterable[Path]) -> None:
    """Return when the content of these files and folders is on the disk; missing ones are skipped.

    Raises: OSError.
    """
    for path in paths:
        try:
            file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            os.fsync(file)
        finally:
            os.close(file)
