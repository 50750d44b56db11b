"""Attempts and the work out for them."""

from mnedge.engine.ledger import gate, work
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


def test_a_module_whose_call_was_cut_recovers_before_its_next_message():
    spec = flow(
        [step("m", max_attempts=3, retry_backoff_ms=0, timeout_s=10)],
        [],
        agents=[agent("m", "module")],
        messages=[],
        sink=None,
    )
    run = Run(spec)
    run.answered(state={"n": 1})
    run.sent("m", {"n": 2})
    run.fired("step:m:deadline")
    assert [call.message is None for call in run.calls] == [False, False, True]
    assert run.calls[-1].state == {"n": 1}
    run.answered(state={"n": 1})
    assert run.calls[-1].message.body == {"n": 2}


def test_what_a_retry_would_deliver_again_is_bounded_and_weighs(monkeypatch):
    monkeypatch.setattr(gate, "SAVED_AT_MOST", 3)
    spec = flow(
        [step("s", agent_ids=["p", "q"], timeout_s=None, max_attempts=2, retry_backoff_ms=0)],
        [],
        agents=[agent(name, "executor", workflow_complete_step=False) for name in "pq"],
        messages=[],
        seeds={"p": [{"n": 0}]},
        sink=None,
        job_type="service",
    )
    run = Run(spec)
    before = run.state.kept_bytes
    for number in range(1, 9):
        run.ended(run.out[0])
        run.sent("p", {"n": number, "text": "x" * 1000})
    saved = run.step("s").saved
    assert [message.body["n"] for message in saved] == [6, 7, 8]
    assert run.step("s").saved_bytes == sum(message.weight_bytes for message in saved)
    assert run.state.kept_bytes > before + 3000
    run.fail("s")
    assert run.out[0].message.body["n"] == 6
    assert run.state.kept_bytes < before + 3000
    run.finish("s", said(complete={}))
    assert run.step("s").saved_bytes == 0
