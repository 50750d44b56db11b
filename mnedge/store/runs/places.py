"""Lines of a growing stream by where they stand, for readers who come back.

A stream is `<name>.jsonl` and the full files before it (`stream.py`). A place names a file by its
number, also the one that still grows, so it stays right when that one becomes full. Nothing is held
open, and nobody who writes is in the way.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from mnedge.store.runs.files import open_to_read
from mnedge.store.runs.stream import segment_name

PAGE_BYTES = 64 << 10
"""So much is read at once, or one line if that is longer."""


class Place(NamedTuple):
    """The beginning of a line: the number of its file, and how many bytes stand before it."""

    file: int
    at: int


BEGINNING = Place(0, 0)


class Mark(NamedTuple):
    """What a reader has read last: our event's `seq`, and how many lines without one followed.

    Written `12`, or `12.3` with three lines behind event 12.
    """

    seq: int = 0
    nth: int = 0

    def __str__(self) -> str:
        return f"{self.seq}.{self.nth}" if self.nth else str(self.seq)


START = Mark()


def mark_of(text: str) -> Mark | None:
    """Return the mark that is written so, or None."""
    seq, dot, nth = text.partition(".")
    if not _is_number(seq) or (dot and not _is_number(nth)):
        return None
    return Mark(int(seq), int(nth or 0))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 15


class Head(Struct, frozen=True):
    """What a record says of itself."""

    seq: int = 0
    type: str = ""
    agent_id: str | None = None
    ts: str = ""


class Told(Struct):
    """One record, as it stands in the stream, and where a reader who has it goes on."""

    mark: Mark
    head: Head
    line: bytes
    """Without its newline."""
    end: Place
    framed: bytes = b""
    """The record as an event of a stream, once somebody has made it: many readers get the same."""

    @property
    def seq(self) -> int:
        """The number of the event; 0 for a record that is none of the job's own."""
        return self.head.seq


_decode = msgspec.json.Decoder(Head).decode
_NO_HEAD = Head(type="unparseable_event")


def head_of(line: bytes) -> Head:
    """Return what the record says of itself; a plain default for what is no such record."""
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _NO_HEAD


class Places:
    """Reads one stream."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._current = folder / f"{name}.jsonl"

    def read(self, place: Place, mark: Mark, *, limit_bytes: int = PAGE_BYTES) -> list[Told]:
        """Return records from there on, the first of them at least; none if there are no more.

        `mark`: of the record before. What a full stream has forgotten is skipped.
        """
        while True:
            later = self._first_after(place.file)  # before reading: what is full has its last line
            file = self._open(place.file)
            if file is not None:
                try:
                    content = _whole_lines(file, place.at, limit_bytes)
                finally:
                    os.close(file)
                if content:
                    return list(_told(content, place, mark))
            if later is None:
                return []
            place = Place(later, 0)

    def find(self, after: Mark) -> tuple[Place, Mark]:
        """Return where the record behind this mark stands, and what stands before it.

        A mark that is not there is as good as the last one before it.
        """
        if after == START:
            return BEGINNING, START
        for number in reversed(self._numbers()):
            content = self._content(number)
            if (found := _found(content, number, after)) is not None:
                return found
        return BEGINNING, START

    def newest(self, limit: int) -> list[Told]:
        """Return the last records, in order."""
        found: list[Told] = []
        for number in reversed(self._numbers()):
            content = self._content(number)
            found = [*_told(content, Place(number, 0), START), *found]
            if len(found) >= limit:
                break
        return found[max(0, len(found) - limit) :]

    def _open(self, number: int) -> int | None:
        """Return the file with this number, full or not; None if it is gone or was never there."""
        full = self._folder / segment_name(self._name, number)
        if (file := open_to_read(full)) is not None or number != self._numbers()[-1]:
            return file
        file = open_to_read(self._current)
        if not full.exists():
            return file
        if file is not None:
            os.close(file)  # it became full just now, and this may be the next one
        return open_to_read(full)

    def _numbers(self) -> list[int]:
        """Return the numbers of the files, the growing one last."""
        try:
            names = os.listdir(self._folder)
        except (FileNotFoundError, NotADirectoryError):
            names = []
        head, tail = f"{self._name}.", ".jsonl"
        full = sorted(
            int(number)
            for name in names
            if name.startswith(head)
            and name.endswith(tail)
            and (number := name[len(head) : -len(tail)]).isdecimal()
        )
        return [*full, full[-1] + 1 if full else 1]

    def _first_after(self, number: int) -> int | None:
        return next((known for known in self._numbers() if known > number), None)

    def _content(self, number: int) -> bytes:
        file = self._open(number)
        if file is None:
            return b""
        try:
            return _whole_lines(file, 0, os.fstat(file).st_size)
        finally:
            os.close(file)


def _whole_lines(file: int, at: int, limit_bytes: int) -> bytes:
    """Return whole lines: as many as fit, or one that does not."""
    content = os.pread(file, limit_bytes, at) if limit_bytes else b""
    end = content.rfind(b"\n") + 1
    while not end and len(content) == limit_bytes and limit_bytes:
        limit_bytes *= 2
        content = os.pread(file, limit_bytes, at)
        end = content.find(b"\n") + 1
    return content[:end]


def _told(content: bytes, place: Place, mark: Mark) -> Iterator[Told]:
    """Yield the records that these lines hold."""
    file, at = place
    seq, nth = mark
    for line in content[:-1].split(b"\n") if content else ():
        at += len(line) + 1
        if not line:
            continue
        head = head_of(line)
        seq, nth = (head.seq, 0) if head.seq else (seq, nth + 1)
        yield Told(mark=Mark(seq, nth), head=head, line=line, end=Place(file, at))


def _found(content: bytes, number: int, after: Mark) -> tuple[Place, Mark] | None:
    """Return where the record behind this mark stands; None if it stands in an earlier file."""
    start = _start_of(content, after.seq) if after.seq else None
    found = None
    numbered = number == 1
    at = start or 0
    for told in _told(content[at:], Place(number, at), START):
        if told.mark > after:
            break
        numbered = numbered or told.seq > 0
        found = (told.end, told.mark)
    return found if numbered else None


def _start_of(content: bytes, seq: int) -> int | None:
    """Return where the line of our event with this number begins."""
    wanted = b'"seq":%d' % seq
    at = content.rfind(wanted)
    while at >= 0:
        start = content.rfind(b"\n", 0, at) + 1
        end = content.find(b"\n", at)
        if head_of(content[start:end]).seq == seq:
            return start
        at = content.rfind(wanted, 0, at)
    return None
