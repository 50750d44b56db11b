"""The run as a whole."""

import msgspec
import pytest

from mnedge.model.facts import Submitted
from mnedge.model.states import StepOutcome, Verb
from tests.engine.jobs import agent, edge, succeeded
from tests.engine.ledger.flows import Run, after, flow, said, step


def test_the_sink_completes_a_run_whose_steps_are_done():
    run = Run(flow([step("a")], []))
    run.finish("a", succeeded("fine"))
    (told,) = run.told("job_completed")
    assert told["workflow"] is True
    assert told["agent_id"] == "sink"
    assert run.finished.result["output"]["count"] == 1


def test_a_sink_that_is_early_waits_for_the_rest():
    run = Run(flow([step("a"), step("b")], [], seeds={"a": [{}], "b": [{}]}, sink="a"))
    run.finish("a")
    (told,) = run.told("workflow_completion_deferred")
    assert told["steps"] == ["b"]
    assert run.state.status == "running"
    run.crashed()
    run.finish("b")
    assert run.types[-2:] == ["workflow_completion_resumed", "job_completed"]
    assert run.told("job_completed")[0]["deferred"] is True
    assert run.finished.result["agent_id"] == "sink"


def test_an_agent_that_is_no_sink_completes_nothing():
    watcher = agent("watcher", "aggregator", complete_on_message=True)
    spec = flow([step("a"), step("b")], [after("a", "b")])
    run = Run(
        flow(
            spec.workflow.steps,
            spec.workflow.edges,
            agents=[*spec.agents[:2], watcher],
            messages=[edge("a", "b", "a_done"), edge("a", "watcher", "a_done")],
        )
    )
    run.finish("a")
    assert run.told("workflow_completion_ignored")[0]["agent_id"] == "watcher"
    assert run.state.status == "running"


def test_a_complete_and_silent_run_ends_with_the_output_of_its_sink_step():
    run = Run(flow([step("a"), step("b")], [after("a", "b")], sink=None))
    run.finish("a")
    run.finish("b", said(complete={"answer": 1}))
    assert run.timers == {"idle": run.at + 1}
    run.fired("idle")
    (told,) = run.told("workflow_completion_inferred")
    assert told["step_id"] == "b"
    assert run.finished.result == {"agent_id": "b", "output": {"answer": 1}}


def test_a_run_that_cannot_go_on_fails_by_name():
    run = Run(flow([step("a"), step("b", "one_failed")], [after("a", "b")], messages=[]))
    run.finish("a", said(complete={}))
    assert run.statuses()["b"] == "skipped"
    spec = flow(
        [step("a", timeout_s=None, beacon_timeout_ms=None), step("b")],
        [after("a", "b")],
        agents=[
            agent("a", "executor", output_message_type="a_done", workflow_complete_step=False),
            agent("b", "executor", output_message_type="b_done"),
        ],
    )
    run = Run(spec)
    run.finish("a")
    run.fired("idle")
    assert run.state.status == "running"
    assert run.timers == {"idle": run.at + 29}
    run.fired("idle")
    assert run.state.status == "failed"
    assert run.state.error["code"] == "workflow.stalled"
    assert "a (running)" in run.finished.result["error"]


def test_steps_carried_over_need_not_run_again():
    spec = flow([step("a"), step("b"), step("c")], [after("a", "b"), after("b", "c")])
    run = Run(spec, started=False)
    carried = {
        "a": {"status": "completed", "outcome": "success", "output": {"n": 1}},
        "b": {"status": "failed", "idempotency_key": "old:b:2:m"},
        "ghost": {"status": "completed"},
    }
    run.give(Submitted(at=run.at, node="here", carried=carried))
    assert run.statuses()["a"] == "completed"
    assert run.step("a").outcome is StepOutcome.SUCCESS
    assert run.told("workflow_step_duplicate_message_ignored")
    assert run.told("workflow_step_triggered")[0]["reason"] == "its parents were carried over"
    assert run.out[0].agent_id == "b"
    assert run.out[0].idempotency_key == "old:b:2:m"
    run.finish_all()
    assert run.state.status == "completed"


def test_decorative_steps_gate_nothing_and_follow_the_job():
    spec = flow([step("load"), step("save")], [after("load", "save")], agents=[agent("x")])
    workflow = spec.workflow
    spec = msgspec.structs.replace(
        spec,
        workflow=msgspec.structs.replace(workflow, controlling=False),
        agents=[agent("x", "aggregator", complete_on_message=True, complete_job=True)],
        edges=[],
        entrypoints=["x"],
        seeds={"x": [{}]},
    )
    run = Run(spec, started=False)
    assert run.view["controlling"] is False
    run.give(Submitted(at=run.at))
    assert run.state.status == "completed"
    assert {one["status"] for one in run.view["steps"].values()} == {"completed"}


def test_a_service_with_steps_completes_like_a_batch():
    run = Run(flow([step("a")], [], job_type="service"))
    run.finish("a")
    assert run.state.status == "completed"


def test_no_clock_of_a_step_runs_while_a_person_has_to_look_at_the_job():
    run = Run(flow([step("a", timeout_s=10)], [], policies={"recovery_mode": "manual_recover"}))
    run.crashed()
    assert run.state.status == "paused"
    assert run.timers == {}
    run.at += 1000
    run.asked(Verb.RESUME)
    assert run.timers == {"step:a:deadline": run.at + 10}
    assert [(one.workflow["attempt"], one.launch) for one in run.launches] == [(1, 1), (1, 2)]


def test_a_pause_that_is_heard_long_after_a_crash_takes_no_time_from_an_attempt():
    run = Run(flow([step("a", timeout_s=10)], []))
    run.at += 100  # nobody runs the job; then somebody does, and hears first of all of the pause
    run.asked(Verb.PAUSE)
    run.crashed()
    run.at += 1000
    run.asked(Verb.RESUME)
    assert run.timers == {"step:a:deadline": run.at + 10}
    assert [(one.workflow["attempt"], one.launch) for one in run.launches] == [(1, 1), (1, 2)]


@pytest.mark.parametrize(
    "kept",
    [
        {"status": "completed", "outcome": ["odd"]},
        {"status": ["completed"], "messages": None},
        {"status": "failed", "messages": [None, 1, "x"], "idempotency_key": ""},
        ["completed"],
        None,
    ],
)
def test_a_step_that_cannot_be_carried_over_begins_anew_or_has_no_outcome(kept):
    run = Run(flow([step("a"), step("b")], [after("a", "b")]), started=False)
    run.give(Submitted(at=run.at, carried={"a": kept, "ghost": kept}))
    assert run.step("a").outcome is None
    assert run.step("a").retry_key is None
