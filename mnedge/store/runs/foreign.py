"""Lines that workers wrote into a run's files, made fit to stand beside ours.

What is valid stays as it is, byte for byte, unless it holds a secret, is too long, or carries a
`seq`: that member numbers our own events and nothing else, so a worker's becomes `worker_seq`.
What is no JSON object becomes an `unparseable_event`.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from mnedge.model.events import event_id
from mnedge.model.ids import derived_id
from mnedge.model.redaction import Redactor
from mnedge.store.runs.bounds import RECORD_BYTES, bounded_line
from mnedge.store.runs.lines import Identity
from mnedge.store.runs.mirror import Foreign
from mnedge.store.runs.stream import Stream

UNPARSEABLE_CHARS = 2000
_EVENT_ID = re.compile(rb'"event_id"\s*:\s*"([^"\\]*)"')


class Adopter:
    """Takes in what workers of one run wrote."""

    def __init__(self, identity: Identity, redactor: Redactor) -> None:
        self._identity = identity
        self._redactor = redactor
        self.later: Callable[[], frozenset[str]] = frozenset
        """Ids that events of ours will bring which are not in the stream, once more or yet."""

    def adopted(self, foreign: Foreign, stream: Stream, ts: str) -> list[bytes]:
        """Return those lines that the stream lacks, without newlines; `ts` dates the undated."""
        found = [line for line in (raw.strip(b" \t\r\0") for raw in foreign.lines) if line]
        if not found:
            return []
        content = stream.read()
        ids = set(_EVENT_ID.findall(content))
        same = set(content.split(b"\n")) if foreign.replaced else set()
        kept: list[bytes] = []
        for line in found:
            if line in same:
                continue
            new = self._adopted(line, ids, ts)
            if new is not None:
                kept.append(new)
                if foreign.replaced:
                    same.add(new)
        return kept

    def _adopted(self, line: bytes, ids: set[bytes], ts: str) -> bytes | None:
        record = _record(line)
        if record is None:
            record = self._unparseable(line, ts)
            line = b""
        name = record.get("event_id")
        if isinstance(name, str) and name:
            known = name.encode(errors="replace")
            if known in ids or self._is_ours(record):
                return None
            ids.add(known)
        clean: dict[str, Any] = self._redactor.tree(record)
        if "seq" in clean:
            clean = {("worker_seq" if key == "seq" else key): clean[key] for key in clean}
        if clean is record and 0 < len(line) <= RECORD_BYTES:
            return line
        return bounded_line(clean)

    def _is_ours(self, record: dict[str, Any]) -> bool:
        """Tell whether a line is a copy of ours, or was ours before a power cut took it."""
        name, seq = record["event_id"], record.get("seq")
        if isinstance(seq, int) and not isinstance(seq, bool):
            return bool(name == event_id(self._identity.job_id, seq))
        return record.get("trace_id") == self._identity.trace_id and name in self.later()

    def _unparseable(self, line: bytes, ts: str) -> dict[str, Any]:
        text = line.decode(errors="replace")
        digest = derived_id(f"{self._identity.job_id}:{text}", size_bytes=12)
        return {
            "blueprint_id": self._identity.blueprint_id,
            "event_id": f"evt_{digest}",
            "payload": {"line": self._redactor.text(text)[:UNPARSEABLE_CHARS]},
            "run_id": self._identity.job_id,
            "ts": ts,
            "type": "unparseable_event",
        }


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
