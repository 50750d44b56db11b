"""What kind of event a type names: which of a run's other files it enters, and what it says there.

Source: bundle format 6.4, 6.9, 6.10, 6.11, appendix B.
"""

from functools import lru_cache
from typing import Any

from msgspec import Struct

PHASES = (
    "validating",
    "loading_inputs",
    "running_worker",
    "waiting_for_human",
    "writing_artifacts",
    "completed",
    "failed",
)
_FAILURES = frozenset({"job_failed", "retry_exhausted", "scheduler_failure", "error_recorded"})
HUMAN = frozenset(
    {
        "human_notice",
        "human_input_requested",
        "human_input_received",
        "human_input_timeout",
        "human_decision_applied",
        "human_notice_acknowledged",
    }
)
"""Types of the records of `human.jsonl`."""
_PHASE_OF = {
    "job_pending": "validating",
    "job_validated": "validating",
    "job_scheduled": "validating",
    "inputs_loaded": "loading_inputs",
    "job_completed": "completed",
    "run_completed": "completed",
    "job_failed": "failed",
    "run_failed": "failed",
    "job_cancelled": "completed",
    "run_cancelled": "completed",
}
_STATUS_OF = {
    "job_pending": "pending",
    "job_validated": "validated",
    "job_scheduled": "scheduled",
    "job_running": "running",
    "job_resumed": "running",
    "job_recovery_started": "running",
    "run_started": "running",
    "inputs_loaded": "completed",
    "human_input_requested": "pending",
    "human_input_rejected": "rejected",
}
_STATUS_BY_ENDING = (
    ("_started", "running"),
    ("_resumed", "running"),
    ("_pausing", "pausing"),
    ("_paused", "paused"),
    ("_completed", "completed"),
    ("_partial", "partial"),
    ("_skipped", "skipped"),
    ("_cancelled", "cancelled"),
    ("_failed", "failed"),
    ("_timed_out", "failed"),
    ("_retry_scheduled", "retry_wait"),
)
WORK_BEGINS = "executor_lease_acquired"
"""From here on an executor that belongs to no step does its work."""
RUN_STATUS_OF = {
    "job_running": "running",
    "job_pausing": "pausing",
    "job_paused": "paused",
    "job_resumed": "running",
}
"""What run.json says after such an event. (The end of a run is written when it is finished.)"""
_WARNINGS = frozenset(
    {
        "dead_letter",
        "agent_beacon_missed",
        "agent_restart_scheduled",
        "agent_restart_deferred",
        "backpressure_signal",
        "budget_warning",
        "executor_fallback_dispatched",
        "executor_output_truncated",
        "human_input_timeout",
        "human_lines_dropped",
        "item_dropped",
        "item_skipped",
        "notes_dropped",
        "rate_limited",
        "retry_scheduled",
        "unparseable_event",
        "worker_events_dropped",
        "workflow_message_dead_lettered",
        "workflow_step_low_confidence",
    }
)
_STATE_BEGINNINGS = ("run_", "job_", "blueprint_phase_", "output_skill_", "tcp_output_", "service_")
_STATE_TYPES = frozenset(
    {
        "inputs_loaded",
        "artifact_written",
        "web_ui_available",
        "sandbox_job_completed",
        "executor_fallback_dispatched",
        "agent_recovery_started",
        "agent_recovered",
        "agents_restarted",
        "agent_restart_scheduled",
        "budget_exceeded",
        "human_input_rejected",
        "retry_scheduled",
    }
)
_BOUNDS = frozenset({"job_running", "job_completed", "job_failed", "job_cancelled"})
_STEP_ENDINGS = (
    "_started",
    "_triggered",
    "_completed",
    "_partial",
    "_skipped",
    "_scheduled",
    "_blocked",
    "_selected",
    "_scattered",
    "_applied",
)


class Kind(Struct, frozen=True):
    """What follows from an event's type alone."""

    type: str
    failure: bool
    human: bool
    warning: bool
    retry: bool
    timeline: bool
    """It changes a state, so it enters the timeline and the logs."""
    status: str
    phase: str
    noted: bool
    """More than its line follows from it: the tally must look at its record."""
    by_record: bool
    """Its line says more than its payload."""
    bounds_run: bool
    """The run begins or ends with it."""


@lru_cache(maxsize=4096)
def kind_of(event_type: str) -> Kind:
    """Return the kind of any type, also of one that a worker made up."""
    failure = event_type in _FAILURES or event_type.endswith(("_failed", "_timed_out"))
    human = event_type in HUMAN
    retry = event_type.endswith("retry_scheduled")
    warning = event_type in _WARNINGS or retry or event_type.endswith("_rejected")
    timeline = (
        failure
        or human
        or event_type in _STATE_TYPES
        or event_type.startswith(_STATE_BEGINNINGS)
        or (event_type.startswith("workflow_") and event_type.endswith(_STEP_ENDINGS))
    )
    return Kind(
        type=event_type,
        failure=failure,
        human=human,
        warning=warning,
        retry=retry,
        timeline=timeline,
        status=_status_of(event_type),
        phase=_phase_of(event_type, human),
        by_record=failure or human,
        bounds_run=event_type in _BOUNDS,
        noted=timeline or warning or event_type == WORK_BEGINS,
    )


def _status_of(event_type: str) -> str:
    known = _STATUS_OF.get(event_type)
    if known is not None:
        return known
    for ending, status in _STATUS_BY_ENDING:
        if event_type.endswith(ending):
            return status
    return ""


def _phase_of(event_type: str, human: bool) -> str:
    if human:
        return "waiting_for_human"
    if event_type.startswith(("output_skill_", "artifact_", "tcp_output_", "web_ui_")):
        return "writing_artifacts"
    return _PHASE_OF.get(event_type, "running_worker")


def summary_of(kind: Kind, record: dict[str, Any]) -> str:
    """Return one line that tells a person what happened."""
    error = record.get("error")
    if isinstance(error, dict) and isinstance(error.get("desc"), str):
        return str(error["desc"])
    payload = record.get("payload")
    if isinstance(payload, dict):
        for name in ("summary", "message", "reason", "prompt"):
            value = payload.get(name)
            if isinstance(value, str) and value:
                return " ".join(value.split())[:160]
    return kind.type.replace("_", " ").capitalize()
