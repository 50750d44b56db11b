"""`file`: appends each delivery to a file, one JSON object a line.

A line is written whole or not at all, is on disk when `deliver` returns, and one that stands there
already is not written again. A full file is renamed to `NAME.1`, that one to `NAME.2`, and so on.
"""

import fcntl
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

from mnedge.errors import UnavailableError, UsageError
from mnedge.hookspecs import hookimpl
from mnedge.ports import Delivery, Skill

MAX_BYTES = 10 << 20
KEEP = 3
LOOK_BACK_BYTES = 256 << 10
"""So much of the end is looked through for a delivery that was written before."""
_KNOWN = frozenset({"path", "max_bytes", "keep"})


class PathForbiddenError(UsageError):
    """A file outside the folders that are open to skills."""

    code = "skill.path_forbidden"


class File:
    """Appends to a file."""

    name = "file"

    def __init__(self, folder: str, allowed: Sequence[str] = ()) -> None:
        self._folder = Path(folder)
        self._allowed = [Path(os.path.realpath(path)) for path in allowed]
        self._turn = trio.CapacityLimiter(1)

    def check(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the settings."""
        problems = [
            f"{key!r} is no setting of file; it has {', '.join(sorted(_KNOWN))}"
            for key in settings
            if key not in _KNOWN
        ]
        path = settings.get("path")
        if not isinstance(path, str) or not path or "\0" in path or path.endswith("/"):
            problems.append("path has to name a file, as in alerts.jsonl")
        else:
            try:
                self._place(path)
            except PathForbiddenError as error:
                problems.append(error.message)
        for key, least in (("max_bytes", 1024), ("keep", 0)):
            value = settings.get(key, least)
            if type(value) is not int or value < least:
                problems.append(f"{key} has to be a whole number of at least {least}")
        return problems

    async def deliver(self, delivery: Delivery, settings: Mapping[str, Any]) -> None:
        """Append it, unless it is there."""
        problems = self.check(settings)
        if problems:
            raise UsageError("; ".join(problems))
        try:
            await trio.to_thread.run_sync(self._append, delivery, settings, limiter=self._turn)
        except OSError as error:
            raise UnavailableError(
                f"{settings['path']} cannot be written: {error.strerror or error}"
            ) from error

    def _place(self, text: str) -> Path:
        """Return the file's path, its folder resolved.

        Raises: PathForbiddenError if that is outside of what is open to skills.
        """
        path = Path(os.path.realpath((self._folder / text).parent)) / Path(text).name
        inside = [Path(os.path.realpath(self._folder)), *self._allowed]
        if path.name in ("", ".", "..") or not any(path.is_relative_to(top) for top in inside):
            raise PathForbiddenError(
                f"{text} is outside {self._folder}",
                hint="name a file below it, or add its folder to daemon.skillFolders",
            )
        return path

    def _append(self, delivery: Delivery, settings: Mapping[str, Any]) -> None:
        place = self._place(settings["path"])
        place.parent.mkdir(parents=True, exist_ok=True)
        place = self._place(settings["path"])  # now that its folder is there, is it still inside?
        line = msgspec.json.encode(
            {
                "delivery_id": delivery.delivery_id,
                "kind": delivery.kind,
                "title": delivery.title,
                "at": delivery.at,
                "body": delivery.body,
            }
        )
        with _locked(place) as file:
            size = os.fstat(file).st_size
            if _stands_there(file, size, delivery.delivery_id):
                return
            if size and size + len(line) + 1 > settings.get("max_bytes", MAX_BYTES):
                _rotate(place, settings.get("keep", KEEP))
                with _locked(place) as fresh:
                    _write_whole(fresh, line + b"\n", os.fstat(fresh).st_size)
                return
            _write_whole(file, line + b"\n", size)


@contextmanager
def _locked(place: Path) -> Iterator[int]:
    """Have the file open, ours alone, its end behind a whole line."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    file = os.open(place, flags, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise PathForbiddenError(f"{place.name} is no plain file")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            os.write(file, b"\n")  # a line that a crash cut short stays alone
        yield file
    finally:
        os.close(file)


def _stands_there(file: int, size: int, delivery_id: str) -> bool:
    start = max(size - LOOK_BACK_BYTES, 0)
    wanted = b'"delivery_id":' + msgspec.json.encode(delivery_id) + b","
    return any(
        line.startswith(b"{" + wanted) and line.endswith(b"}")
        for line in os.pread(file, size - start, start).split(b"\n")
    )


def _write_whole(file: int, content: bytes, size: int) -> None:
    try:
        if os.write(file, content) != len(content):
            raise OSError(28, "no room for the whole line")
        os.fsync(file)
    except OSError:
        os.ftruncate(file, size)
        raise


def _rotate(place: Path, keep: int) -> None:
    for number in range(keep, 0, -1):
        older = place.with_name(f"{place.name}.{number}")
        newer = place if number == 1 else place.with_name(f"{place.name}.{number - 1}")
        if newer.exists():
            newer.replace(older)
    if keep == 0:
        place.unlink()


@hookimpl
def skills(folder: str, allowed: Sequence[str]) -> list[Skill]:
    """Bring `file`."""
    return [File(folder, allowed)]
