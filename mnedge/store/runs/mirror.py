"""The public side of a run's JSONL files: what stands in the run folder, where workers write too.

A mirror shows a stream. Before each write it looks whether the file is still the one it left: most
workers of real blueprints replace, cut or extend these files. What they wrote is handed over as
foreign lines, so that the owner takes them into the stream, and the file is made to show the stream
again.

Replacing goes by rename, so a worker that still has the old file open goes on writing there: that
file stays open here as a leftover, and what it gains is found at the next look.
"""

import contextlib
import errno
import os
import stat
from pathlib import Path

import msgspec
from msgspec import Struct

from mnedge.store.runs.files import Stamp, as_stamp, read_plain, replace_file, stamp_of
from mnedge.store.runs.stream import SEGMENT_BYTES, Segment, Stream, segment_name

LEFTOVERS = 8
"""Files that workers may still write to, kept open at most."""
FOREIGN_BYTES = 64 << 20
"""What one look reads of somebody else's file at most."""
_SAMPLE_BYTES = 4096
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_GONE = (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENOTDIR)
"""What opening a file says where a worker put something else, or nothing."""


class Foreign(Struct):
    """What others wrote into the file."""

    lines: list[bytes]
    replaced: bool = False
    """The file no longer begins with what we had shown: lines of ours may be among these."""
    in_place: bool = False
    """The lines stand right after ours; taken over as they are, the file needs no rewriting."""


class _Leftover(Struct):
    file: int
    read_bytes: int


class Mirror:
    """Shows one stream in the run folder."""

    def __init__(self, stream: Stream, run_folder: Path, *, optional: bool = False) -> None:
        """`optional`: there is no file as long as it would be empty."""
        self.stream = stream
        self.path = run_folder / f"{stream.name}.jsonl"
        self._run_folder = run_folder
        self._optional = optional
        self._stamp: Stamp | None = None
        self._shown_bytes = 0
        """How much of the stream's current file stands at the beginning of ours."""
        self._leftovers: list[_Leftover] = []

    @property
    def undisturbed(self) -> bool:
        """True if nobody else has touched the file since we did."""
        if self._stamp is None:
            return self._absent
        return stamp_of(self.path) == self._stamp

    @property
    def quiet(self) -> bool:
        """True if there is nothing of others to look at."""
        return not self._leftovers and self.undisturbed

    @property
    def is_behind(self) -> bool:
        """True if the stream has more than the file shows of it."""
        return self._shown_bytes != self.stream.size_bytes

    def append(self, lines: bytes) -> None:
        """Show lines that were added to the stream, if nobody has come in between.

        Raises: OSError.
        """
        if self._stamp is None:
            if self._optional and not os.path.lexists(self.path):
                self.rebuild()
            return
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | _SAFELY)
        except OSError as error:
            self._stamp = None
            if error.errno in _GONE:
                return
            raise
        try:
            if as_stamp(os.fstat(file)) == self._stamp:
                self._stamp = None
                self._write(file, lines)
            else:
                self._stamp = None
        finally:
            os.close(file)

    def foreign(self, *, thoroughly: bool = False, halves: bool = True) -> Foreign:
        """Return what others wrote since the last look.

        `thoroughly`: nobody writes any more, so unfinished last lines count, and all is compared;
        not `halves`: those that are no JSON do not, nor lines with a hole: a crash may have torn
        them off ours.
        """
        lines: list[bytes] = []
        for leftover in self._leftovers:
            lines += _gained(leftover, thoroughly, halves)
        before, self._stamp = self._stamp, None
        try:
            file = os.open(self.path, os.O_RDONLY | _SAFELY)
        except OSError:
            return Foreign(lines, replaced=True)
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            os.close(file)
            return Foreign(lines, replaced=True)
        same = before is not None and (before.device, before.inode) == (found.st_dev, found.st_ino)
        ours = (same or thoroughly) and self._begins_with_ours(file, found.st_size, thoroughly)
        current = _Leftover(file, self._shown_bytes if ours else 0)
        more = _gained(current, thoroughly, halves)
        in_place = ours and not lines and not self.is_behind
        if in_place and _is_read(current, found.st_size):
            os.close(file)
            self._stamp = as_stamp(found)
            return Foreign(more, in_place=True)
        self._keep(current)
        return Foreign(lines + more, replaced=not ours)

    def accept(self, added_bytes: int) -> None:
        """Take note that the lines found in place are part of the stream now."""
        self._shown_bytes += added_bytes

    def rebuild(self) -> None:
        """Make the file show the stream again.

        Raises: OSError.
        """
        if self._optional and not self.stream.size_bytes and not os.path.lexists(self.path):
            return
        self._run_folder.mkdir(parents=True, exist_ok=True)
        content = self.stream.read()
        self._stamp, self._shown_bytes = replace_file(self.path, content), len(content)

    def load(self) -> None:
        """Begin to show: mend what a crash left half done; what others wrote stays to be found.

        Raises: OSError.
        """
        self.close()
        self._run_folder.mkdir(parents=True, exist_ok=True)
        for segment in self.stream.segments:
            self.rotated(segment)
        self._drop_old_segments()
        self.withdraw(self.stream.segments[-1].number + 1 if self.stream.segments else 1)
        self._shown_bytes = self.stream.size_bytes
        try:
            file = os.open(self.path, os.O_RDONLY | _SAFELY)
        except FileNotFoundError:
            self.rebuild()
            return
        except OSError:
            return
        try:
            found = os.fstat(file)
            behind = stat.S_ISREG(found.st_mode) and found.st_size <= self.stream.size_bytes
            if not behind or not self._begins_like(file, found.st_size):
                return
        finally:
            os.close(file)
        self._shown_bytes, self._stamp = found.st_size, as_stamp(found)
        self.append(self.stream.read(found.st_size))

    def rotated(self, segment: Segment) -> None:
        """Show that the stream's current file became this segment.

        Raises: OSError.
        """
        shown = self._run_folder / segment_name(self.stream.name, segment.number)
        found = stamp_of(shown)
        if found is not None and found.size_bytes == segment.size_bytes:
            return
        truth = self.stream.segment_path(segment)
        if self._is_whole(segment, truth):
            os.replace(self.path, shown)
        else:
            replace_file(shown, truth.read_bytes())
        self._shown_bytes = 0
        self._stamp = None

    def begin_next(self, segment: Segment) -> None:
        """Go on with an empty file after the stream has.

        Raises: OSError.
        """
        self.rotated(segment)
        self._drop_old_segments()
        if not os.path.lexists(self.path):
            self._stamp, self._shown_bytes = replace_file(self.path, b""), 0

    def withdraw(self, number: int) -> None:
        """Remove full files from this number on, which the stream has taken back."""
        for path in self._run_folder.glob(f"{self.stream.name}.[0-9][0-9][0-9]*.jsonl"):
            digits = path.name.split(".")[1]
            if digits.isdecimal() and int(digits) >= number:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of all files."""
        for leftover in self._leftovers:
            os.close(leftover.file)
        self._leftovers = []
        self._stamp = None

    @property
    def _absent(self) -> bool:
        """True if there is no file and there need not be one."""
        return self._optional and not self.stream.size_bytes and not os.path.lexists(self.path)

    def _write(self, file: int, lines: bytes) -> None:
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(file, rest) :]
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(file, self._shown_bytes)
            raise
        self._shown_bytes += len(lines)
        stamp = as_stamp(os.fstat(file))
        if stamp.size_bytes == self._shown_bytes:
            self._stamp = stamp

    def _begins_with_ours(self, file: int, size_bytes: int, thoroughly: bool) -> bool:
        if size_bytes < self._shown_bytes:
            return False
        sample_bytes = SEGMENT_BYTES if thoroughly else _SAMPLE_BYTES
        return self._begins_like(file, self._shown_bytes, sample_bytes)

    def _begins_like(self, file: int, size_bytes: int, sample_bytes: int = SEGMENT_BYTES) -> bool:
        """Compare with the stream: both ends of a long stretch, all of a short one."""
        for start in (0, max(0, size_bytes - sample_bytes)):
            end = min(start + sample_bytes, size_bytes)
            if _read(file, start, end - start) != self.stream.read(start, end):
                return False
        return True

    def _keep(self, leftover: _Leftover) -> None:
        self._leftovers.append(leftover)
        if len(self._leftovers) > LEFTOVERS:
            os.close(self._leftovers.pop(0).file)

    def _is_whole(self, segment: Segment, truth: Path) -> bool:
        """Tell whether our current file shows all of a segment and nothing else."""
        found = stamp_of(self.path)
        if found is None or found.size_bytes != segment.size_bytes:
            return False
        if found == self._stamp and self._shown_bytes == segment.size_bytes:
            return True
        return read_plain(self.path) == truth.read_bytes()

    def _drop_old_segments(self) -> None:
        """Remove full files that the stream has given up; what workers call alike stays."""
        if not self.stream.segments:
            return
        number = self.stream.segments[0].number - 1
        while number > 0:
            try:
                os.unlink(self._run_folder / segment_name(self.stream.name, number))
            except FileNotFoundError:
                return
            number -= 1


def _gained(leftover: _Leftover, thoroughly: bool, halves: bool) -> list[bytes]:
    """Return the lines that a file gained; an unfinished one waits, unless nobody writes."""
    content = _read(leftover.file, leftover.read_bytes, FOREIGN_BYTES)
    *lines, last = content.split(b"\n")
    if not halves:
        lines = [line for line in lines if b"\0" not in line]
    whole = _is_json(last) if last else False
    if whole or (thoroughly and halves and last):
        lines.append(last)
    leftover.read_bytes += len(content) if whole or thoroughly else len(content) - len(last)
    return lines


def _is_read(leftover: _Leftover, size_bytes: int) -> bool:
    """Tell whether all was read and the next line can be added as it is."""
    if leftover.read_bytes != size_bytes:
        return False
    return size_bytes == 0 or os.pread(leftover.file, 1, size_bytes - 1) == b"\n"


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _read(file: int, start: int, limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    while limit_bytes > 0 and (part := os.pread(file, min(limit_bytes, 1 << 20), start)):
        parts.append(part)
        start += len(part)
        limit_bytes -= len(part)
    return b"".join(parts)
