"""What the streams of a run hold, read again: to count anew, and to mend what a crash has left.

After a kill the event stream is ahead of those that follow from it, by a batch at most. After a
power cut any of them may have lost its end, so the ones that follow may be ahead.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from mnedge.store.runs.bounds import RECORD_BYTES
from mnedge.store.runs.derived import Derived, Deriver
from mnedge.store.runs.kinds import kind_of
from mnedge.store.runs.lines import END, ENDINGS, RUN_TYPES, event_ids, extra_ids
from mnedge.store.runs.stream import Stream
from mnedge.store.runs.tally import Tally

LATER = 5000
"""Events that a power cut is expected to take at most."""
_NEWEST_LINES = 500
_TAIL_BYTES = 32 << 20
_SPAN_ID = re.compile(rb'"span_id"\s*:\s*"([^"\\]*)"')
_EVENT_ID = re.compile(rb'"event_id"\s*:\s*"([^"\\]*)"')


class Head(Struct):
    """What must be known of every line."""

    type: Any = None
    event_id: Any = None
    seq: Any = None
    ts: Any = None


decode_head = msgspec.json.Decoder(Head).decode


def whole_lines(content: bytes) -> list[bytes]:
    """Return the lines, each with its newline; what stands after the last one is left out."""
    return [line + b"\n" for line in content.split(b"\n")[:-1]]


def derived_from(line: bytes, tally: Tally, deriver: Deriver, *, ours: bool) -> list[Derived]:
    """Count a line (without its newline) and return what follows from it."""
    record = msgspec.json.decode(line)
    kind = kind_of(str(record.get("type")))
    if not kind.noted:
        return []
    duration_ms = tally.note(kind, record, ours=ours)
    return [deriver.derive(kind, record, line, duration_ms, ours=ours)]


def counted_again(events: Stream, deriver: Deriver, job_id: str) -> tuple[Tally, list[Derived]]:
    """Count from the newest full file on; return what follows from the current one.

    An event whose lines were not all written is cut off, and so is everything behind a hole.
    """
    segments = events.segments
    tally = msgspec.convert(segments[-1].checkpoint, Tally) if segments else Tally()
    endings = {extra_ids(job_id, END, type_)[0] for type_ in RUN_TYPES}
    derived: list[Derived] = []
    offset = around = 0
    lines = whole_lines(events.read())
    for at, line in enumerate(lines):
        try:
            head = decode_head(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            events.cut(offset)
            break
        numbered = isinstance(head.seq, int)
        if numbered:
            around = _around(head.type, tally)
            if at + around >= len(lines):
                events.cut(offset)
                break
            tally.last_ts, tally.last_seq = str(head.ts), head.seq
        ours = numbered or around > 0 or head.event_id in endings
        if around and not numbered:
            around -= 1
        if kind_of(str(head.type)).noted:
            derived += derived_from(line[:-1], tally, deriver, ours=ours)
        offset += len(line)
    return tally, derived


def _around(type_: str, tally: Tally) -> int:
    """Return how many lines of the run itself must follow an event of ours."""
    if type_ in ENDINGS:
        return 1 if tally.started_ts else 3
    return 2 if type_ == "job_running" and not tally.started_ts else 0


def later_ids(job_id: str, watermark: int) -> frozenset[str]:
    """Return event ids and span ids that only events after the watermark can bring."""
    found: list[str] = []
    for seq in range(watermark + 1, watermark + 1 + LATER):
        found += event_ids(job_id, seq)
        for type_ in RUN_TYPES:
            found += extra_ids(job_id, str(seq), type_)
    return frozenset(found)


def drop_ahead(events: Stream, following: Iterable[Stream], job_id: str, tally: Tally) -> None:
    """Take out of the streams that follow what follows from events that are gone.

    Job time never goes back: what is older than the last event of ours follows from what is there.
    """
    known: set[bytes] | None = None
    later: frozenset[str] = frozenset()
    for stream in following:
        content = stream.read()
        newest = whole_lines(content)[-_NEWEST_LINES:]
        spans = _spans(b"".join([line for line in newest if _ts_of(line) >= tally.last_ts]))
        if spans and known is None:
            known = _spans(_newest_part(events))
        if known is None or spans <= known:
            continue
        later = later or later_ids(job_id, tally.last_seq)
        kept = [line for line in whole_lines(content) if not _has_any(line, later)]
        rewrite(stream, content, kept)


def not_in(stream: Stream, derived: Sequence[Derived]) -> list[Derived]:
    """Return what the newest part of a stream lacks, by span id and event id."""
    content = _newest_part(stream)
    spans, ids = _spans(content), set(_EVENT_ID.findall(content))
    return [
        one
        for one in derived
        if one.span_id.encode() not in spans and one.event_id.encode() not in ids
    ]


def split_at(content: bytes, seq: int) -> tuple[list[bytes], list[bytes]]:
    """Return the lines to keep and those to cut: ours after `seq`, the run's own with them."""
    kept: list[bytes] = []
    gone: list[bytes] = []
    cutting = False
    for line in whole_lines(content):
        head = decode_head(line)
        numbered = isinstance(head.seq, int)
        if numbered:
            cutting = head.seq > seq
        if cutting and (numbered or head.type in RUN_TYPES):
            gone.append(line)
        else:
            kept.append(line)
    return kept, gone


def without(content: bytes, gone: Iterable[bytes]) -> list[bytes]:
    """Return the lines that carry no span of the lines that are gone."""
    spans = _spans(b"".join(gone))
    return [line for line in whole_lines(content) if not spans & _spans(line)]


def rewrite(stream: Stream, content: bytes, kept: Sequence[bytes]) -> None:
    """Replace the current file's content; what both begin with stays untouched.

    Raises: OSError.
    """
    same = 0
    for line in kept:
        if not content.startswith(line, same):
            break
        same += len(line)
    rest = b"".join(kept)[same:]
    if same < len(content):
        stream.cut(same)
    if rest:
        stream.append(rest)


def ts_of_ends(stream: Stream) -> tuple[str, str]:
    """Return the times of the first and the last record of the current file."""
    reach = 4 * RECORD_BYTES
    first = stream.read(0, min(reach, stream.size_bytes)).partition(b"\n")[0]
    last = stream.read(max(0, stream.size_bytes - reach))[:-1].rpartition(b"\n")[2]
    return _ts_of(first), _ts_of(last)


def _ts_of(line: bytes) -> str:
    try:
        ts = decode_head(line).ts
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return ts if isinstance(ts, str) else ""


def _newest_part(stream: Stream) -> bytes:
    content = stream.read(max(0, stream.size_bytes - _TAIL_BYTES))
    if stream.segments:
        content = stream.read_segment(stream.segments[-1]) + content
    return content


def _spans(content: bytes) -> set[bytes]:
    return set(_SPAN_ID.findall(content))


def _has_any(line: bytes, ids: frozenset[str]) -> bool:
    record = msgspec.json.decode(line)
    return record.get("event_id") in ids or record.get("span_id") in ids
