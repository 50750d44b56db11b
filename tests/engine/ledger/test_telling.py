"""Events of the ledger, and their errors."""

from tests.engine.ledger.flows import Run, after, flow, said, step


def test_events_name_step_agent_and_attempt():
    run = Run(flow([step("a"), step("b")], [after("a", "b")]))
    run.finish("a")
    event = next(one for one in run.events if one.type == "workflow_step_completed")
    assert (event.step_id, event.agent_id) == ("a", "a")
    assert event.payload["attempt_id"] == "a:attempt:1"
    assert event.payload["status"] == "completed"


def test_a_failure_is_told_with_its_envelope():
    run = Run(flow([step("a", policy="continue_partial")], []))
    run.fail("a")
    (told,) = run.told("workflow_step_failed")
    details = told["error"]["details"]
    assert (details["step_id"], details["agent_id"], details["attempt"]) == ("a", "a", 1)
    assert details["max_attempts"] == 1
    assert run.step("a").error == told["error"]


def test_an_instance_says_what_it_is_made_from():
    run = Run(flow([step("a"), step("b")], [after("a", "b")]))
    run.finish("a", said(("workflow_step_scatter", {"target": "b", "items": [1]})))
    started = [one for one in run.told("workflow_step_attempt_started") if one["step"] == "b[0]"]
    assert started[0]["attempt_id"] == "b[0]:attempt:1"
