"""Run folders read back, whoever wrote them: any subset of members, broken lines, full files.

Source: bundle format 6.2, 6.3, 6.7.
"""

import gzip
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mnedge.errors import NotFoundError
from mnedge.store.runs.files import as_stamp, open_to_read, read_json, read_plain, stamp_of
from mnedge.store.runs.foreign import UNPARSEABLE_CHARS
from mnedge.store.runs.stream import segment_name

Record = dict[str, Any]
_READ_BYTES = 1 << 20


class RunNotFoundError(NotFoundError):
    """No run folder has that id."""

    code = "run_store.run_not_found"


def read_run(run_dir: Path) -> Record:
    """Return what `run.json` says; members that are missing or odd get a plain default.

    Raises: RunNotFoundError if there is no such folder.
    """
    if not run_dir.is_dir():
        raise RunNotFoundError(
            f"no run is kept in {run_dir}", hint="`mnedge run list` shows the runs there are"
        )
    found = read_json(run_dir / "run.json")
    record: Record = found if isinstance(found, dict) else {}
    texts = {
        name: value if isinstance(value := record.get(name), str) and value else default
        for name, default in (
            ("run_id", run_dir.name),
            ("blueprint_id", ""),
            ("status", "unknown"),
        )
    }
    ended_at = record.get("ended_at") or record.get("finished_at")
    return {**record, **texts, "ended_at": ended_at, "run_dir": str(run_dir)}


def list_runs(
    root: Path, *, blueprint_id: str | None = None, limit: int | None = None
) -> list[Record]:
    """Return the runs below the root, most recently changed first."""
    try:
        folders = [entry for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    found: list[tuple[str, float, Record]] = []
    for entry in folders:
        record = read_run(Path(entry.path))
        if blueprint_id is not None and record["blueprint_id"] != blueprint_id:
            continue
        changed = next(
            (
                value
                for name in ("updated_at", "ended_at", "started_at")
                if isinstance(value := record.get(name), str)
            ),
            "",
        )
        found.append((changed, entry.stat(follow_symlinks=False).st_mtime, record))
    found.sort(key=lambda item: (item[0], item[1], item[2]["run_id"]), reverse=True)
    return [record for _, _, record in found[:limit]]


def read_events(run_dir: Path, *, after: int = 0, limit: int | None = None) -> list[Record]:
    """Return events in order of time; `limit` keeps the newest.

    `after`: those behind our event with this `seq`, and behind all before it.
    """
    records = _in_order(run_dir, "events", None if after else limit)
    return _newest(_behind(records, after) if after else records, limit)


def read_stream(run_dir: Path, stream: str, *, limit: int | None = None) -> list[Record]:
    """Return the records of `logs`, `errors`, `timeline`, `human` …; `limit` keeps the newest."""
    return _newest(_in_order(run_dir, stream, limit), limit)


def record_of(line: bytes, run_id: str) -> Record:
    """Return the record a line holds, with the members that every record should have."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        text = line.decode(errors="replace")[:UNPARSEABLE_CHARS]
        found = {"type": "unparseable_event", "payload": {"line": text}}
    ts = found.get("ts") or found.get("timestamp")
    found["ts"] = ts if isinstance(ts, str) else ""
    found.setdefault("run_id", run_id)
    found.setdefault("blueprint_id", "")
    return found


class Follower:
    """Tells what a stream of a run holds and then gains, each line once.

    It begins with the full files, reads on when the current one becomes full, and knows again what
    it told of a file that a worker cut or that was rebuilt.
    """

    def __init__(self, run_dir: Path, stream: str = "events", *, after: int = 0) -> None:
        """`after`: as for `read_events`."""
        self._run_dir = run_dir
        self._stream = stream
        self._path = run_dir / f"{stream}.jsonl"
        self._after = after
        self._begun = False
        self._file: int | None = None
        self._read_bytes = 0
        self._told: Counter[int] = Counter()
        """Hashes of the lines of the current file, as far as it was read."""
        self._known: Counter[int] = Counter()
        """Hashes of lines that were told and may stand in the current file once more."""

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def look(self) -> Iterator[Record]:
        """Return what is new since the last look, in the order of the files."""
        found = (record_of(line, self._run_dir.name) for line in self._fresh())
        after, self._after = self._after, 0
        return iter(_behind(list(found), after)) if after else found

    def close(self) -> None:
        """Let go of the file; another look opens it again."""
        file, self._file = self._file, None
        self._begin_again()
        if file is not None:
            os.close(file)

    def _fresh(self) -> Iterator[bytes]:
        if self._file is not None:
            current = stamp_of(self._path)
            ours = as_stamp(os.fstat(self._file))
            if ours.size_bytes < self._read_bytes:
                self._begin_again()
            yield from self._read_on(self._file)
            if current is not None and current.inode == ours.inode:
                return
            yield from self._full_files_after(ours.inode)
            self.close()
        self._file = open_to_read(self._path)
        if not self._begun:
            self._begun = True
            yield from self._full_files_before(self._file)
        if self._file is not None:
            yield from self._read_on(self._file)

    def _begin_again(self) -> None:
        self._read_bytes = 0
        self._known |= self._told
        self._told.clear()

    def _full_files_before(self, current: int | None) -> Iterator[bytes]:
        inode = None if current is None else os.fstat(current).st_ino
        for path in _full_files(self._run_dir, self._stream):
            stamp = stamp_of(path)
            if stamp is not None and stamp.inode == inode:
                return  # it became full just now
            yield from _lines_of(path)

    def _full_files_after(self, inode: int) -> Iterator[bytes]:
        """Read the full files behind the one that was current, if that is one of them now."""
        full = _full_files(self._run_dir, self._stream)
        inodes = [stamp.inode if (stamp := stamp_of(path)) else None for path in full]
        if inode not in inodes:
            return
        self._told.clear()
        self._known.clear()
        for path in full[inodes.index(inode) + 1 :]:
            yield from _lines_of(path)

    def _read_on(self, file: int) -> Iterator[bytes]:
        rest = b""
        while part := os.pread(file, _READ_BYTES, self._read_bytes + len(rest)):
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                self._read_bytes += len(line) + 1
                if line.strip() and self._is_new(line):
                    yield line

    def _is_new(self, line: bytes) -> bool:
        name = hash(line)
        self._told[name] += 1
        if self._known[name] <= 0:
            return True
        self._known[name] -= 1
        return False


def _in_order(run_dir: Path, stream: str, limit: int | None) -> list[Record]:
    """Return the records of a stream by their time, at least `limit` of the newest."""
    contents: list[list[bytes]] = []
    found = 0
    for path in reversed([*_full_files(run_dir, stream), run_dir / f"{stream}.jsonl"]):
        lines = _lines_of(path)
        contents.append(lines)
        found += len(lines)
        if limit is not None and found >= limit:
            break
    records = [record_of(line, run_dir.name) for lines in reversed(contents) for line in lines]
    dated: list[tuple[str, Record]] = []
    ts = ""
    for record in records:
        ts = record["ts"] or ts  # what has no time stays behind the record before it
        dated.append((ts, record))
    dated.sort(key=lambda item: item[0])
    return [record for _, record in dated]


def _behind(records: list[Record], after: int) -> list[Record]:
    numbered = [at for at, one in enumerate(records) if isinstance(one.get("seq"), int)]
    last = max((at for at in numbered if records[at]["seq"] <= after), default=-1)
    return records[last + 1 :]


def _newest(records: list[Record], limit: int | None) -> list[Record]:
    return records if limit is None else records[max(0, len(records) - limit) :]


def _full_files(run_dir: Path, stream: str) -> list[Path]:
    """Return the full files of a stream, oldest first: as indexed, else as they lie there."""
    index = read_json(run_dir / f"{stream}.index.json")
    segments = index.get("segments") if isinstance(index, dict) else None
    if isinstance(segments, list):
        names = [one.get("path") for one in segments if isinstance(one, dict)]
        return [run_dir / name for name in names if isinstance(name, str) and "/" not in name]
    number = 1
    found = []
    while (path := run_dir / segment_name(stream, number)).exists():
        found.append(path)
        number += 1
    if not found and stream == "logs":
        found = sorted((run_dir / "logs" / "archive").glob("*.logs.jsonl*"))
    return found


def _lines_of(path: Path) -> list[bytes]:
    return [line for line in _content_of(path).split(b"\n") if line.strip()]


def _content_of(path: Path) -> bytes:
    """Return what a file holds; packed, if only its `.gz` is there."""
    content = None if path.name.endswith(".gz") else read_plain(path)
    if content is None:
        packed = path if path.name.endswith(".gz") else path.with_name(f"{path.name}.gz")
        try:
            content = gzip.decompress(read_plain(packed) or b"")
        except (OSError, EOFError, zlib.error):
            content = b""
    return content
