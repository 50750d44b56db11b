"""How the console says things: statuses with a sign and a tone, times, sizes, values. Pure."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple

from mnedge.model import amounts


class Look(NamedTuple):
    """How a status is shown: never by colour alone."""

    word: str
    mark: str
    tone: str
    """`live`, `good`, `warn`, `bad` or `idle`."""


_LOOKS = {
    "running": ("●", "live"),
    "busy": ("●", "live"),
    "completed": ("✓", "good"),
    "succeeded": ("✓", "good"),
    "ok": ("✓", "good"),
    "allow": ("✓", "good"),
    "fine": ("✓", "good"),
    "quiet": ("✓", "good"),
    "active": ("✓", "good"),
    "healthy": ("✓", "good"),
    "partial": ("✓", "warn"),
    "waiting_for_human": ("◆", "warn"),
    "waiting": ("◆", "warn"),
    "paused": ("‖", "warn"),
    "queued": ("○", "warn"),
    "blocked": ("○", "warn"),
    "retry_wait": ("↻", "warn"),
    "restarting": ("↻", "warn"),
    "degraded": ("▲", "warn"),
    "draining": ("▲", "warn"),
    "maintenance": ("▲", "warn"),
    "warning": ("▲", "warn"),
    "about to fire": ("▲", "warn"),
    "ticket": ("▲", "warn"),
    "page": ("▲", "bad"),
    "failed": ("✗", "bad"),
    "faulted": ("✗", "bad"),
    "error": ("✗", "bad"),
    "deny": ("✗", "bad"),
    "firing": ("▲", "bad"),
    "critical": ("▲", "bad"),
    "cancelled": ("■", "idle"),
    "skipped": ("⊘", "idle"),
    "archived": ("⊘", "idle"),
    "pending": ("·", "idle"),
    "ready": ("·", "idle"),
}
URGENCY = {"bad": 0, "live": 1, "warn": 2, "idle": 3, "good": 4}
"""Which tone speaks for many things at once, the smallest first."""


def look(status: object) -> Look:
    """Return how a status is shown; one that is not known is plain."""
    word = str(status)
    mark, tone = _LOOKS.get(word, ("·", "idle"))
    return Look(word.replace("_", " "), mark, tone)


def shown_status(job: Mapping[str, Any]) -> str:
    """Return the status of a job's record; one that runs and waits for a person says so."""
    waits = job.get("waiting_for_human") and job.get("status") == "running"
    return "waiting_for_human" if waits else str(job.get("status"))


def took(job: Mapping[str, Any], now: float) -> float | None:
    """Return for how many seconds the job ran, or runs; None if it has not begun."""
    began = seconds_of(job.get("started_at"))
    ended = seconds_of(job.get("ended_at"))
    if began is None:
        began = seconds_of(job.get("submitted_at")) if ended is not None else None
    return None if began is None else (now if ended is None else ended) - began


def why(job: Mapping[str, Any]) -> str:
    """Return why a job failed or stands still; empty if it does neither."""
    if job.get("status") not in ("failed", "faulted"):
        return str(job.get("review") or "")
    return reason_of(job).get("message", "")


def reason_of(job: Mapping[str, Any]) -> dict[str, str]:
    """Return why a job failed: `agent`, `step`, `message`, `cause`, `code`, `mend`."""
    error, fault = _object(job.get("error")), _object(job.get("fault"))
    details, result = _object(error.get("details")), _object(job.get("result"))
    message = str(details.get("message") or error.get("desc") or error.get("message") or "")
    raw = result.get("error") or result.get("reason")
    if not message and raw is not None:
        message = one_line(raw, 600)
    if fault:
        message = message or str(fault.get("error") or "").strip().rpartition("\n")[2]
    mend = str(error.get("remediation") or "")
    if fault and not mend:
        mend = "mnedge itself failed: report it. `mnedge job recover` tries again; Cancel ends it."
    return {
        "agent": str(details.get("agent_id") or result.get("agent_id") or ""),
        "step": str(details.get("step_id") or ""),
        "message": message or "no reason was given",
        "cause": str(details.get("cause") or "").strip().partition("\n")[0],
        "code": str(error.get("code") or ""),
        "mend": mend,
    }


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def seconds_of(at: object) -> float | None:
    """Return a moment in seconds, from seconds or an ISO text; None if it is neither."""
    if isinstance(at, int | float) and not isinstance(at, bool):
        return float(at)
    if isinstance(at, str):
        try:
            return datetime.fromisoformat(at).timestamp()
        except ValueError:
            return None
    return None


def duration(seconds: object) -> str:
    """Return `0.4 s`, `42 s`, `3 min 05 s`, `2 h 10 min`, `5 d 3 h`; nothing for no number."""
    return amounts.duration(seconds) if isinstance(seconds, int | float) else ""


def size(count_bytes: object) -> str:
    """Return `512 B`, `1.2 KiB`, `3.0 GiB`; nothing for no number."""
    return amounts.size(count_bytes) if isinstance(count_bytes, int | float) else ""


def ago(at: object, now: float) -> str:
    """Return `just now`, `5 s ago`, `in 3 min`; nothing for no moment."""
    moment_s = seconds_of(at)
    if moment_s is None:
        return ""
    seconds = now - moment_s
    if abs(seconds) < 2:
        return "just now"
    for below_s, one_s, unit in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h")):
        if abs(seconds) < below_s:
            count = f"{int(abs(seconds) // one_s)} {unit}"
            break
    else:
        count = f"{int(abs(seconds) // 86400)} d"
    return f"{count} ago" if seconds > 0 else f"in {count}"


def moment(at: object, zone: tzinfo | None = None) -> str:
    """Return date and time of the node to the second; nothing for no moment."""
    seconds = seconds_of(at)
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, tz=UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def clock(at: object, zone: tzinfo | None = None) -> str:
    """Return time of the node to the millisecond; nothing for no moment."""
    seconds = seconds_of(at)
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, tz=UTC).astimezone(zone).strftime("%H:%M:%S.%f")[:-3]


def iso(at: object) -> str:
    """Return a moment as programs read it; nothing for no moment."""
    seconds = seconds_of(at)
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="milliseconds")


def counted(count: int, one: str, many: str = "") -> str:
    """Return `1 agent`, `3 agents`, `12 000 events`."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def number(value: object) -> str:
    """Return a number with its thousands apart."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 else number(round(value))
    return str(value)


def one_line(value: Any, most: int = 160) -> str:
    """Return any value in one line of at most `most` signs."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def pretty(value: Any, most: int = 200_000) -> str:
    """Return any value as JSON that people can read; a text as it is; cut behind `most` signs."""
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    if len(value) <= most:
        return str(value)
    return f"{value[:most]}\n… {number(len(value) - most)} more characters"


_SHOWN_BESIDE = frozenset(
    (
        *("agent_id", "lease_id", "attempt_id", "step_id", "sandbox_name", "message_id"),
        *("idempotency_key", "deadline_at", "heartbeat_deadline_at", "max_attempts"),
    )
)
"""Members of payloads that a line about the event does not repeat."""


def event_tone(event_type: str) -> str:
    """Return the tone in which an event of this type is told."""
    if event_type.endswith(("failed", "error", "rejected")) or event_type == "dead_letter":
        return "bad"
    if event_type.endswith(("timed_out", "timeout", "retry_scheduled", "blocked")):
        return "warn"
    if event_type == "human_input_requested":
        return "warn"
    if event_type in ("job_completed", "workflow_step_completed", "job_resumed"):
        return "good"
    return "idle"


def told(event_type: str, payload: Any) -> str:
    """Return the telling part of an event's payload in one line."""
    if not isinstance(payload, dict):
        return one_line(payload) if payload else ""
    if event_type == "agent_message_received":
        return f"{payload.get('type', '')} from {payload.get('from') or 'outside'}"
    for name in ("message", "reason", "error", "prompt", "text"):
        if isinstance(payload.get(name), str) and payload[name]:
            return one_line(payload[name])
    kept = {
        name: value
        for name, value in payload.items()
        if name not in _SHOWN_BESIDE and value not in (None, "", [], {})
    }
    return ", ".join(f"{name} {one_line(value, 60)}" for name, value in list(kept.items())[:6])
