"""The durable side of a run's JSONL files: our own copy, which no worker can reach.

A stream is the file `<name>.jsonl` in a folder of the data directory. When it would grow past
`SEGMENT_BYTES`, it becomes `<name>.001.jsonl` and a new one begins; the newest `SEGMENTS` of those
are kept. What stands in it is the truth: the file of the same name in the run folder shows it, byte
for byte (`mirror.py`).

Nothing but whole lines: a write that fails is taken back, and when the stream is opened, a torn
last line is cut, and whatever stands behind a hole.
"""

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from mnedge.store.runs.files import replace_file, sync_paths

SEGMENT_BYTES = 10 << 20
SEGMENTS = 5
_TAIL_BYTES = 1 << 20


class Segment(Struct, frozen=True, kw_only=True):
    """A file that was full and is never written again."""

    number: int
    size_bytes: int
    sha256: str
    records: int
    total: int
    """Records of the stream up to its end, those of forgotten segments included."""
    first_ts: str = ""
    last_ts: str = ""
    checkpoint: dict[str, Any] = field(default_factory=dict)
    """What the owner of the stream had counted when the segment was full."""


class _Index(Struct, frozen=True):
    segments: list[Segment]


def segment_name(name: str, number: int) -> str:
    """Return the name of a full file: `events.001.jsonl`."""
    return f"{name}.{number:03d}.jsonl"


class Stream:
    """One growing file of lines and the full ones before it; one owner at a time.

    `synced` may be called from another thread while the owner goes on writing.
    """

    def __init__(
        self, folder: Path, name: str, *, rotates: bool = True, busy: bool = False
    ) -> None:
        """`busy`: the file is kept open between two writes."""
        self.name = name
        self.rotates = rotates
        self.path = folder / f"{name}.jsonl"
        self.segments: list[Segment] = []
        self.size_bytes = 0
        """Of the current file; all of it whole lines."""
        self.records = 0
        """Lines that were ever written."""
        self._folder = folder
        self._index = folder / f"{name}.index.json"
        self._busy = busy
        self._file: int | None = None
        self._unsynced: set[Path] = set()
        self._moving = threading.Lock()

    @property
    def room_bytes(self) -> int | None:
        """What fits before the next segment begins; None without end."""
        return SEGMENT_BYTES - self.size_bytes if self.rotates else None

    def load(self) -> None:
        """Read what is on the disk, and mend what a crash has left half done.

        Raises: OSError.
        """
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        self.segments = self._read_index()
        self._finish_rotation()
        with self._opened() as file:
            self.size_bytes = os.fstat(file).st_size
        self.cut(self._whole_bytes(self._unbroken_bytes()))

    def append(self, lines: bytes) -> None:
        """Add whole lines: all of them, or none if the disk refuses.

        Raises: OSError.
        """
        with self._opened() as file:
            rest = memoryview(lines)
            try:
                while rest:
                    rest = rest[os.write(file, rest) :]
            except BaseException:
                os.ftruncate(file, self.size_bytes)
                raise
        self.size_bytes += len(lines)
        self.records += lines.count(b"\n")

    def cut(self, size_bytes: int) -> None:
        """Drop what stands after this many bytes of the current file."""
        if size_bytes < self.size_bytes:
            with self._opened() as file:
                os.ftruncate(file, size_bytes)
        self.size_bytes = size_bytes
        self.records = (self.segments[-1].total if self.segments else 0) + self._count()

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        """Return a stretch of the current file."""
        end = self.size_bytes if end is None else end
        if start >= end:
            return b""
        parts: list[bytes] = []
        with self._opened() as file:
            while start < end and (part := os.pread(file, end - start, start)):
                parts.append(part)
                start += len(part)
        return b"".join(parts)

    def read_segment(self, segment: Segment) -> bytes:
        """Return the content of a full file."""
        return self.segment_path(segment).read_bytes()

    def segment_path(self, segment: Segment) -> Path:
        """Return where a full file lies."""
        return self._folder / segment_name(self.name, segment.number)

    def rotate(self, *, first_ts: str, last_ts: str, checkpoint: dict[str, Any]) -> None:
        """Begin a new file. The index goes first: with it a crash in between can be made good."""
        content = self.read()
        segment = Segment(
            number=self.segments[-1].number + 1 if self.segments else 1,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            records=content.count(b"\n"),
            total=self.records,
            first_ts=first_ts,
            last_ts=last_ts,
            checkpoint=checkpoint,
        )
        kept = [*self.segments, segment]
        self._write_index(kept[-SEGMENTS:])
        with self._moving:
            os.rename(self.path, self.segment_path(segment))
            self._unsynced.add(self.segment_path(segment))
            self.close()
            self.segments = kept[-SEGMENTS:]
            self.size_bytes = 0
            with self._opened():
                pass
        for old in kept[:-SEGMENTS]:
            self.segment_path(old).unlink(missing_ok=True)

    def cut_segments(self, number: int) -> None:
        """Make the segment with this number the current file again; drop what came after it."""
        self.close()
        dropped = [segment for segment in self.segments if segment.number >= number]
        self._write_index([segment for segment in self.segments if segment.number < number])
        os.replace(self.segment_path(dropped[0]), self.path)
        for segment in dropped[1:]:
            self.segment_path(segment).unlink(missing_ok=True)
        self.load()

    def synced(self) -> None:
        """Return when everything that was written before the call is on the disk.

        Raises: OSError.
        """
        with self._moving:
            paths = self._unsynced
            self._unsynced = set()
            try:
                current = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return
        try:
            os.fsync(current)
            sync_paths([*sorted(paths), self._folder])
        except OSError:
            with self._moving:
                self._unsynced |= paths
            raise
        finally:
            os.close(current)

    def close(self) -> None:
        """Let go of the file; whatever needs it opens it again."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        if self._file is not None:
            yield self._file
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        file = os.open(self.path, flags, 0o644)
        if self._busy:
            self._file = file
        try:
            yield file
        finally:
            if not self._busy:
                os.close(file)

    def _count(self) -> int:
        starts = range(0, self.size_bytes, _TAIL_BYTES)
        return sum(
            self.read(start, min(start + _TAIL_BYTES, self.size_bytes)).count(b"\n")
            for start in starts
        )

    def _unbroken_bytes(self) -> int:
        """Return where a power cut left a hole, if any: writes may reach the disk in any order."""
        for start in range(0, self.size_bytes, _TAIL_BYTES):
            at = self.read(start, min(start + _TAIL_BYTES, self.size_bytes)).find(b"\0")
            if at >= 0:
                return start + at
        return self.size_bytes

    def _whole_bytes(self, size_bytes: int) -> int:
        """Return where the last whole line ends."""
        end = size_bytes
        while end > 0:
            start = max(0, end - _TAIL_BYTES)
            at = self.read(start, end).rfind(b"\n")
            if at >= 0:
                return start + at + 1
            end = start
        return 0

    def _read_index(self) -> list[Segment]:
        try:
            return msgspec.json.decode(self._index.read_bytes(), type=_Index).segments
        except (FileNotFoundError, msgspec.DecodeError):
            return []

    def _write_index(self, segments: list[Segment]) -> None:
        replace_file(self._index, msgspec.json.encode(_Index(segments)), durably=True)

    def _finish_rotation(self) -> None:
        for segment in self.segments:
            path = self.segment_path(segment)
            if not path.exists() and _size_of(self.path) == segment.size_bytes:
                os.rename(self.path, path)
            if _size_of(path) != segment.size_bytes:
                self._restart_from(segment)
                break
        if not self.segments:
            return
        known = {self.segment_path(segment) for segment in self.segments}
        for path in self._folder.glob(f"{self.name}.[0-9]*.jsonl"):
            if path not in known:
                path.unlink()

    def _restart_from(self, damaged: Segment) -> None:
        """Go on where a power cut has left a full file short: what came later is lost as well."""
        path = self.segment_path(damaged)
        if path.exists():
            os.replace(path, self.path)
        else:
            self.path.unlink(missing_ok=True)
        self.segments = [one for one in self.segments if one.number < damaged.number]
        self._write_index(self.segments)


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
