"""A growing JSONL file read as it grows, whoever replaces or rotates it meanwhile.

Records are told once each, known by their `seq`, or by their text where there is no `seq`.
"""

import json
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

Record = dict[str, Any]

REMEMBERED = 10_000
"""Records without `seq` that are known again in a file that was replaced."""
CHUNK_BYTES = 1 << 20
CLOSED = -1


class Tail:
    """What is new in a file since the last look."""

    def __init__(self, path: Path, *, after: int = 0) -> None:
        self.path = path
        self.last_seq = after
        self._file = CLOSED
        self._rest = b""
        self._seen: OrderedDict[int, None] = OrderedDict()

    def __enter__(self) -> "Tail":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def opened(self) -> bool:
        """True once the file was there."""
        return self._file != CLOSED

    def look(self) -> Iterator[Record]:
        """Yield the records that were added; of a file that was replaced, those not told yet."""
        if self._file != CLOSED:
            yield from self._read_on()
            if self._is_current():
                return
            self.close()
        with suppress(FileNotFoundError):
            self._file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            yield from self._read_on()

    def is_new(self, record: Record, line: bytes) -> bool:
        """Tell whether the record was not told yet, and remember it."""
        seq = record.get("seq")
        if isinstance(seq, int):
            new, self.last_seq = seq > self.last_seq, max(seq, self.last_seq)
            return new
        name = hash(line)
        new = name not in self._seen
        self._seen[name] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return new

    def close(self) -> None:
        """Let go of the file."""
        if self._file != CLOSED:
            os.close(self._file)
        self._file, self._rest = CLOSED, b""

    def _read_on(self) -> Iterator[Record]:
        while part := os.read(self._file, CHUNK_BYTES):
            *lines, self._rest = (self._rest + part).split(b"\n")
            for line in lines:
                record = parsed(line)
                if record is not None and self.is_new(record, line):
                    yield record

    def _is_current(self) -> bool:
        """Tell whether our file is still the one of that name, and was not cut."""
        ours = os.fstat(self._file)
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            return True
        same = (ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino)
        return same and named.st_size >= os.lseek(self._file, 0, os.SEEK_CUR)


def parsed(line: bytes) -> Record | None:
    """Return the record of a line; what cannot be read becomes a record that says so."""
    if not line.strip():
        return None
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    text = line.decode(errors="replace")[:2000]
    return {"type": "unparseable_event", "payload": {"line": text}}
