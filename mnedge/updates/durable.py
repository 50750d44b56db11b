"""Files and links that are changed in one moment, and stay changed when the power goes."""

import os
from contextlib import suppress
from hashlib import file_digest
from pathlib import Path


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write the file: afterwards it is the new one whole, or as it was."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    to_disk(path.parent)


def switch(link: Path, target: str) -> None:
    """Let the link lead to the target; an empty one takes it away."""
    if not target:
        with suppress(FileNotFoundError):
            link.unlink()
            to_disk(link.parent)
        return
    unfinished = link.with_name(f".{link.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    unfinished.symlink_to(target)
    unfinished.replace(link)
    to_disk(link.parent)


def remove(path: Path) -> None:
    """Take a file away, durably."""
    with suppress(FileNotFoundError):
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
