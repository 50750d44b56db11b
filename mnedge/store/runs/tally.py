"""What is counted while a run goes on: enough for its summary, and small."""

from datetime import datetime
from typing import Any

from msgspec import Struct, field

from mnedge.store.runs.kinds import RUN_STATUS_OF, WORK_BEGINS, Kind

SLOWEST = 10
OPEN_LIMIT = 1000
"""Steps and phases that have begun and not ended; older ones are forgotten beyond that."""

_ENDS = ("_completed", "_failed", "_partial", "_skipped", "_timed_out", "_cancelled")


class Slow(Struct):
    """Something that took its time."""

    name: str
    duration_ms: int


class Tally(Struct, kw_only=True, omit_defaults=True):
    """Follows from the lines of the event stream, in their order, and from nothing else."""

    last_seq: int = 0
    """The watermark: the highest number of an event of ours."""
    last_ts: str = ""
    """Of the last event of ours."""
    started_ts: str = ""
    """Of `run_started`."""
    ended_type: str = ""
    """`run_completed`, `run_failed` or `run_cancelled`, once it is there."""
    ended_ts: str = ""
    status: str = "running"
    warnings: int = 0
    retries: int = 0
    failed_step: str = ""
    failed_agent: str = ""
    open: dict[str, str] = field(default_factory=dict)
    """What has begun and not ended → when."""
    waiting_human: list[str] = field(default_factory=list)
    slowest_phases: list[Slow] = field(default_factory=list)
    slowest_steps: list[Slow] = field(default_factory=list)

    def note(self, kind: Kind, record: dict[str, Any], *, ours: bool = True) -> int | None:
        """Take in an event whose kind is noted; return how long what it ends has taken, in ms.

        Not `ours`: a worker's events say nothing about the run's own beginning, status and end.
        """
        ts = text_of(record, "ts") or self.last_ts
        self.warnings += kind.warning
        self.retries += kind.retry
        if kind.failure and kind.type not in ("run_failed", "job_failed"):
            self.failed_step = text_of(record, "step_id") or self.failed_step
            self.failed_agent = text_of(record, "agent_id") or self.failed_agent
        if ours:
            if kind.human:
                self._note_human(kind, record)
            self._note_run(kind, ts)
        return self._duration_ms(kind, record, ts)

    def _note_run(self, kind: Kind, ts: str) -> None:
        match kind.type:
            case "run_started":
                self.started_ts = self.started_ts or ts
            case "run_completed" | "run_failed" | "run_cancelled":
                self.ended_type, self.ended_ts = kind.type, ts
            case type_ if type_ in RUN_STATUS_OF:
                status = RUN_STATUS_OF[type_]
                waits = status == "running" and self.waiting_human
                self.status = "waiting_for_human" if waits else status
            case _:
                pass

    def _note_human(self, kind: Kind, record: dict[str, Any]) -> None:
        payload = payload_of(record)
        request = text_of(payload, "request_id")
        if kind.type == "human_input_requested":
            if payload.get("status", "pending") != "pending":
                return  # it is only shown; nobody waits for an answer
            if request not in self.waiting_human:
                self.waiting_human.append(request)
            if self.status == "running":
                self.status = "waiting_for_human"
        elif request in self.waiting_human and kind.type != "human_notice":
            self.waiting_human.remove(request)
            if not self.waiting_human and self.status == "waiting_for_human":
                self.status = "running"

    def _duration_ms(self, kind: Kind, record: dict[str, Any], ts: str) -> int | None:
        what = _what(kind, record)
        if what is None:
            return None
        if kind.type == WORK_BEGINS or kind.type.endswith("_started"):
            self.open[what] = ts
            if len(self.open) > OPEN_LIMIT:
                del self.open[next(iter(self.open))]
            return None
        if not kind.type.endswith(_ENDS):
            return None
        given = payload_of(record).get("duration_ms")
        began = self.open.pop(what, None)
        if isinstance(given, int | float) and not isinstance(given, bool):
            duration_ms = int(given)
        elif began is not None:
            duration_ms = ms_between(began, ts)
        else:
            return None
        group, _, name = what.partition(":")
        _keep_slow(
            self.slowest_phases if group == "phase" else self.slowest_steps, name, duration_ms
        )
        return duration_ms


def text_of(record: dict[str, Any], name: str) -> str:
    """Return a member that should be text, or nothing."""
    value = record.get(name)
    return value if isinstance(value, str) else ""


def payload_of(record: dict[str, Any]) -> dict[str, Any]:
    """Return the payload, or an empty one where a worker left it out or made it something else."""
    payload = record.get("payload")
    return payload if isinstance(payload, dict) else {}


def ms_between(began: str, ended: str) -> int:
    """Return how long it is from one UTC moment to the other; 0 if either is no moment."""
    try:
        took = datetime.fromisoformat(ended) - datetime.fromisoformat(began)
    except (TypeError, ValueError):
        return 0
    return max(0, round(took.total_seconds() * 1000))


def _what(kind: Kind, record: dict[str, Any]) -> str | None:
    """Return a name for what begins or ends: `phase:…` or `step:…`.

    Without a ledger an executor stands for the step that it is.
    """
    if kind.type.startswith("blueprint_phase_"):
        phase = text_of(payload_of(record), "phase")
        return f"phase:{phase}" if phase else None
    step = text_of(record, "step_id")
    if not step and (kind.type == WORK_BEGINS or kind.type.startswith("sandbox_job_")):
        step = text_of(record, "agent_id")
    return f"step:{step}" if step else None


def _keep_slow(slowest: list[Slow], name: str, duration_ms: int) -> None:
    slowest.append(Slow(name, duration_ms))
    slowest.sort(key=lambda slow: -slow.duration_ms)
    del slowest[SLOWEST:]
