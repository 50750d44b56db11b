"""Which step, and which attempt, a message is for."""

from tests.engine.jobs import JOB_ID, agent, edge
from tests.engine.ledger.flows import Run, after, flow, step


def headers_of(launch) -> dict:
    return {
        key.removeprefix("mn.workflow."): value
        for key, value in launch.message.headers.items()
        if key.startswith("mn.workflow.")
    }


def test_a_dispatched_message_carries_its_attempt():
    run = Run(flow([step("a", timeout_s=20)], []))
    headers = headers_of(run.out[0])
    message_id = run.out[0].message.message_id
    assert headers == {
        "run_id": JOB_ID,
        "step_id": "a",
        "attempt_id": "a:attempt:1",
        "attempt": 1,
        "deadline_at": "1970-01-01T00:02:00.000Z",
        "heartbeat_deadline_at": "1970-01-01T00:02:00.000Z",
        "idempotency_key": f"{JOB_ID}:a:1:{message_id}",
        "timeout_seconds": 20,
        "heartbeat_timeout_ms": 20000,
        "graph_revision": 0,
    }


def test_a_message_to_another_step_says_where_it_comes_from():
    run = Run(flow([step("a"), step("b")], [after("a", "b")]))
    run.finish("a")
    headers = headers_of(run.out[0])
    assert (headers["source_step_id"], headers["step_id"]) == ("a", "b")
    assert headers["attempt_id"] == "b:attempt:1"


def test_a_message_to_an_agent_of_no_step_carries_no_attempt():
    run = Run(flow([step("a")], []))
    run.finish("a")
    message = next(event.payload for event in run.events if event.agent_id == "sink")
    kept = {key for key in message.headers if key.startswith("mn.workflow.")}
    assert kept == {"mn.workflow.run_id", "mn.workflow.source_step_id"}


def test_an_agent_of_no_step_hands_on_where_the_message_came_from():
    agents = [
        agent("a", "executor", output_message_type="a_done"),
        agent("between"),
        agent("b", "executor", output_message_type="b_done"),
    ]
    messages = [edge("a", "between", "a_done"), edge("between", "b", "a_done")]
    run = Run(flow([step("a"), step("b")], [after("a", "b")], agents=agents, messages=messages))
    run.finish("a")
    headers = headers_of(run.out[0])
    assert (headers["source_step_id"], headers["step_id"]) == ("a", "b")


def test_without_a_ledger_no_message_has_such_headers():
    from tests.engine.jobs import Play, spec_of

    play = Play(spec_of([agent("a"), agent("b", "executor")], [edge("a", "b")]))
    assert play.launches[0].message.headers == {}
    assert play.launches[0].workflow == {}
