"""Files and links that are changed in one moment, and stay changed when the power goes.

A folder may be one that others write to: no link that they laid there is followed.
"""

import errno
import os
import stat
from contextlib import suppress
from hashlib import file_digest
from pathlib import Path
from secrets import token_hex


def read_plain(path: Path, most_bytes: int) -> bytes:
    """Return the content of a plain file, which others may have exchanged for anything else.

    Raises: OSError, for a link, a pipe, a device or a folder and for what is larger as well.
    """
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(number, "rb") as file:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(path))
        if found.st_size > most_bytes:
            raise OSError(errno.EFBIG, f"it is larger than {most_bytes} bytes", str(path))
        return file.read(found.st_size)  # as much is allocated as is asked for


def write_whole(
    path: Path, content: bytes, mode: int = 0o644, owner: tuple[int, int] | None = None
) -> None:
    """Write the file: afterwards it is the new one whole, or as it was.

    `owner`: user and group that it is given to; None: it is ours.
    """
    unfinished = _beside(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(unfinished, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    to_disk(path.parent)


def switch(link: Path, target: str) -> None:
    """Let the link lead to the target; an empty one takes it away."""
    if not target:
        remove(link)
        return
    unfinished = _beside(link)
    unfinished.symlink_to(target)
    try:
        unfinished.replace(link)
    finally:
        unfinished.unlink(missing_ok=True)
    to_disk(link.parent)


def remove(path: Path) -> None:
    """Take a file or link away, durably; one that is not there is gone already."""
    with suppress(FileNotFoundError, NotADirectoryError):
        path.unlink()
        to_disk(path.parent)


def to_disk(path: Path) -> None:
    """Let a file or folder reach the disk."""
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sha256_of(path: Path) -> str:
    """Return the hash of a file's content."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _beside(path: Path) -> Path:
    """Return a name that nobody has or guesses: what killed processes left stays out of the way."""
    return path.with_name(f".{path.name}.{token_hex(6)}")
