"""Rules about when a job starts by itself."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from mnedge.bundle.rules.registry import ERROR, Found, rule
from mnedge.bundle.subject import JsonObject, Subject, is_count, is_number, is_text, mapping

KINDS = ("periodic", "delayed", "event")
MISSED = ("skip", "catchup_one", "catchup_all")
_NICKNAMES = ("@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually")
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_PART = re.compile(r"(\*|[0-9]{1,2}(?:-[0-9]{1,2})?)(?:/([0-9]{1,3}))?")


@rule(
    "R-08",
    ERROR,
    "*",
    "runtime.schedule",
    "the schedule is malformed",
    help='write {"kind": "periodic", "crons": ["0 2 * * *"]} or {"kind": "delayed", "run_at": "…"}',
)
def schedule_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with the schedule."""
    schedule = subject.manifest.get("schedule")
    if schedule is None:
        return
    if not isinstance(schedule, dict):
        yield Found(at=("schedule",), message="schedule must be an object", actual=schedule)
        return
    for key, reason, expected in _wrong(schedule):
        yield Found(
            at=("schedule", key),
            message=f"schedule.{key} {reason}",
            expected=expected,
            actual=schedule.get(key),
        )


def _wrong(schedule: JsonObject) -> Iterator[tuple[str, str, Any]]:
    kind = schedule.get("kind")
    if kind is not None and kind not in KINDS:
        yield "kind", "must be a kind of schedule", list(KINDS)
    crons = schedule.get("crons", schedule.get("cron"))
    entries = crons if isinstance(crons, list) else [crons] if crons is not None else []
    for entry in entries:
        reason = cron_problem(entry)
        if reason:
            yield (
                "crons" if "crons" in schedule else "cron",
                reason,
                "five fields, such as 0 2 * * *",
            )
    timed = schedule.get("run_at") is not None or schedule.get("delay_ms") is not None
    if kind != "event" and not entries and not timed:
        yield "cron", "is required, or run_at, or delay_ms", "five fields, such as 0 2 * * *"
    yield from _wrong_times(schedule)
    if schedule.get("missed_policy", "skip") not in MISSED:
        yield "missed_policy", "must be a policy", list(MISSED)
    for key in ("enabled", "prohibit_overlap"):
        if not isinstance(schedule.get(key, True), bool):
            yield key, "must be a boolean", "true or false"
    window = schedule.get("window")
    if window is not None and not _is_window(window):
        yield "window", "needs duration_ms above 0 and end_action cancel or none", "an object"


def _wrong_times(schedule: JsonObject) -> Iterator[tuple[str, str, Any]]:
    run_at = schedule.get("run_at")
    if run_at is not None and not _is_moment(run_at):
        yield "run_at", "must be a moment", "an ISO time such as 2026-07-01T09:00:00Z"
    for key in ("delay_ms", "missed_grace_ms"):
        value = schedule.get(key)
        if value is not None and (not is_number(value) or value < 0):
            yield key, "must be a number of at least 0", "a number"
    if not is_count(schedule.get("catchup_limit", 1)):
        yield "catchup_limit", "must be a whole number of at least 0", "a whole number"
    zone = schedule.get("timezone")
    if zone is not None and not _is_zone(zone):
        yield "timezone", "must be a time zone", "a name such as Europe/Berlin"


def _is_window(window: Any) -> bool:
    duration = mapping(window).get("duration_ms")
    return (
        isinstance(window, dict)
        and is_number(duration)
        and duration > 0
        and window.get("end_action", "none") in ("cancel", "none")
    )


def _is_moment(value: Any) -> bool:
    if is_number(value):
        return bool(value >= 0)
    if not is_text(value) or len(value) > 40:
        return False
    try:
        datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return False
    return True


def _is_zone(value: Any) -> bool:
    from zoneinfo import ZoneInfo  # only here: it reads how this Python was compiled, 0.8 MB

    if not is_text(value) or len(value) > 64:
        return False
    try:
        ZoneInfo(value)
    except (ValueError, OSError):
        return False
    except KeyError:
        return value in ("UTC", "Etc/UTC")
    return True


def cron_problem(entry: Any) -> str:
    """Return why `entry` is no cron expression of the standard, or the empty text."""
    if not is_text(entry):
        return "must be a text"
    if entry.startswith("@"):
        return "" if entry in _NICKNAMES else f"{entry[:20]!r} is no known nickname"
    fields = entry.split()
    if len(fields) != len(_RANGES):
        return f"{entry[:60]!r} must have five fields"
    for field, (least, most) in zip(fields, _RANGES, strict=True):
        for part in field.split(","):
            match = _PART.fullmatch(part)
            if match is None:
                return f"{part[:20]!r} is no cron field"
            if match[2] is not None and int(match[2]) == 0:
                return f"{part[:20]!r} steps by 0"
            if match[1] != "*":
                bounds = [int(number) for number in match[1].split("-")]
                if min(bounds) < least or max(bounds) > most or bounds[0] > bounds[-1]:
                    return f"{part[:20]!r} is not within {least} to {most}"
    return ""
