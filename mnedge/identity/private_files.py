"""Files that only their owner may read: written whole, refused when others can read them."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mnedge.durable import write_whole
from mnedge.identity.refusals import KeyFileUnsafeError

FOLDER_MODE = 0o700
FILE_MODE = 0o600


def private_folder(folder: Path) -> Path:
    """Return the folder, made for its owner alone if it was not there."""
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    return folder


def read_private(path: Path) -> bytes | None:
    """Return the content; None if there is no such file.

    Raises: KeyFileUnsafeError if others can read or replace it.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFileUnsafeError(
            f"{path} cannot be opened: {error.strerror}",
            hint="it must be a plain file of the user who runs mnedge, no link",
            details={"path": str(path)},
        ) from None
    with os.fdopen(number, "rb") as file:
        refuse_unsafe(path, os.fstat(file.fileno()))
        return file.read()


def refuse_unsafe(path: Path, found: os.stat_result) -> None:
    """Accept a plain file that nobody but its owner can touch.

    Raises: KeyFileUnsafeError saying what to run.
    """
    details = {"path": str(path), "mode": f"{stat.S_IMODE(found.st_mode):04o}"}
    if not stat.S_ISREG(found.st_mode):
        raise KeyFileUnsafeError(f"{path} is no plain file", details=details)
    if found.st_uid not in (os.geteuid(), 0):
        raise KeyFileUnsafeError(
            f"{path} belongs to user {found.st_uid}",
            hint=f"chown {os.geteuid()} {path}",
            details=details,
        )
    if found.st_mode & 0o077:
        raise KeyFileUnsafeError(
            f"{path} has mode {details['mode']}, so others may read it",
            hint=f"chmod 600 {path}; if others did read it, delete it: a new one is made",
            details=details,
        )


def write_private(path: Path, content: bytes) -> None:
    """Write the file whole and durably, for its owner alone."""
    private_folder(path.parent)
    write_whole(path, content, FILE_MODE)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be the only process inside this block for that lock file."""
    private_folder(path.parent)
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)
