"""Attempts and the work out for them."""

from mnedge.engine.ledger import work
from mnedge.model.commands import StopAttempt
from tests.engine.jobs import agent, edge
from tests.engine.ledger.flows import Run, flow, said, step


def test_all_work_of_a_failed_attempt_is_stopped():
    agents = [
        agent("split", "executor", output_message_type="go", workflow_complete_step=False),
        agent("left", "executor", output_message_type="left_done"),
        agent("right", "executor", output_message_type="right_done"),
    ]
    spec = flow(
        [step("both", agent_ids=["split", "left", "right"], policy="continue_partial")],
        [],
        agents=agents,
        messages=[edge("split", "left", "go"), edge("split", "right", "go")],
    )
    run = Run(spec)
    run.finish("both")
    left, right = run.out
    run.fail("both")
    assert [one.attempt_id for one in run.commanded(StopAttempt)] == [right.attempt_id]
    assert run.state.flights == 0
    run.ended(right)
    assert run.told("workflow_step_stale_output_ignored")
    assert run.statuses() == {"both": "partial"}
    assert left.attempt_id != right.attempt_id


def test_only_so_many_attempts_are_kept(monkeypatch):
    monkeypatch.setattr(work, "ATTEMPTS_KEPT", 2)
    run = Run(flow([step("a", max_attempts=4, retry_backoff_ms=0)], []))
    for _ in range(3):
        run.fail("a")
    assert [one.number for one in run.step("a").attempts] == [3, 4]
    assert run.step("a").attempt_count == 4


def test_what_became_of_messages_is_kept_and_bounded(monkeypatch):
    monkeypatch.setattr(work, "RECORDS_KEPT", 10)
    run = Run(flow([step("a"), step("b")], [], seeds={"a": [{}], "b": [{}]}))
    (first,) = run.view["messages"].values() if len(run.view["messages"]) == 1 else [None]
    assert first is None
    assert [one["status"] for one in run.view["messages"].values()] == ["running", "running"]
    run.finish("a", said(complete={}))
    assert [one["status"] for one in run.view["messages"].values()] == ["acked", "running"]
    for number in range(30):
        run.sent("a", {"n": number})
    assert len(run.view["messages"]) <= 11
    assert {one["status"] for one in run.view["messages"].values()} == {"ignored"}
