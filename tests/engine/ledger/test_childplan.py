"""Plans: where they stand, and what is read of them."""

from typing import Any

import pytest

from mnedge.engine.compile import compile_job
from mnedge.engine.ledger.childplan import (
    MOST_BYTES,
    PlanRefusedError,
    mapped,
    read_plan,
    task_id,
)
from mnedge.engine.ledger.state import ChildRun, LedgerState
from mnedge.model.body import BlobRef, values_at
from mnedge.model.manifest import ChildWorkflow
from tests.engine.ledger.flows import flow, step

CHILD = ChildWorkflow(
    parent="study",
    planner="plan",
    templates=[step("plan"), step("read")],
    max_rounds=2,
    max_steps_per_round=2,
    inputs={"topic": ["about", "0"]},
    outputs={"answer": ["best"]},
)
RUN = ChildRun({"topic": "tides"}, revision=1)
LEDGER = LedgerState()


def stop(**more: Any) -> dict[str, Any]:
    return {"decision": "stop", "revision": 1, **more}


@pytest.mark.parametrize(
    "output", [{"child_plan": stop()}, {"outputs": {"child_plan": stop()}, "status": "completed"}]
)
def test_a_plan_stands_in_the_output_or_in_its_outputs(output):
    plan = read_plan(output, CHILD, RUN, LEDGER)
    assert plan == {
        "decision": "stop", "revision": 1, "steps": [], "reason": None, "output": None,
    }  # fmt: skip


def test_a_plan_to_execute_is_returned_with_what_its_steps_leave_out():
    steps = [{"id": "a", "template": "read"}, {"id": "b", "template": "read", "needs": ["a", "a"]}]
    content = {"decision": "execute", "revision": 1, "steps": steps, "more": "ignored"}
    plan = read_plan({"child_plan": content}, CHILD, RUN, LEDGER)
    assert plan["steps"] == [
        {"id": "a", "template": "read", "input": {}, "needs": []},
        {"id": "b", "template": "read", "input": {}, "needs": ["a"]},
    ]
    assert "more" not in plan


def test_a_plan_is_as_large_as_it_may_be_and_no_larger():
    empty = len(b'{"decision":"stop","output":"","reason":null,"revision":1,"steps":null}')
    fits = {"child_plan": stop(output="x" * (MOST_BYTES - empty))}
    assert read_plan(fits, CHILD, RUN, LEDGER)["decision"] == "stop"
    larger = {"child_plan": stop(output="x" * (MOST_BYTES - empty + 1))}
    with pytest.raises(PlanRefusedError, match="131073 bytes, more than 131072"):
        read_plan(larger, CHILD, RUN, LEDGER)


def test_a_task_whose_id_is_taken_is_refused():
    ledger = LedgerState(step_of={task_id("study", 1, "a"): 7})
    content = {"decision": "execute", "revision": 1, "steps": [{"id": "a", "template": "read"}]}
    with pytest.raises(PlanRefusedError, match="step study:r1:a exists already"):
        read_plan({"child_plan": content}, CHILD, RUN, ledger)


def test_what_is_kept_of_a_large_output_holds_the_plan_and_what_is_mapped():
    job = compile_job(
        flow([step("study")], [], workflow={"child_workflows": [CHILD]}),
    )

    def stored(value: Any) -> BlobRef:
        return BlobRef("sha256:00", 1 << 20, values=values_at(value, job.body_paths))

    content = stop(output={"best": 3}, reason="enough")
    whole = stored({"child_plan": content, "junk": "x"})
    assert read_plan(whole, CHILD, RUN, LEDGER)["reason"] == "enough"
    inner = {"outputs": stored({"child_plan": content})}
    assert read_plan(inner, CHILD, RUN, LEDGER)["output"] == {"best": 3}
    assert mapped(stored({"about": ["tides"]}), CHILD.inputs) == {"topic": "tides"}


def test_what_is_not_there_is_mapped_to_null():
    assert mapped({"about": []}, CHILD.inputs) == {"topic": None}
    assert mapped(None, CHILD.inputs) == {"topic": None}
    assert mapped({"outputs": {"about": ["tides"]}}, CHILD.inputs) == {"topic": "tides"}
