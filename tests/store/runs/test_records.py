"""What the JSON files of a run say."""

import msgspec
import pytest

from mnedge.model.states import JobStatus
from mnedge.store.runs.records import (
    Closing,
    Counts,
    final_artifact_json,
    identity_of,
    inputs_json,
    job_json,
    result_json,
    run_json,
    summary_json,
)
from mnedge.store.runs.tally import Slow, Tally
from tests.store.runs.world import JOB, SPEC, SUBMITTED_AT

IDENTITY = identity_of(SPEC, JOB, "trc_t")
TS = "2026-01-01T00:00:05.000Z"
ERROR = {
    "schema_version": "mn.error.v1",
    "code": "c",
    "desc": "Boom",
    "details": {"message": "boom at 7", "agent_id": "w", "step_id": "s"},
    "remediation": "mend it",
}


def closing(status: JobStatus, **more) -> Closing:
    members = {"result": None, "error": None, "ended_ts": TS}
    return Closing(status=status, **{**members, **more})


def final(status: JobStatus, **more):
    return final_artifact_json(IDENTITY, SPEC, closing(status, **more))


def test_inputs_are_the_payload_and_where_it_came_from():
    config = {"inputs": {"adapter": "file", "path": "inputs/today.json"}}
    spec = msgspec.structs.replace(SPEC, inputs={"b": 1, "a": 2}, config=config)
    source = {"adapter": "file", "path": "inputs/today.json", "real_ready": True}
    assert inputs_json(spec) == {"b": 1, "a": 2, "_source": source}
    identity = identity_of(spec, JOB, "t")
    assert identity.inputs == {"adapter": "file", "keys": ["a", "b"], "real_ready": True}
    for odd in ({}, {"inputs": 7}, {"inputs": {"adapter": 7, "path": "x"}}):
        plain = msgspec.structs.replace(SPEC, inputs={}, config=odd)
        assert inputs_json(plain) == {"_source": {"adapter": "mock", "real_ready": False}}
        assert identity_of(plain, JOB, "t").adapter == "mock"


def test_job_json_leaves_out_what_nobody_knows():
    found = job_json(msgspec.structs.replace(SPEC, fingerprint=""), JOB, "", SUBMITTED_AT)
    assert found == {
        "run_id": JOB,
        "job_id": JOB,
        "blueprint_run_id": JOB,
        "blueprint_id": "bp",
        "submitted_at": "2025-11-24T16:00:00.000Z",
    }


def test_run_json_tells_how_the_run_stands_and_how_it_ended():
    def record(end):
        tally = Tally(status="paused", last_ts="l", started_ts="s")
        return run_json(
            IDENTITY, SPEC, tally, end, source="x", submitted_at=1.0, run_dir="/d", artifacts={}
        )

    found = record(None)
    assert (found["status"], found["started_at"], found["updated_at"]) == ("paused", "s", "l")
    assert found["ended_at"] is None
    done = record(closing(JobStatus.COMPLETED))
    assert (done["status"], done["ended_at"], done["updated_at"]) == ("completed", TS, TS)
    assert "failure" not in done
    failed = record(closing(JobStatus.FAILED, error=ERROR))
    assert (failed["failure"], failed["error"]) == (ERROR, "boom at 7")
    assert failed["reason"] == failed["status_reason"] == "Boom"
    odd = record(closing(JobStatus.FAILED, error={"details": {"message": {"preview": "bo"}}}))
    assert (odd["error"], odd["reason"]) == ("bo", "Failure")
    assert record(closing(JobStatus.CANCELLED, reason="enough"))["reason"] == "enough"


def test_result_json_has_steps_errors_and_warnings():
    steps = [{"id": "s", "status": "completed", "outcome": "success", "attempts": 1}]
    found = result_json(
        IDENTITY, closing(JobStatus.FAILED, error=ERROR, steps=steps, warnings=["w"])
    )
    assert found["workflow"] == {"steps": steps}
    assert (found["error"], found["errors"], found["warnings"]) == (ERROR, [ERROR], ["w"])
    assert "error" not in result_json(IDENTITY, closing(JobStatus.COMPLETED))


def test_a_result_in_the_shape_of_a_final_artifact_is_one():
    answer = {
        "type": "report",
        "executive_summary": "All is well",
        "recommended_action": "nothing",
        "confidence": 0.9,
        "evidence": [1],
        "next_steps": ["a"],
        "source_refs": ["inputs:x"],
        "artifacts": [],
        "odd": 1,
    }
    gathered = {"count": 1, "messages": [answer], "last_message": answer}
    inside = {"last_message": {"final_artifact": answer}}
    for output in (answer, {"final_artifact": answer, "more": 1}, gathered, inside):
        found = final(JobStatus.COMPLETED, result={"agent_id": "a", "output": output})
        assert found == {k: v for k, v in answer.items() if k != "odd"} | {
            "schema_version": "mn.blueprint.final_artifact.v1"
        }


@pytest.mark.parametrize("confidence", [True, 1.5, "high", None])
def test_a_confidence_that_is_none_is_left_out(confidence):
    output = {"executive_summary": "s", "confidence": confidence}
    found = final(JobStatus.COMPLETED, result={"output": output})
    assert found.get("confidence") in (None, True)
    assert "confidence" not in found or confidence is True


@pytest.mark.parametrize("result", [None, 7, "text", [1], {"x": 1}])
def test_any_result_is_evidence(result):
    found = final(JobStatus.COMPLETED, result=result)
    assert (found["type"], found["evidence"]) == ("run_result", result)


def test_a_failure_report_says_what_to_do():
    found = final(JobStatus.FAILED, error=ERROR)
    assert (found["type"], found["recommended_action"]) == ("failure_report", "mend it")
    assert found["executive_summary"] == "A small run failed: Boom"
    assert final(JobStatus.FAILED)["evidence"] == {"error": {}}


def test_a_summary_names_what_failed_and_how_long_it_took():
    tally = Tally(
        warnings=2,
        retries=1,
        slowest_steps=[Slow("s", 9)],
        slowest_phases=[Slow("loading_inputs", 3)],
    )
    counts = Counts(events=4, errors=1, timeline=3, logs=2)

    def record(status, error=None):
        return summary_json(
            IDENTITY,
            tally,
            closing(status, error=error),
            counts,
            started_ts="2026-01-01T00:00:03.500Z",
            resources={"resource_peaks": {}, "token_totals": {}},
            artifacts=[{"artifact_id": "x"}],
        )

    found = record(JobStatus.FAILED, ERROR)
    assert found["schema_version"] == "mn.observability_summary.v1"
    assert found["duration_ms"] == 1500
    assert (found["event_count"], found["error_count"], found["log_count"]) == (4, 1, 2)
    assert (found["timeline_count"], found["artifact_count"]) == (3, 1)
    assert (found["warning_count"], found["retry_count"]) == (2, 1)
    assert (found["failed_step"], found["failed_agent"]) == ("s", "w")
    assert found["slowest_steps"] == [{"step_id": "s", "duration_ms": 9}]
    assert found["slowest_phases"] == [{"phase": "loading_inputs", "duration_ms": 3}]
    assert [link["artifact_id"] for link in found["links"]] == [
        "events_jsonl", "logs_jsonl", "errors_jsonl", "timeline_jsonl", "timeline_json",
    ]  # fmt: skip
    assert "failed_step" not in record(JobStatus.COMPLETED)
