"""What an event says in the other files of a run: errors, timeline and logs.

A record here follows from the line in the event stream and the tally before it, so that it can be
made again after a crash. It carries the event's span id: by that it is found to be there already.

Source: bundle format 6.4, 6.6, 6.9.
"""

from hashlib import sha256
from typing import Any

from msgspec import Struct

from mnedge.model.failure import SCHEMA, bounded, failure_envelope
from mnedge.model.ids import derived_id
from mnedge.store.runs.bounds import bounded_envelope, bounded_line, encode
from mnedge.store.runs.kinds import Kind, summary_of
from mnedge.store.runs.tally import payload_of, text_of

LEVELS = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "WARN": 30, "ERROR": 40, "CRITICAL": 50}
_DETAILS_BYTES = 4096
_ERROR_LINK = [{"rel": "errors", "artifact_id": "errors_jsonl"}]


class Derived(Struct, frozen=True):
    """Lines for other streams, without newlines; None where the event has no place."""

    span_id: str
    event_id: str
    errors: bytes | None = None
    timeline: bytes | None = None
    logs: bytes | None = None
    human: bytes | None = None


class Deriver:
    """Makes the records of one run."""

    def __init__(
        self, run_id: str, blueprint_id: str, trace_id: str, *, log_level: int | None
    ) -> None:
        self._run = {"run_id": run_id, "blueprint_id": blueprint_id}
        self._trace_id = trace_id
        self._log_level = log_level
        """None: no logs."""

    def derive(
        self,
        kind: Kind,
        record: dict[str, Any],
        line: bytes,
        duration_ms: int | None,
        *,
        ours: bool = True,
    ) -> Derived:
        """Return what the event says elsewhere. `line` is its line in the stream.

        Not `ours`: whoever writes a human event writes it to both files.
        """
        identity = self._identity(record, line)
        return Derived(
            span_id=identity["span_id"],
            event_id=identity["event_id"],
            errors=self._error(kind, record, identity) if kind.failure else None,
            timeline=self._moment(kind, record, identity, duration_ms) if kind.timeline else None,
            logs=self._log(kind, record, identity),
            human=line if kind.human and ours else None,
        )

    def _identity(self, record: dict[str, Any], line: bytes) -> dict[str, str]:
        """Return the ids of the event; a worker's event may lack them, so they follow from it."""
        digest = sha256(line).hexdigest()
        return {
            "event_id": text_of(record, "event_id") or "evt_" + derived_id(digest, size_bytes=12),
            "span_id": text_of(record, "span_id")
            or "spn_" + derived_id(f"{digest}:span", size_bytes=12),
            "trace_id": text_of(record, "trace_id") or self._trace_id,
            "ts": text_of(record, "ts") or text_of(record, "timestamp"),
        }

    def _error(self, kind: Kind, record: dict[str, Any], identity: dict[str, str]) -> bytes:
        payload = payload_of(record)
        about = {
            "step_id": text_of(record, "step_id") or text_of(payload, "step_id"),
            "agent_id": text_of(record, "agent_id") or text_of(payload, "agent_id"),
            "mode": text_of(payload, "mode"),
        }
        return bounded_line(
            {
                **self._run,
                **identity,
                **{name: value for name, value in about.items() if value},
                "type": kind.type,
                "error": envelope_for(record, self._run["run_id"], identity),
            }
        )

    def _moment(
        self,
        kind: Kind,
        record: dict[str, Any],
        identity: dict[str, str],
        duration_ms: int | None,
    ) -> bytes:
        payload = payload_of(record)
        members = {
            **self._run,
            "ts": identity["ts"],
            "trace_id": identity["trace_id"],
            "span_id": identity["span_id"],
            "parent_span_id": text_of(record, "parent_span_id"),
            "type": kind.type,
            "phase": text_of(payload, "phase") or kind.phase,
            "step_id": text_of(record, "step_id") or text_of(payload, "step_id"),
            "agent_id": text_of(record, "agent_id") or text_of(payload, "agent_id"),
            "status": text_of(payload, "status") or kind.status,
            "duration_ms": duration_ms,
            "summary": summary_of(kind, record),
            "links": _ERROR_LINK if kind.failure else None,
            "details": _details(record, payload),
        }
        kept = {name: value for name, value in members.items() if value not in (None, "", {})}
        return bounded_line({"version": 1, "schema_version": "mn.timeline.v1", **kept})

    def _log(self, kind: Kind, record: dict[str, Any], identity: dict[str, str]) -> bytes | None:
        level = "ERROR" if kind.failure else "WARN" if kind.warning else "INFO"
        if not kind.timeline or self._log_level is None or LEVELS[level] < self._log_level:
            return None
        error = envelope_for(record, self._run["run_id"], identity) if kind.failure else None
        log: dict[str, Any] = {
            **self._run,
            **identity,
            "level": level,
            "component": text_of(record, "agent_id") or text_of(record, "step_id") or "runtime",
            "message": f"{kind.type}: {summary_of(kind, record)}",
        }
        if error is not None:
            log["error"] = {
                "type": kind.type,
                "message": text_of(error, "desc"),
                "code": text_of(error, "code"),
            }
        return bounded_line(log)


def level_of(name: Any) -> int:
    """Return the number of a log level; what nobody knows is INFO."""
    text = name.upper() if isinstance(name, str) else ""
    return LEVELS.get("WARN" if text == "WARNING" else text, LEVELS["INFO"])


def envelope_for(record: dict[str, Any], job_id: str, identity: dict[str, str]) -> dict[str, Any]:
    """Return the error envelope of a failure event: the one it brings, else one made for it."""
    payload = payload_of(record)
    for error in (record.get("error"), payload.get("error"), payload):
        if isinstance(error, dict) and error.get("schema_version") == SCHEMA:
            return bounded_envelope({**error, **_missing(error, identity)})
    reason = next(
        (given for given in map(payload.get, ("error", "reason", "message")) if given),
        record.get("error") or text_of(record, "type").replace("_", " "),
    )
    step = text_of(record, "step_id") or text_of(payload, "step_id") or None
    agent = text_of(record, "agent_id") or text_of(payload, "agent_id") or None
    made = failure_envelope(
        reason, at=0.0, job_id=job_id, event_seq=0, agent_id=agent, step_id=step
    )
    ids = {name: identity[name] for name in ("event_id", "trace_id", "span_id")}
    return bounded_envelope({**made, **ids, "occurred_at": identity["ts"]})


def _missing(error: dict[str, Any], identity: dict[str, str]) -> dict[str, str]:
    names = {
        "event_id": "event_id",
        "trace_id": "trace_id",
        "span_id": "span_id",
        "ts": "occurred_at",
    }
    return {at: identity[name] for name, at in names.items() if not error.get(at)}


def _details(record: dict[str, Any], payload: dict[str, Any]) -> dict[str, Any]:
    """Return what else is worth a look, if it is short."""
    error = record.get("error")
    if isinstance(error, dict):
        details = error.get("details")
        return details if isinstance(details, dict) else {}
    details = {name: value for name, value in payload.items() if name != "error"}
    if not details:
        return {}
    short = bounded(details)
    return short if isinstance(short, dict) and len(encode(short)) <= _DETAILS_BYTES else {}
