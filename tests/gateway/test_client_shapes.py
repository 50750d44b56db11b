import json

from msgspec.structs import replace

from mnedge.gateway.client_shapes import (
    REPLY_BYTES,
    definition_json,
    event_json,
    fitted,
    job_json,
    job_row,
    run_json,
    run_row,
    status_of,
    topology,
)
from mnedge.model.states import JobStatus
from mnedge.runtime.definitions import Definition
from mnedge.store.runs.places import Head, Mark, Place, Told
from tests.gateway.grpc.test_declared import RECORD
from tests.runtime.rig import a_config, pipeline

JOB_ROW = {
    *("job_id", "run_id", "graph_id", "job_name", "status", "submitted_at", "updated_at"),
    *("live?", "nodes", "executor_count", "active_executors"),
    *("recovery", "recovery_status", "recovery_requires_review"),
}


def told(line, mark=Mark(1)):  # noqa: B008
    return Told(mark=mark, head=Head(), line=json.dumps(line).encode(), end=Place(0, 0))


def test_a_row_has_what_lists_show(tmp_path):
    row = job_row(RECORD, a_config(tmp_path))
    assert set(row) >= JOB_ROW
    assert row["nodes"] == ["mnedge@localhost"]
    assert row["live?"] is True
    over = job_row(replace(RECORD, status=JobStatus.FAILED), a_config(tmp_path))
    assert (over["live?"], over["active_executors"]) == (False, 0)


def test_a_faulted_job_stands_still_and_asks_for_a_look(tmp_path):
    record = replace(RECORD, status=JobStatus.FAULTED, fault={"error": "x"})
    assert status_of(record) == "paused"
    row = job_row(record, a_config(tmp_path))
    assert row["recovery_requires_review"] is True
    shown = job_json(record, None, [], None, a_config(tmp_path))
    assert (shown["agents"], shown["job"]["fault"]) == ([], {"error": "x"})


def test_every_event_has_an_id_of_its_own(tmp_path):
    config = a_config(tmp_path)
    ours = event_json(told({"event_id": "evt_1", "ts": "t", "type": "x"}), "job-1", config)
    assert (ours["message_id"], ours["timestamp"], ours["node"]) == (
        "evt_1",
        "t",
        "mnedge@localhost",
    )
    theirs = [
        event_json(told({"type": "x"}, Mark(1, nth)), "job-1", config)["message_id"]
        for nth in (1, 2)
    ]
    assert theirs == ["job-1:1.1", "job-1:1.2"]


def test_what_an_event_came_to_stands_at_its_top(tmp_path):
    line = {"type": "job_failed", "payload": {"error": {"code": "x"}, "reason": "r", "node": "n"}}
    event = event_json(told(line), "job-1", a_config(tmp_path))
    assert event["error"] == event["failure"] == {"code": "x"}
    assert (event["reason"], event["node"]) == ("r", "n")
    odd = event_json(told({"type": "x", "payload": [1]}), "job-1", a_config(tmp_path))
    assert odd["payload"] == {}


def test_a_document_loses_what_is_large_in_order():
    large = "x" * REPLY_BYTES
    found = fitted(
        {"job": {"workflow_state": {"messages": {"a": large}, "steps": {}}}, "recent_events": [1]}
    )
    assert found["job"]["workflow_state"] == {"messages": {}, "steps": {}}
    assert found["recent_events"] == [1]
    assert found["trimmed"] == ["job.workflow_state.messages"]
    found = fitted({"agents": [{"agent_id": "a", "current_state": {"s": large}}]})
    assert found["agents"] == [{"agent_id": "a", "current_state": {}}]
    found = fitted({"job": {"result": large, "status": "completed"}})
    assert found["job"] == {"result": None, "status": "completed"}
    assert "trimmed" not in fitted({"job": {}})


def test_a_topology_says_who_speaks_to_whom():
    found = topology(pipeline())
    assert [one["node_id"] for one in found["nodes"]] == ["intake", "worker", "sink"]
    assert found["edges"][1]["message_type"] == "done"


def test_a_run_is_a_job_and_its_definition_is_what_the_wire_calls_one(tmp_path):
    record = replace(RECORD, definition_id="def-1", result={"a": 1})
    assert (run_row(record)["run_id"], run_row(record)["job_id"]) == ("job-1", "def-1")
    assert run_row(RECORD)["job_id"] == "job-1"
    whole = run_json(job_json(record, None, [], None, a_config(tmp_path)), record)
    assert (whole["job_id"], whole["job"]["job_id"]) == ("def-1", "job-1")
    assert whole["result"] == {"a": 1}


def test_a_definition_too_large_leaves_its_configuration_out():
    one = Definition(
        definition_id="def-1",
        graph_id="g",
        job_name="j",
        blueprint_id="b",
        bundle_digest="sha256:0",
        created_at=0,
        updated_at=0,
        configuration={"x": "y" * REPLY_BYTES},
    )
    shown = definition_json(one)
    assert (shown["job_id"], shown["configuration"]) == ("def-1", {})
    assert shown["trimmed"] == ["configuration"]
