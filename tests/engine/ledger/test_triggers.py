"""The seven trigger rules, and who is started by the ledger itself."""

import pytest

from tests.engine.jobs import agent, edge
from tests.engine.ledger.flows import Run, after, flow, said, step

DONE, FAILED, PARTIAL, SKIPPED = "done", "failed", "partial", "skipped"


def ended(rule: str, *ends: str, accepts: tuple[str, ...] = ("done",), **more) -> Run:
    """A step whose parents have ended like this, in this order."""
    names = [f"p{index}" for index in range(len(ends))]
    run = Run(
        flow(
            [*(step(name, policy="continue_partial") for name in names), step("x", rule, **more)],
            [after(name, "x", *accepts) for name in names],
            seeds={name: [{}] for name in names},
        )
    )
    for name, end in zip(names, ends, strict=True):
        if end == DONE:
            run.finish(name)
        elif end == FAILED:
            run.fail(name)
        elif end in (PARTIAL, SKIPPED):
            run.finish(name, said((f"workflow_step_{end}", {})))
    return run


@pytest.mark.parametrize(
    "rule, ends, status",
    [
        ("all_success", (DONE, DONE), "running"),
        ("all_success", (DONE, "open"), "blocked"),
        ("all_success", (DONE, PARTIAL), "skipped"),
        ("all_success", (FAILED, DONE), "skipped"),
        ("all_done", (DONE, FAILED), "running"),
        ("all_done", (DONE, SKIPPED), "running"),
        ("all_done", (FAILED, "open"), "pending"),
        ("one_success", ("open", DONE), "running"),
        ("one_success", (FAILED, "open"), "pending"),
        ("one_success", (FAILED, SKIPPED), "skipped"),
        ("one_done", ("open", FAILED), "running"),
        ("one_done", (DONE, "open"), "running"),
        ("one_failed", (DONE, FAILED), "running"),
        ("one_failed", (DONE, "open"), "blocked"),
        ("one_failed", (DONE, DONE), "skipped"),
        ("one_failed", (PARTIAL, DONE), "skipped"),
        ("none_failed_min_one_success", (DONE, SKIPPED), "running"),
        ("none_failed_min_one_success", (DONE, FAILED), "skipped"),
        ("none_failed_min_one_success", (SKIPPED, SKIPPED), "skipped"),
        ("none_failed_min_one_success", (DONE, "open"), "blocked"),
    ],
)
def test_the_rule_decides(rule, ends, status):
    assert ended(rule, *ends).statuses()["x"] == status


@pytest.mark.parametrize(
    "ends, quorum, status",
    [
        ((DONE, DONE, "open"), 2, "running"),
        ((DONE, FAILED, "open"), 2, "blocked"),
        ((DONE, FAILED, FAILED), 2, "skipped"),
        ((FAILED, FAILED, "open"), 2, "skipped"),
        ((DONE, "open", "open"), 1, "running"),
    ],
)
def test_a_quorum_counts_successes(ends, quorum, status):
    assert ended("quorum_success", *ends, quorum=quorum).statuses()["x"] == status


def test_an_edge_may_accept_more_than_done():
    assert ended("all_success", DONE, PARTIAL, accepts=("done", "partial")).statuses()["x"] == (
        "running"
    )
    assert ended("all_success", SKIPPED, DONE, accepts=("completed", "skipped")).statuses()[
        "x"
    ] == ("running")
    assert ended("all_success", DONE, DONE, accepts=("partial",)).statuses()["x"] == "skipped"


def test_an_impossible_step_is_skipped_with_its_reason_and_so_are_those_behind_it():
    run = Run(
        flow(
            [step("a", policy="continue_partial"), step("b"), step("c"), step("d", "all_done")],
            [after("a", "b"), after("b", "c"), after("c", "d")],
        )
    )
    run.fail("a")
    assert run.statuses() == {"a": "partial", "b": "skipped", "c": "skipped", "d": "ready"}
    assert run.step("b").reason == "trigger rule cannot be satisfied"
    assert [one["step_id"] for one in run.told("workflow_step_skipped")] == ["b", "c"]


def test_a_step_that_answers_a_failure_is_triggered_with_what_its_parents_came_to():
    run = ended("one_failed", "open", FAILED)
    (told,) = run.told("workflow_step_triggered")
    assert told["trigger_rule"] == "one_failed"
    (body,) = run.received("x")
    assert body["trigger_rule"] == "one_failed"
    assert [(one["step_id"], one["status"], one["outcome"]) for one in body["parents"]] == [
        ("p0", "running", None),
        ("p1", "partial", "failed"),
    ]
    assert body["parents"][1]["edge_id"] == "p1_to_x"


def test_a_data_message_starts_a_step_whose_parents_all_did_well():
    run = ended("all_done", DONE, DONE)
    assert run.told("workflow_step_triggered") == []
    assert run.received("x")[0]["agent_id"] == "p0"


def test_a_step_that_no_message_can_reach_is_triggered():
    spec = flow([step("a"), step("b")], [after("a", "b")], messages=[])
    run = Run(spec)
    run.finish("a")
    assert [one["step_id"] for one in run.told("workflow_step_triggered")] == ["b"]
    assert run.out[0].agent_id == "b"


def test_a_message_may_come_through_agents_of_no_step():
    agents = [
        agent("a", "executor", output_message_type="a_done"),
        agent("between"),
        agent("b", "executor", output_message_type="b_done"),
    ]
    messages = [edge("a", "between", "a_done"), edge("between", "b", "a_done")]
    run = Run(flow([step("a"), step("b")], [after("a", "b")], agents=agents, messages=messages))
    run.finish("a")
    assert run.told("workflow_step_triggered") == []
    assert run.received("b")[0]["agent_id"] == "a"


def test_a_job_that_falls_silent_starts_who_may_run_and_gets_no_message():
    agents = [
        agent("a", "executor", output_message_type=None),
        agent("b", "executor", output_message_type="b_done"),
    ]
    messages = [edge("a", "b", "never")]
    run = Run(flow([step("a"), step("b")], [after("a", "b")], agents=agents, messages=messages))
    run.finish("a")
    assert run.statuses()["b"] == "ready"
    run.fired("idle")
    assert run.told("workflow_step_triggered")[0]["reason"] == "no message will come"
    run.finish("b")
    assert run.state.status == "completed"
