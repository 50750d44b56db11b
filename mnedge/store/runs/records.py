"""What the JSON files of a run folder say, from the first (`run.json`) to the last (its summary).

Source: bundle format 6.2, 6.9, 6.12.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from mnedge.model.artifacts import OBSERVED
from mnedge.model.failure import bounded
from mnedge.model.manifest import JobSpec
from mnedge.model.message import iso_ms
from mnedge.model.states import JobStatus
from mnedge.store.runs.lines import Identity
from mnedge.store.runs.tally import Slow, Tally, ms_between

_FINAL_TEXTS = ("type", "executive_summary", "recommended_action")
_FINAL_LISTS = ("next_steps", "source_refs", "artifacts")


class Closing(Struct, frozen=True, kw_only=True):
    """How a run ended."""

    status: JobStatus
    result: Any
    error: dict[str, Any] | None
    ended_ts: str
    reason: str = ""
    warnings: Sequence[str] = ()
    steps: Sequence[dict[str, Any]] = ()
    """The steps of a workflow, as `result.json` lists them."""


class Counts(Struct, frozen=True, kw_only=True):
    """Lines that the streams of a run have seen."""

    events: int
    errors: int
    timeline: int
    logs: int


def identity_of(spec: JobSpec, job_id: str, trace_id: str) -> Identity:
    """Return what all records of the run say."""
    payload, source = inputs_of(spec)
    return Identity(
        job_id=job_id,
        blueprint_id=spec.blueprint_id,
        trace_id=trace_id,
        adapter=source["adapter"],
        inputs={
            "adapter": source["adapter"],
            "keys": sorted(map(str, payload))[:100],
            "real_ready": source["real_ready"],
        },
    )


def inputs_of(spec: JobSpec) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the resolved payload and where it came from, as far as the config tells.

    Source: bundle format 5.1.
    """
    configured = spec.config.get("inputs")
    configured = configured if isinstance(configured, dict) else {}
    adapter, path = configured.get("adapter"), configured.get("path")
    adapter = adapter if isinstance(adapter, str) else "mock"
    source: dict[str, Any] = {"adapter": adapter, "real_ready": adapter != "mock"}
    if adapter == "file" and isinstance(path, str):
        source["path"] = path
    if spec.input_sources:
        source["input_skills"] = spec.input_sources
    return spec.inputs, source


def inputs_json(spec: JobSpec) -> dict[str, Any]:
    """Return `inputs.json`: the payload, and its source under `_source`."""
    payload, source = inputs_of(spec)
    return {**payload, "_source": source}


def job_json(spec: JobSpec, job_id: str, source: str, submitted_at: float) -> dict[str, Any]:
    """Return `job.json`: what was submitted, and when."""
    record = {
        "run_id": job_id,
        "job_id": job_id,
        "blueprint_run_id": job_id,
        "blueprint_id": spec.blueprint_id,
        "blueprint_revision": spec.fingerprint,
        "blueprint_source": source,
        "blueprint_path": source,
        "submitted_at": iso_ms(submitted_at),
    }
    return {name: value for name, value in record.items() if value}


def run_json(
    identity: Identity,
    spec: JobSpec,
    tally: Tally,
    closing: Closing | None,
    *,
    source: str,
    submitted_at: float,
    run_dir: str,
    artifacts: dict[str, str],
) -> dict[str, Any]:
    """Return `run.json`."""
    submitted = iso_ms(submitted_at)
    record: dict[str, Any] = {
        "schema_version": "mn.run.v1",
        "run_id": identity.job_id,
        "job_id": identity.job_id,
        "blueprint_id": identity.blueprint_id,
        "blueprint_revision": spec.fingerprint,
        "blueprint_source": source,
        "graph_id": spec.graph_id,
        "status": tally.status,
        "trace_id": identity.trace_id,
        "span_id": f"spn_{identity.trace_id.removeprefix('trc_')}",
        "started_at": tally.started_ts or submitted,
        "updated_at": tally.last_ts or submitted,
        "ended_at": None,
        "run_dir": run_dir,
        "artifacts": artifacts,
    }
    if closing is None:
        return record
    record |= {
        "status": str(closing.status),
        "updated_at": closing.ended_ts,
        "ended_at": closing.ended_ts,
    }
    if closing.error is not None:
        desc = str(closing.error.get("desc") or "Failure")
        record |= {
            "failure": closing.error,
            "error": _message_of(closing.error) or desc,
            "reason": desc,
            "status_reason": desc,
        }
    elif closing.reason:
        record |= {"reason": closing.reason, "status_reason": closing.reason}
    return record


def _message_of(error: dict[str, Any]) -> str:
    details = error.get("details")
    message = details.get("message") if isinstance(details, dict) else None
    if isinstance(message, dict):
        message = message.get("preview")
    return message if isinstance(message, str) else ""


def result_json(identity: Identity, closing: Closing) -> dict[str, Any]:
    """Return `result.json`."""
    record: dict[str, Any] = {
        "schema_version": "mn.blueprint.response.v1",
        "run_id": identity.job_id,
        "status": str(closing.status),
        "result": closing.result,
        "workflow": {"steps": list(closing.steps)},
        "output_skills": [],
        "errors": [] if closing.error is None else [closing.error],
        "warnings": list(closing.warnings),
    }
    if closing.error is not None:
        record["error"] = closing.error
    return record


def final_artifact_json(identity: Identity, spec: JobSpec, closing: Closing) -> dict[str, Any]:
    """Return `final_artifact.json`: the answer, a failure report, or that it was cancelled."""
    name = spec.name or spec.job_name or spec.blueprint_id
    record: dict[str, Any] = {
        "schema_version": "mn.blueprint.final_artifact.v1",
        "next_steps": [],
        "source_refs": ["result_json", "events_jsonl"],
    }
    match closing.status:
        case JobStatus.COMPLETED:
            return record | _answer(name, closing.result)
        case JobStatus.CANCELLED:
            reason = closing.reason or "cancelled"
            return record | {
                "type": "cancellation_report",
                "executive_summary": f"{name} was cancelled: {reason}",
                "evidence": {"reason": reason},
            }
        case _:
            error = closing.error or {}
            remedy = error.get("remediation")
            steps = [remedy] if isinstance(remedy, str) and remedy else []
            return record | {
                "type": "failure_report",
                "executive_summary": f"{name} failed: {error.get('desc') or 'Failure'}",
                "recommended_action": steps[0] if steps else "Read errors.jsonl and run it again.",
                "evidence": {"error": error},
                "next_steps": steps,
                "source_refs": ["errors_jsonl", "events_jsonl"],
            }


def _answer(name: str, result: Any) -> dict[str, Any]:
    """Return what a completed job says; a result in the shape of a final artifact is one."""
    output = result.get("output") if isinstance(result, dict) and "output" in result else result
    agent = result.get("agent_id") if isinstance(result, dict) else None
    by = f" by {agent}" if isinstance(agent, str) and agent else ""
    answer: dict[str, Any] = {
        "type": "run_result",
        "executive_summary": f"{name} was completed{by}.",
        "evidence": output,
    }
    given = next(filter(_is_answer, _candidates(output)), None)
    if given is None:
        return answer
    answer |= {key: given[key] for key in _FINAL_TEXTS if isinstance(given.get(key), str)}
    answer |= {key: given[key] for key in _FINAL_LISTS if isinstance(given.get(key), list)}
    answer["evidence"] = given.get("evidence", output)
    confidence = given.get("confidence")
    if isinstance(confidence, int | float) and 0 <= confidence <= 1:
        answer["confidence"] = confidence
    return answer


def _candidates(output: Any) -> Iterator[Any]:
    """Yield where a final artifact may stand: a sink that gathers messages has it in the last."""
    for tree in (output, output.get("last_message") if isinstance(output, dict) else None):
        if isinstance(tree, dict):
            yield tree.get("final_artifact")
            yield tree


def _is_answer(tree: Any) -> bool:
    return isinstance(tree, dict) and isinstance(tree.get("executive_summary"), str)


def summary_json(
    identity: Identity,
    tally: Tally,
    closing: Closing,
    counts: Counts,
    *,
    started_ts: str,
    resources: dict[str, dict[str, Any]],
    artifacts: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return `observability_summary.json`."""
    record: dict[str, Any] = {
        "schema_version": "mn.observability_summary.v1",
        "run_id": identity.job_id,
        "blueprint_id": identity.blueprint_id,
        "job_id": identity.job_id,
        "trace_id": identity.trace_id,
        "status": str(closing.status),
        "started_at": started_ts,
        "ended_at": closing.ended_ts,
        "duration_ms": ms_between(started_ts, closing.ended_ts),
        "event_count": counts.events,
        "log_count": counts.logs,
        "error_count": counts.errors,
        "warning_count": tally.warnings,
        "timeline_count": counts.timeline,
        "artifact_count": len(artifacts),
        "retry_count": tally.retries,
        "slowest_phases": [_slow("phase", slow) for slow in tally.slowest_phases],
        "slowest_steps": [_slow("step_id", slow) for slow in tally.slowest_steps],
        **_step_counts(closing.steps),
        **resources,
        "links": [{"rel": name.partition("_")[0], "artifact_id": name} for name in OBSERVED],
        "artifacts": artifacts,
    }
    details = (closing.error or {}).get("details")
    details = details if isinstance(details, dict) else {}
    step = tally.failed_step or details.get("step_id")
    agent = tally.failed_agent or details.get("agent_id")
    if closing.status is JobStatus.FAILED:
        record |= {
            name: bounded(value)
            for name, value in (("failed_step", step), ("failed_agent", agent))
            if value
        }
    return record


def _step_counts(steps: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return how many steps ended how; nothing for a job without steps."""
    counts: dict[str, int] = {}
    for step in steps:
        counts[str(step.get("status"))] = counts.get(str(step.get("status")), 0) + 1
    return {"step_counts": counts} if counts else {}


def _slow(name: str, slow: Slow) -> dict[str, Any]:
    return {name: slow.name, "duration_ms": slow.duration_ms}
