"""The audit record on disk: lines of JSON, each with the hash of the one before.

A record's hash covers its canonical JSON (sorted keys, no blanks) without the hash itself. Files
are `audit-<first seq>.jsonl`; the oldest are dropped by age and total size, and `anchor.json` keeps
the hash that the first remaining record must follow.
Loses: nobody can tell from these files alone that their end was cut off; export them elsewhere.
"""

import json
import os
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace

from mnedge.identity.private_files import (
    FILE_MODE,
    locked,
    private_folder,
    read_private,
    write_private,
)

GENESIS = "0" * 64
FILES = 16
"""The whole record is kept in about so many files."""
SMALLEST_FILE_BYTES = 64 << 10
_DAY_S = 86_400.0
_TAIL_BYTES = 1 << 20


class AuditRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who did what to what, and how it ended."""

    seq: int
    at: float
    actor: str
    action: str
    object: str
    result: str
    """`allow`, `deny` or `error`."""
    address: str = ""
    token_id: str = ""
    reason: str = ""
    request_id: str = ""
    prev: str = ""
    hash: str = ""


class Verdict(Struct, frozen=True, kw_only=True):
    """What reading the whole record showed."""

    records: int
    first_seq: int | None = None
    last_seq: int | None = None
    head: str = GENESIS
    broken_seq: int | None = None
    """The first record that is not as it was written, or that is missing."""
    why: str = ""
    torn: bool = False
    """The last line was cut off while it was written; the next start mends that."""

    @property
    def good(self) -> bool:
        """True if nothing was changed."""
        return self.broken_seq is None


class Anchor(Struct, frozen=True, kw_only=True):
    """Where the record begins, since older files were dropped."""

    first_seq: int
    prev: str


def hash_of(record: AuditRecord) -> str:
    """Return the hash that a record with this content has."""
    fields = asdict(replace(record, hash=""))
    told = {name: value for name, value in fields.items() if value != ""}
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode(errors="surrogatepass")).hexdigest()


def files_of(folder: Path) -> list[Path]:
    """Return the files of the record, the oldest first."""
    return sorted(folder.glob("audit-*.jsonl"))


class AuditFile:
    """Appends to the record; several processes may, one at a time."""

    def __init__(self, folder: Path, *, max_bytes: int, keep_days: int) -> None:
        self.folder = folder
        self._file_bytes = max(SMALLEST_FILE_BYTES, max_bytes // FILES)
        self._max_bytes = max_bytes
        self._keep_s = keep_days * _DAY_S
        self._path: Path | None = None
        self._size = -1
        self._last: tuple[int, str] = (0, GENESIS)
        self._began: tuple[Path, float] | None = None
        self.mended_bytes = 0
        """How much of a torn line was cut off."""

    def append(self, records: Sequence[AuditRecord], now: float) -> list[AuditRecord]:
        """Number, chain and write them durably, all or none.

        Raises: OSError if the disk does not take them.
        """
        private_folder(self.folder)
        with locked(self.folder / "lock"):
            self._catch_up()
            path = self._current(now)
            seq, prev = self._last
            written: list[AuditRecord] = []
            for record in records:
                seq += 1
                chained = replace(record, seq=seq, prev=prev, hash="")
                prev = hash_of(chained)
                written.append(replace(chained, hash=prev))
            self._write(path, b"".join(msgspec.json.encode(record) + b"\n" for record in written))
            self._last = (seq, prev)
            return written

    def _write(self, path: Path, lines: bytes) -> None:
        number = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE
        )
        try:
            before = os.fstat(number).st_size
            try:
                done = 0
                while done < len(lines):
                    done += os.write(number, lines[done:])
                os.fsync(number)
            except OSError:
                self._path = None  # read the end anew: what is there now is not known
                os.ftruncate(number, before)
                raise
            self._path, self._size = path, before + len(lines)
        finally:
            os.close(number)

    def _catch_up(self) -> None:
        """Know the last record, whoever wrote it, and cut off a line that was torn."""
        files = files_of(self.folder)
        path = files[-1] if files else None
        if path is not None and path == self._path and path.stat().st_size == self._size:
            return
        self._last = (0, GENESIS)
        anchor = anchor_of(self.folder)
        if anchor is not None:
            self._last = (anchor.first_seq - 1, anchor.prev)
        for path in reversed(files):
            if self._last_of(path):
                return

    def _last_of(self, path: Path) -> bool:
        size = path.stat().st_size
        with path.open("rb+") as file:
            file.seek(max(0, size - _TAIL_BYTES))
            tail = file.read()
            good, last = len(tail), None
            while good and last is None:
                start = tail.rfind(b"\n", 0, good - 1) + 1
                line = tail[start:good]
                last = parsed(line) if line.endswith(b"\n") else None
                good = good if last is not None else start
            if good < len(tail):
                self.mended_bytes += len(tail) - good
                file.truncate(size - (len(tail) - good))
                os.fsync(file.fileno())
        if last is None:
            return False
        self._last = (last.seq, last.hash)
        self._path, self._size = path, size - (len(tail) - good)
        return True

    def _current(self, now: float) -> Path:
        """Return the file to write to; begin a new one if the last is full, or old."""
        files = files_of(self.folder)
        if (
            files
            and files[-1].stat().st_size < self._file_bytes
            and now - self._began_at(files[-1], now) < self._keep_s / FILES
        ):
            return files[-1]
        self._drop(files, now)
        return self.folder / f"audit-{self._last[0] + 1:012d}.jsonl"

    def _began_at(self, path: Path, now: float) -> float:
        """Return when the file's first record was written; a quiet node's files end by age."""
        if self._began is None or self._began[0] != path:
            first = next(records_in([path]), None)
            self._began = (path, first.at if isinstance(first, AuditRecord) else now)
        return self._began[1]

    def _drop(self, files: list[Path], now: float) -> None:
        """Drop the oldest files if they are too old, or all together too large."""
        total = sum(path.stat().st_size for path in files)
        for number, path in enumerate(files[:-1]):
            found = path.stat()
            if total + self._file_bytes <= self._max_bytes and now - found.st_mtime < self._keep_s:
                return
            first = next(records_in(files[number + 1 : number + 2]), None)
            if isinstance(first, AuditRecord):
                anchor = Anchor(first_seq=first.seq, prev=first.prev)
                write_private(self.folder / "anchor.json", msgspec.json.encode(anchor))
            path.unlink()
            total -= found.st_size


def parsed(line: bytes) -> AuditRecord | None:
    """Return the record of a line; None if it is not one."""
    try:
        return msgspec.json.decode(line, type=AuditRecord)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def records_in(files: Sequence[Path]) -> Iterator[AuditRecord | bytes]:
    """Yield every record, the oldest first; a line that is not one comes as it is."""
    for path in files:
        with path.open("rb") as file:
            for line in file:
                record = parsed(line) if line.endswith(b"\n") else None
                yield line if record is None else record


def anchor_of(folder: Path) -> Anchor | None:
    """Return where the record begins, if something was dropped."""
    content = read_private(folder / "anchor.json")
    try:
        return None if content is None else msgspec.json.decode(content, type=Anchor)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # then the first record follows nothing, and is named


def verified(folder: Path) -> Verdict:
    """Read the whole record and say whether it is as it was written."""
    files = files_of(folder)
    anchor = anchor_of(folder)
    seq, head = (0, GENESIS) if anchor is None else (anchor.first_seq - 1, anchor.prev)
    first, count = None, 0
    for record in records_in(files):
        if isinstance(record, bytes):
            last = not record.endswith(b"\n")
            return _told(count, first, seq, head, "" if last else "this line is no record")
        why = _difference(record, seq + 1, head)
        if why:
            return _told(count, first, seq, head, why)
        first = record.seq if first is None else first
        seq, head, count = record.seq, record.hash, count + 1
    return Verdict(records=count, first_seq=first, last_seq=seq if count else None, head=head)


def _told(count: int, first: int | None, seq: int, head: str, why: str) -> Verdict:
    return Verdict(
        records=count,
        first_seq=first,
        last_seq=seq if count else None,
        head=head,
        broken_seq=seq + 1 if why else None,
        why=why,
        torn=not why,
    )


def _difference(record: AuditRecord, seq: int, prev: str) -> str:
    if record.seq != seq:
        return f"record {seq} is missing; {record.seq} stands in its place"
    if record.prev != prev:
        return "it does not follow the record before it"
    if record.hash != hash_of(record):
        return "its content was changed"
    return ""


def as_text(record: AuditRecord) -> dict[str, Any]:
    """Return the record with all its fields, as programs read it."""
    return asdict(record)
