"""What workers say of steps, and whether it counts."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnedge.model.body import json_bytes
from mnedge.model.facts import Completion, NamedEvent, Structured, WorkerSaid
from tests.engine.jobs import agent, edge, succeeded
from tests.engine.ledger import odd
from tests.engine.ledger.flows import Run, after, flow, said, step
from tests.engine.ledger.recount import check_ledger, check_sizes
from tests.engine.replayed import replays


def pair(**more) -> Run:
    return Run(flow([step("a", **more), step("b")], [after("a", "b")]))


def live(run: Run, name: str, payload: dict, launch=None, number: int | None = None) -> None:
    launch = launch or run.out[0]
    run.give(
        WorkerSaid(
            at=run.at,
            work_id=launch.attempt_id,
            launch=number or launch.launch,
            event=NamedEvent(type=name, payload=payload),
        )
    )


def test_a_live_event_decides_at_once():
    run = pair()
    launch = run.out[0]
    live(run, "workflow_step_completed", {"answer": 42})
    assert run.statuses()["a"] == "completed"
    assert run.step("a").output == {"answer": 42}
    assert run.step("a").outcome == "success"
    assert run.statuses()["b"] == "ready"
    run.ended(launch)
    assert run.statuses() == {"a": "completed", "b": "running"}
    assert run.step("a").output == {"answer": 42}


def test_a_live_event_of_an_earlier_launch_is_not_heard():
    run = pair()
    first = run.out[0]
    run.crashed()
    live(run, "workflow_step_completed", {}, launch=first, number=1)
    assert run.statuses()["a"] == "running"


@pytest.mark.parametrize("key", ["step", "step_id", "workflow_step_id", "phase", "phase_id"])
def test_the_payload_may_say_which_step_is_meant(key):
    run = Run(flow([step("a"), step("b")], [after("a", "b")], seeds={"a": [{}], "b": [{}]}))
    run.finish("a", said(("workflow_step_skipped", {key: "b"})))
    assert run.statuses() == {"a": "completed", "b": "skipped"}


def test_a_name_that_is_no_step_is_passed_over():
    run = pair()
    run.finish("a", said(("workflow_step_partial", {"phase": "running_worker", "step_id": "a"})))
    assert run.statuses()["a"] == "partial"


def test_a_report_that_names_another_attempt_is_stale():
    run = pair(max_attempts=2, retry_backoff_ms=0)
    run.fail("a")
    live(run, "workflow_step_completed", {"attempt_id": "a:attempt:1"})
    assert run.statuses()["a"] == "running"
    (told,) = run.told("workflow_step_stale_output_ignored")
    assert told["attempt"] == 1
    live(run, "workflow_step_completed", {"idempotency_key": "of somebody else"})
    assert run.statuses()["a"] == "running"
    live(run, "workflow_step_completed", {"attempt_id": "a:attempt:2"})
    assert run.statuses()["a"] == "completed"


def test_keys_in_a_result_bind_nothing():
    run = pair()
    run.finish("a", said(complete={"step": "b", "attempt": 9, "attempt_id": "b:attempt:9"}))
    assert run.statuses() == {"a": "completed", "b": "running"}


def test_a_report_for_a_step_that_is_over_is_told_and_ignored():
    run = Run(flow([step("a"), step("b")], [after("a", "b")]))
    run.finish("a")
    run.finish("b", said(("workflow_step_failed", {"step": "a"})))
    (told,) = run.told("workflow_step_stale_event_ignored")
    assert (told["step_id"], told["event_type"], told["step_status"]) == (
        "a",
        "workflow_step_failed",
        "completed",
    )
    assert run.state.status == "completed"


def test_a_failure_told_of_a_step_that_does_not_run_is_only_kept():
    run = pair()
    run.finish("a", said(("workflow_step_failed", {"step": "b", "error": "bad pump"})))
    assert run.statuses()["b"] == "running"
    assert run.step("b").reason == "bad pump"


def test_a_partial_result_is_a_success_for_edges_that_accept_it():
    run = Run(flow([step("a"), step("b")], [after("a", "b", "done", "partial")]))
    run.finish("a", said(("workflow_step_partial", {"half": True})))
    assert (run.statuses()["a"], run.step("a").outcome) == ("partial", "partial")
    assert run.statuses()["b"] == "running"


def test_other_events_decide_nothing():
    run = pair()
    run.finish("a", said(("workflow_step_started", {}), ("pressure_read", {"bar": 3})))
    assert run.statuses()["a"] == "completed"


def test_an_explicit_completion_has_its_own_output():
    run = pair()
    done = Structured(completions=[Completion(scope="step", value={"mine": 1})])
    run.finish("a", succeeded(structured=done))
    assert run.step("a").output == {"mine": 1}


def test_a_step_agent_that_completes_the_run_completes_its_step():
    run = pair()
    done = Structured(completions=[Completion(scope="run", value={"all": 1})])
    run.finish("a", succeeded(structured=done))
    assert run.statuses() == {"a": "completed", "b": "running"}
    assert run.state.status == "running"


def test_the_sink_step_may_complete_the_run():
    run = pair()
    run.finish("a")
    done = Structured(completions=[Completion(scope="run", value={"all": 1})])
    run.finish("b", succeeded(structured=done))
    assert run.finished.result == {"agent_id": "b", "output": {"all": 1}}


def test_router_and_sensor_complete_a_step_that_is_theirs_alone():
    agents = [
        agent("r", "router", emit_type="r_done"),
        agent("s", "sensor", output_message_type="s_done", complete_after=2),
        agent("e", "executor", output_message_type="e_done"),
    ]
    messages = [edge("r", "s", "r_done"), edge("s", "e", "s_done")]
    spec = flow(
        [step("r"), step("s"), step("e")],
        [after("r", "s"), after("s", "e")],
        agents=agents,
        messages=messages,
    )
    run = Run(spec)
    assert run.statuses() == {"r": "completed", "s": "running", "e": "blocked"}
    run.sent("s", {"second": 2})
    assert run.statuses() == {"r": "completed", "s": "completed", "e": "running"}


def test_an_aggregator_completes_its_step_when_it_fires():
    agents = [
        agent("a", "executor", output_message_type="out"),
        agent("b", "executor", output_message_type="out"),
        agent("g", "aggregator", complete_after=2, output_message_type="g_done"),
    ]
    spec = flow(
        [step("a"), step("b"), step("g")],
        [after("a", "g"), after("b", "g")],
        agents=agents,
        messages=[edge("a", "g", "out"), edge("b", "g", "out")],
        seeds={"a": [{}], "b": [{}]},
    )
    run = Run(spec)
    run.finish("a")
    run.finish("b")
    assert run.statuses()["g"] == "completed"
    assert run.step("g").output["count"] == 2
    assert run.state.status == "completed"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from([None, 1]), st.lists(odd.moves, max_size=12))
def test_nothing_that_a_worker_or_a_person_says_makes_apply_raise(limit, moves):
    run = odd.workplace(limit)
    for move in moves:
        odd.happen(run, move)
        check_ledger(run.job, run.state)
        check_sizes(run.state)
        json_bytes(run.view)
    replays(run)
