"""Why something failed, as the product's error envelope `mn.error.v1`.

Source: bundle format 6.4, 6.5.
"""

from typing import Any

from mnedge.model.body import json_bytes, shown
from mnedge.model.events import event_id
from mnedge.model.ids import derived_id
from mnedge.model.message import iso_ms

SCHEMA = "mn.error.v1"
CODE_CHARS = 128
DESC_CHARS = 160
TEXT_CHARS = 2048
REMEDIATION_CHARS = 1024
ENVELOPE_BYTES = 16 * 1024
KEYS = 50
ITEMS = 25
_MARK_CHARS = 128
_LINKS = (("errors", "errors_jsonl"), ("events", "events_jsonl"), ("logs", "logs_jsonl"))

_IDENTITY = ("agent_id", "step_id", "attempt", "max_attempts", "node")
_BY_TEXT = (
    (("heartbeat",), "workflow.step.heartbeat_timeout"),
    (("deadline", "timeout", "timed out"), "workflow.step.timeout"),
    (("retry", "exhaust"), "workflow.step.retry_exhausted"),
    (("lease",), "scheduler.lease_unavailable"),
)
_BY_COMPONENT = {
    "job_runner": "runtime.job_runner.failed",
    "job_coordinator": "runtime.job.failed",
}
_DESC = {
    "workflow.step.timeout": "Workflow step timed out",
    "workflow.step.heartbeat_timeout": "Workflow step missed heartbeat deadline",
    "workflow.step.retry_exhausted": "Workflow step exhausted retries",
    "scheduler.lease_unavailable": "Scheduler lease unavailable",
    "runtime.job_runner.failed": "Job runner failed",
}
_BY_CATEGORY = (
    (("device.unavailable", "device_lost", "device.ask_invalid"), "device"),
    (("timeout", "deadline", "heartbeat", "timed out"), "timeout"),
    (("lease", "scheduler"), "scheduler"),
    (("validation", "invalid"), "validation"),
    (("cancel",), "cancelled"),
)
_REMEDIATION = {
    "timeout": "Give the work more time (timeout_seconds), or see in its logs what it waits for.",
    "device": "See what the machine has (mnedge resource list), and ask for that in `resources`.",
    "scheduler": "Ask for fewer slots, or give the pool more (MN_EXECUTOR_POOL_CAPACITIES).",
    "validation": "Mend the input or the manifest where the message says, and run it again.",
    "cancelled": "Run the job again if it was cancelled by mistake.",
    "runtime": "Read the logs of the agent that failed, mend the cause, and run the job again.",
}


def failure_text(error: Any) -> str:
    """Return the error as one line or more of plain text: what people read first."""
    if isinstance(error, dict):
        for key in ("error", "message", "reason", "desc"):
            value = error.get(key)
            if isinstance(value, str) and value:
                return value
            if isinstance(value, dict) and value:
                return failure_text(value)
        if isinstance(error.get("exit_code"), int):
            return f"exit code {error['exit_code']}"
    if isinstance(error, str):
        return error or "Failure"
    return json_bytes(shown(error)).decode() if error else "Failure"


def failure_envelope(
    error: Any,
    *,
    at: float,
    job_id: str,
    event_seq: int,
    component: str | None = None,
    code: str | None = None,
    **about: Any,
) -> dict[str, Any]:
    """Return the `mn.error.v1` envelope of an error (text, result map, or an envelope already).

    `event_seq` numbers the event that carries it. `about` adds to the details: `agent_id`,
    `step_id`, `attempt`, …; None is left out. The same error gives the same envelope.
    """
    given = error if isinstance(error, dict) else {}
    before = given if given.get("schema_version") == SCHEMA else {}
    inner = before.get("details")
    given = inner if isinstance(inner, dict) else given
    text = failure_text(given or error)
    code = code or _text(before or given, "code") or _text(given, "error_code")
    code = code or _code(text, component)
    category = _category(f"{code} {text}".lower())
    details = {
        "message": text,
        "category": category,
        "retryable": _retryable(code, category),
        "reason_type": "map" if given else "text",
        "component": component,
        **(given if before else {key: given[key] for key in _IDENTITY if key in given}),
        **about,
    }
    envelope = {
        "version": 1,
        "schema_version": SCHEMA,
        "code": code[:CODE_CHARS],
        "desc": _text(before, "desc")[:DESC_CHARS] or _desc(code, text),
        "details": bounded({key: value for key, value in details.items() if value is not None}),
        "severity": _text(before, "severity") or "ERROR",
        "occurred_at": _text(before, "occurred_at") or iso_ms(at),
        "event_id": _text(before, "event_id") or event_id(job_id, event_seq),
        "trace_id": _text(before, "trace_id")
        or "trc_" + derived_id(f"{job_id}:trace", size_bytes=12),
        "span_id": _text(before, "span_id")
        or "spn_" + derived_id(f"{job_id}:{event_seq}:span", size_bytes=12),
        "remediation": (_text(before, "remediation") or _REMEDIATION[category])[:REMEDIATION_CHARS],
        "links": [{"rel": rel, "artifact_id": artifact} for rel, artifact in _LINKS],
    }
    if len(json_bytes(envelope)) > ENVELOPE_BYTES:
        envelope["details"] = {"message": bounded(text), "truncated": True}
    return envelope


def bounded(value: Any) -> Any:
    """Return the value as details may hold it: what is too long is cut, and marked as cut."""
    if isinstance(value, str):
        if len(value) <= TEXT_CHARS:
            return value
        preview = " ".join(value[: 4 * TEXT_CHARS].split())[: TEXT_CHARS - _MARK_CHARS]
        return {"truncated": True, "chars": len(value), "preview": preview}
    if isinstance(value, dict):
        return {key: bounded(item) for key, item in list(value.items())[:KEYS]}
    if isinstance(value, list):
        kept = [bounded(item) for item in value[:ITEMS]]
        left = len(value) - ITEMS
        return [*kept, {"truncated": True, "items": left}] if left > 0 else kept
    return shown(value, most_items=ITEMS)


def _text(given: dict[str, Any], key: str) -> str:
    value = given.get(key)
    return value if isinstance(value, str) else ""


def _code(text: str, component: str | None) -> str:
    lower = text.lower()
    for words, code in _BY_TEXT:
        if any(word in lower for word in words):
            return code
    return _BY_COMPONENT.get(component or "", "runtime.failure")


def _category(text: str) -> str:
    for words, category in _BY_CATEGORY:
        if any(word in text for word in words):
            return category
    return "runtime"


def _retryable(code: str, category: str) -> bool:
    if category == "timeout":
        return False
    return any(word in code for word in ("lease", "temporary", "unavailable"))


def _desc(code: str, text: str) -> str:
    fixed = _DESC.get(code)
    if fixed is not None:
        return fixed
    line = " ".join(text.split())
    return (line[:1].upper() + line[1:])[:DESC_CHARS] or "Failure"
