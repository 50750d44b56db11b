"""A small run to write folders of: its specification, its events, and a look at what was left."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnedge.model.events import Event, event_id
from mnedge.model.failure import failure_envelope
from mnedge.model.manifest import JobSpec
from mnedge.model.message import Message
from mnedge.model.redaction import Redactor
from mnedge.model.states import JobStatus
from mnedge.store.runs.folder import RunFolder

JOB = "bp-1764000000000-0123456789ab"
SUBMITTED_AT = 1_764_000_000.0
AT = SUBMITTED_AT + 1
NINE = (
    "run.json",
    "config.json",
    "inputs.json",
    "events.jsonl",
    "errors.jsonl",
    "timeline.jsonl",
    "observability_summary.json",
    "result.json",
    "final_artifact.json",
)
RESULT = {"agent_id": "sink", "output": {"count": 3}}
SPEC = JobSpec(
    blueprint_id="bp",
    graph_id="bp_v1",
    job_name="bp-job",
    name="A small run",
    agents=[],
    edges=[],
    entrypoints=[],
    seeds={},
    config={"inputs": {"adapter": "json"}, "logging": {"level": "INFO"}, "llm": {"api_key": "k"}},
    inputs={"gauge": "G-17"},
    fingerprint="sha256:" + "0" * 64,
)


def folder(place: Path, *, job_id: str = JOB, redactor: Redactor | None = None) -> RunFolder:
    """Return a run folder below `place`, not open."""
    return RunFolder(
        place / "runs",
        place / "data",
        job_id,
        SPEC,
        submitted_at=SUBMITTED_AT,
        now=lambda: AT + 1000,
        redactor=redactor,
        source="blueprints/bp",
    )


def message(number: int, **changed: Any) -> Message:
    """Return a message between two agents."""
    members: dict[str, Any] = {
        "message_id": f"m{number}",
        "type": "work",
        "to": "sink",
        "sender": "source",
        "class_": "event",
        "correlation_id": "c",
        "at": AT,
    }
    return Message(**{**members, **changed})


def beginning() -> list[Event]:
    """Return the events of a job that starts, numbered from 1."""
    return [
        Event(1, AT, "job_pending", None, {}),
        Event(2, AT, "job_validated", None, {}),
        Event(3, AT, "job_scheduled", None, {"node": "edge"}),
        Event(4, AT, "agent_message_received", "source", message(0, to="source")),
        Event(5, AT, "job_running", None, {}),
    ]


def middle(first: int, count: int) -> list[Event]:
    """Return events of all sorts, numbered from `first`."""
    made = []
    for seq in range(first, first + count):
        at = AT + 0.001 * seq
        match seq % 6:
            case 0:
                event = Event(seq, at, "aggregator_received", "sink", {"count": seq})
            case 1:
                event = Event(seq, at, "door_camera_failed", "camera", {"reason": f"dark {seq}"})
            case 2:
                step = {"attempt": 1}
                event = Event(seq, at, "workflow_step_attempt_started", "w", step, f"s{seq}")
            case 3:
                done = {"outcome": "success"}
                event = Event(seq, at, "workflow_step_completed", "w", done, f"s{seq - 1}")
            case _:
                event = Event(seq, at, "agent_message_received", "sink", message(seq))
        made.append(event)
    return made


def ending(seq: int) -> list[Event]:
    """Return the last event of a job that completes."""
    return [
        Event(seq, AT + 9, "job_completed", "sink", {"agent_id": "sink", "result": {"count": 3}})
    ]


def failing(seq: int) -> list[Event]:
    """Return the last event of a job that fails."""
    payload = {"agent_id": "w", "reason": "boom", "status_reason": "Boom", "error": error(seq)}
    return [Event(seq, AT + 9, "job_failed", "w", payload)]


def error(seq: int) -> dict[str, Any]:
    """Return the envelope of a job that failed with event `seq`."""
    return failure_envelope("boom", at=AT + 9, job_id=JOB, event_seq=seq, agent_id="w")


def whole_run(count: int = 12) -> list[Event]:
    """Return the events of a job from its beginning to its end."""
    return [*beginning(), *middle(6, count), *ending(6 + count)]


def finish(run: RunFolder) -> None:
    """Close the run as the coordinator does when its job has completed."""
    run.finish(JobStatus.COMPLETED, RESULT, None, ended_at=AT + 9)


def files_of(path: Path) -> dict[str, bytes]:
    """Return every file below the folder by its relative path."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def records(path: Path) -> list[dict[str, Any]]:
    """Return the records of a JSONL file; a broken line is an error."""
    content = path.read_bytes()
    assert not content or content.endswith(b"\n")
    return [json.loads(line) for line in content.splitlines()]


def all_events(run_dir: Path) -> list[dict[str, Any]]:
    """Return the events of all full files and the current one."""
    full = sorted(path for path in run_dir.glob("events.*.jsonl"))
    return [one for path in [*full, run_dir / "events.jsonl"] for one in records(path)]


def assert_whole(run_dir: Path, events: Sequence[Event]) -> None:
    """Check what must hold after every crash and every worker: each event once, in order."""
    found = all_events(run_dir)
    numbered = [one for one in found if "seq" in one]
    assert [one["seq"] for one in numbered] == [event.seq for event in events]
    assert [one["event_id"] for one in numbered] == [event_id(JOB, one.seq) for one in events]
    ids = [one["event_id"] for one in found if "event_id" in one]
    assert len(ids) == len(set(ids))
    for name in ("errors", "timeline", "logs"):
        spans = [one["span_id"] for one in records(run_dir / f"{name}.jsonl") if "span_id" in one]
        assert len(spans) == len(set(spans)), name
    failed = [
        one["event_id"] for one in found if re.search("_(failed|timed_out)$", one.get("type", ""))
    ]
    assert set(failed) <= {one["event_id"] for one in records(run_dir / "errors.jsonl")}
