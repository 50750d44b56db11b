"""`file`: reads a file, or the files of a folder.

A file that was written within the last `settle_s` is left for later, so that none is read
half-written. With a cursor only what is new or changed is read; that something is gone is not told.
"""

import base64
import binascii
import fnmatch
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import trio

from mnedge.errors import UnavailableError, UsageError
from mnedge.hookspecs import hookimpl
from mnedge.ports import Batch, Connector, Item

MAX_BYTES = 1 << 20
"""Of one file, unless `max_bytes` says otherwise."""
MOST_BYTES = 16 << 20
MOST_FILES = 4000
"""In a folder: their marks fill a cursor."""
BATCH_FILES = 100
BATCH_BYTES = 4 << 20
"""In one answer to a cursor; the rest comes with the next."""
WAIT_S = 30.0
INTERVAL_S = 2.0
SETTLE_S = 0.5
READING = 8
"""Looks at the same time; one at a network share that hangs keeps its thread until that is over."""
FIRST_LOOKS = 5
"""At files that are being written, before the first answer leaves them out."""
FORMS = ("json", "text", "bytes", "name")
_KNOWN = frozenset({"path", "pattern", "read", "max_bytes", "interval_s", "settle_s"})
_MARK_BYTES = 6
"""So short that the marks of all fit a cursor, so long that no two files share one by chance."""
_OPENING = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class PathForbiddenError(UsageError):
    """A file outside the folders that are open to connectors."""

    code = "connector.path_forbidden"


class _UnsettledError(Exception):
    """It is being written."""


class _Found(NamedTuple):
    """A file, and which version of it."""

    modified_ns: int
    name: str
    """Below the folder; of a single file, its own name."""
    path: Path
    size_bytes: int

    @property
    def mark(self) -> bytes:
        """Which file, and which version: what a cursor remembers of it."""
        version = f"{self.modified_ns}:{self.size_bytes}".encode()
        return _hashed(os.fsencode(self.name)) + _hashed(version)


class File:
    """Reads files."""

    name = "file"

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._allowed = [Path(os.path.realpath(path)) for path in allowed]
        self._turn = trio.CapacityLimiter(READING)

    def check(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the settings."""
        problems = [
            f"{key!r} is no setting of file; it has {', '.join(sorted(_KNOWN))}"
            for key in settings
            if key not in _KNOWN
        ]
        path = settings.get("path")
        if not isinstance(path, str) or not path or "\0" in path:
            problems.append("path has to name a file or a folder, as in payloads/readings")
        else:
            problems += self._path_problems(path)
        pattern = settings.get("pattern", "*")
        if not isinstance(pattern, str) or not pattern or "\0" in pattern:
            problems.append("pattern has to be a text such as *.json, or **/*.json for all below")
        if settings.get("read", "text") not in FORMS:
            problems.append(f"read has to be one of {', '.join(FORMS)}")
        most = settings.get("max_bytes", MAX_BYTES)
        if type(most) is not int or not 0 < most <= MOST_BYTES:
            problems.append(f"max_bytes has to be a whole number of 1 to {MOST_BYTES}")
        for key, least, most_s in (("interval_s", 0.1, 3600.0), ("settle_s", 0.0, 3600.0)):
            value = settings.get(key, least)
            if type(value) not in (int, float) or not least <= value <= most_s:
                problems.append(f"{key} has to be a number of {least:g} to {most_s:g}")
        return problems

    def _path_problems(self, text: str) -> list[str]:
        """Return why the path cannot be one that is open to connectors, as far as it tells."""
        if text.startswith("/"):
            place = Path(os.path.realpath(text))
            inside = any(place.is_relative_to(top) for top in self._allowed)
        else:
            inside = not os.path.normpath(text).startswith("..")
        return [] if inside else [_forbidden(text).message]

    async def read(
        self, settings: Mapping[str, Any], cursor: str | None = None, *, folder: str = ""
    ) -> Batch:
        """Return the files, or those that are new or changed since the cursor."""
        problems = self.check(settings)
        if problems:
            raise UsageError("; ".join(problems))
        seen = None if cursor is None else _seen_in(cursor)
        interval_s = float(settings.get("interval_s", INTERVAL_S))
        ends = trio.current_time() + WAIT_S
        if seen is None:
            return await self._first(settings, folder)
        while True:
            batch, _ = await self._look(settings, seen, folder)
            left_s = ends - trio.current_time()
            if batch.items or left_s <= 0:
                return batch
            await trio.sleep(min(interval_s, left_s))

    async def _first(self, settings: Mapping[str, Any], folder: str) -> Batch:
        """Return what is there; what is being written is waited for, but not for ever."""
        for _ in range(FIRST_LOOKS):
            batch, unsettled = await self._look(settings, None, folder)
            if not unsettled:
                return batch
            await trio.sleep(settings.get("settle_s", SETTLE_S))
        if not batch.items:
            raise UnavailableError(f"{settings['path']} is being written")
        return batch

    async def _look(
        self, settings: Mapping[str, Any], seen: Mapping[bytes, bytes] | None, folder: str
    ) -> tuple[Batch, int]:
        """Return what was found, and how many files are being written."""
        try:
            reading = _Reading(settings, folder, self._allowed)
            return await trio.to_thread.run_sync(
                reading.read, seen, limiter=self._turn, abandon_on_cancel=True
            )
        except OSError as error:
            raise UnavailableError(
                f"{settings['path']} cannot be read: {error.strerror or error}"
            ) from error


class _Reading:
    """One look at what the settings name, in a thread."""

    def __init__(self, settings: Mapping[str, Any], folder: str, allowed: Sequence[Path]) -> None:
        self._settings = settings
        self._folder = Path(folder)
        own = [Path(os.path.realpath(folder))] if folder else []
        self._inside = [*own, *allowed]

    def read(self, seen: Mapping[bytes, bytes] | None) -> tuple[Batch, int]:
        """Return what was found, and how many files are being written."""
        settings = self._settings
        text = settings["path"]
        place = Path(os.path.realpath(self._folder / text))
        self._refuse_outside(place, text)
        single = not stat.S_ISDIR(place.stat().st_mode)
        found = [_found(place, place.name)] if single else self._listed(place)
        marks = {one.mark[:_MARK_BYTES]: one.mark for one in found}
        known = {} if seen is None else {at: seen[at] for at in marks if at in seen}
        items: list[Item] = []
        taken_bytes = unsettled = 0
        for one in sorted(found):
            where = one.mark[:_MARK_BYTES]
            if known.get(where) == one.mark:
                continue
            if seen is not None and (len(items) >= BATCH_FILES or taken_bytes >= BATCH_BYTES):
                break
            try:
                item = self._item(one, single=single, known=where in known)
            except _UnsettledError:
                unsettled += 1
                continue
            except FileNotFoundError:
                if single:
                    raise
                continue
            items.append(item)
            known[where] = one.mark
            taken_bytes += one.size_bytes if item.body.get("content") is not None else 0
            if taken_bytes > MOST_BYTES:
                raise UsageError(
                    f"{text} holds more than {MOST_BYTES >> 20} MiB to begin with",
                    hint="give a narrower pattern, or read: name",
                )
        return Batch(items, _cursor_of(known)), unsettled

    def _refuse_outside(self, place: Path, text: str) -> None:
        """Raise if that is outside of what is open to connectors."""
        if not any(place.is_relative_to(top) for top in self._inside):
            raise _forbidden(text)

    def _listed(self, place: Path) -> list[_Found]:
        settings = self._settings
        pattern = settings.get("pattern", "*")
        found: list[_Found] = []
        for name in _names(place, deep="**" in pattern):
            if not _fits(name, pattern):
                continue
            path = Path(os.path.realpath(place / name))
            try:
                self._refuse_outside(path, name)
                one = _found(path, name)
            except (OSError, UsageError):
                continue  # it went meanwhile, leads out of the folder, or is no plain file
            found.append(one)
            if len(found) > MOST_FILES:
                raise UsageError(
                    f"{settings['path']} holds more than {MOST_FILES} files that fit {pattern}",
                    hint="give a narrower pattern, or move away what was read",
                )
        return found

    def _item(self, one: _Found, *, single: bool, known: bool) -> Item:
        settings = self._settings
        age_s = time.time() - one.modified_ns / 1e9  # noqa: TID251 - files carry wall-clock times
        if 0 <= age_s < settings.get("settle_s", SETTLE_S):
            raise _UnsettledError
        body: dict[str, Any] = {
            "path": one.name,
            "size_bytes": one.size_bytes,
            "modified_at": one.modified_ns / 1e9,
            "change": "updated" if known else "added",
        }
        form = settings.get("read", "json" if one.name.endswith(".json") else "text")
        if form != "name":
            try:
                body["content"] = _content(self._bytes(one), form)
            except ValueError as error:
                if single:
                    raise UnavailableError(f"{settings['path']} {error}") from error
                body |= {"content": None, "content_error": f"{one.name} {error}"}
        return Item(
            item_id=f"{one.name}#{one.modified_ns:x}-{one.size_bytes:x}",
            event="file_content_changed" if single else "folder_content_changed",
            body=body,
            source_ref={
                "connector": File.name,
                "path": settings["path"] if single else f"{settings['path']}/{one.name}",
                "modified_at": one.modified_ns / 1e9,
            },
        )

    def _bytes(self, one: _Found) -> bytes:
        """Return the content of this very version.

        Raises: ValueError if it is too large; _UnsettledError if it is another version by now.
        """
        most = self._settings.get("max_bytes", MAX_BYTES)
        if one.size_bytes > most:
            raise ValueError(f"is larger than {most} bytes")
        file = os.open(one.path, _OPENING)
        try:
            self._refuse_outside(Path(os.readlink(f"/proc/self/fd/{file}")), one.name)
            parts: list[bytes] = []
            while part := os.read(file, 1 << 20):
                parts.append(part)
                if sum(map(len, parts)) > one.size_bytes:
                    raise _UnsettledError
            after = os.fstat(file)
        finally:
            os.close(file)
        content = b"".join(parts)
        if (after.st_mtime_ns, len(content)) != (one.modified_ns, one.size_bytes):
            raise _UnsettledError
        return content


def _forbidden(text: str) -> PathForbiddenError:
    return PathForbiddenError(
        f"{text} is outside the bundle",
        hint="name a file of the bundle, or add its folder to connectors.folders",
    )


def _hashed(content: bytes) -> bytes:
    return blake2b(content, digest_size=_MARK_BYTES).digest()


def _found(path: Path, name: str) -> _Found:
    looked = path.stat()
    if not stat.S_ISREG(looked.st_mode):
        raise UsageError(f"{name} is no plain file")
    return _Found(looked.st_mtime_ns, name, path, looked.st_size)


def _names(place: Path, *, deep: bool) -> Iterator[str]:
    """Yield the names of files below; those that begin with a dot are nobody's business."""
    if not deep:
        yield from (name for name in os.listdir(place) if _is_shown(name))
        return
    for top, folders, files in os.walk(place):
        folders[:] = sorted(filter(_is_shown, folders))
        below = Path(top).relative_to(place)
        yield from (str(below / name) for name in files if _is_shown(name))


def _is_shown(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False  # no JSON can name it
    return not name.startswith(".")


def _fits(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or (
        pattern.startswith("**/") and fnmatch.fnmatchcase(name, pattern[3:])
    )


def _content(content: bytes, form: str) -> Any:
    """Return the content as JSON can hold it.

    Raises: ValueError saying what it is not.
    """
    match form:
        case "bytes":
            return base64.b64encode(content).decode()
        case "json":
            try:
                return msgspec.json.decode(content)
            except (msgspec.DecodeError, RecursionError) as error:
                raise ValueError(f"is not JSON: {error}") from error
        case _:
            try:
                return content.decode()
            except UnicodeDecodeError as error:
                raise ValueError("is not UTF-8 text") from error


def _cursor_of(known: Mapping[bytes, bytes]) -> str:
    return base64.b64encode(b"".join(sorted(known.values()))).decode()


def _seen_in(cursor: str) -> dict[bytes, bytes]:
    try:
        content = base64.b64decode(cursor, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError("this is no cursor of file") from error
    marks = [content[at : at + 2 * _MARK_BYTES] for at in range(0, len(content), 2 * _MARK_BYTES)]
    return {mark[:_MARK_BYTES]: mark for mark in marks}


@hookimpl
def connectors(allowed: Sequence[str]) -> list[Connector]:
    """Bring `file`."""
    return [File(allowed)]
