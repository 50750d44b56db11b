"""Operations of a patch: each one's rules, by the name of what breaks them."""

from typing import Any

import pytest

from tests.engine.ledger.dynamic import (
    add_edge,
    add_step,
    changing,
    decision,
    detour,
    fan,
    fan_out,
    fanned,
    inspection,
    patched,
    path,
    remove_edge,
    remove_step,
)
from tests.engine.ledger.flows import Run, after, said, step
from tests.engine.ledger.recount import check_ledger


def why(run: Run, operations: Any, *, step_id: str = "inspect", **more: Any) -> str:
    """Let the controller publish the operations; return why they are refused, all of them."""
    before = run.view["edges"], run.view["step_order"]
    run.finish(step_id, patched(operations, **more))
    assert before == (run.view["edges"], run.view["step_order"])
    check_ledger(run.job, run.state)
    return str(run.told("workflow_graph_patch_rejected")[-1]["reason"])


def twice(first: list[Any], second: list[Any]) -> Any:
    """Return one answer with two patches of the region `followups`."""
    events = [
        patched(first).structured.events[0],
        patched(second, patch_id="p-2", base=1).structured.events[0],
    ]
    return said(*((event.type, event.payload) for event in events))


def why_second(first: list[Any], second: list[Any], run: Run | None = None) -> str:
    run = run or inspection()
    run.finish("inspect", twice(first, second))
    assert len(run.told("workflow_graph_patch_applied")) == 1
    return str(run.told("workflow_graph_patch_rejected")[-1]["reason"])


def fanning(leave: str | None = "report") -> Run:
    steps = [step("decide"), step("report")]
    return Run(changing([fan(leave=leave)], steps, [after("decide", "report")]))


@pytest.mark.parametrize("op", [None, "", "move_step", 3])
def test_an_unknown_operation_is_refused(op):
    assert "unknown operation" in why(inspection(), [{"op": op, "id": "x"}])


# ---- add_step ----


@pytest.mark.parametrize("name", [None, 1, "", "a b", "[0]"])
def test_a_new_step_needs_an_id(name):
    assert "invalid id of add_step" in why(inspection(), [add_step(name)])


@pytest.mark.parametrize("name", ["inspect", "report"])
def test_a_new_step_needs_an_id_of_its_own(name):
    assert why(inspection(), [add_step(name)]) == f"step {name} exists already"


def test_one_patch_cannot_add_a_step_twice():
    assert why(inspection(), [add_step("a"), add_step("a")]) == "step a exists already"


@pytest.mark.parametrize("template", [None, "nope", "other", ["dig"]])
def test_a_template_must_be_allowed_in_the_region(template):
    run = inspection(templates=[step("dig"), step("other")])
    assert "is not allowed in region followups" in why(run, [add_step("a", template)])


@pytest.mark.parametrize("given", [None, "text", ["list"], 3])
def test_the_input_of_a_step_must_be_an_object(given):
    ops = [add_step("a") | {"with": given}]
    assert why(inspection(), ops) == "with of step a must be an object"


# ---- remove_step ----


def test_only_a_step_that_exists_can_be_removed():
    assert why(inspection(), [remove_step("nope")]) == "step nope does not exist"


@pytest.mark.parametrize("name", ["inspect", "report"])
def test_a_fixed_step_cannot_be_removed(name):
    reason = why(inspection(), [remove_step(name)])
    assert reason == f"step {name} is no instance of region followups"


def test_a_step_of_another_region_cannot_be_removed():
    run = Run(
        changing(
            [path("one", "a", "m"), path("two", "b", "m")],
            [step("a"), step("b"), step("m")],
            [after("a", "m"), after("b", "m")],
            seeds={"a": [{}], "b": [{}]},
        )
    )
    run.finish(
        "a", patched([add_step("x"), add_edge("a", "x"), add_edge("x", "m")], region_id="one")
    )
    reason = why(run, [remove_step("x")], step_id="b", region_id="two", patch_id="p-2", base=1)
    assert reason == "step x is no instance of region two"


def test_a_step_with_edges_cannot_be_removed():
    assert why_second(detour("a"), [remove_step("a")]) == "step a still has edges"


def test_a_step_that_is_over_cannot_be_removed():
    run = inspection()
    both = twice(detour("a"), [remove_step("a")]).structured.events
    skipped = ("workflow_step_skipped", {"step_id": "a"})
    first, second = ((event.type, event.payload) for event in both)
    run.finish("inspect", said(first, skipped, second))
    assert run.told("workflow_graph_patch_rejected")[0]["reason"] == "step a has started"


# ---- add_edge ----


@pytest.mark.parametrize("name", [None, 1, "", "a b"])
def test_a_new_edge_needs_an_id(name):
    op = {"op": "add_edge", "id": name, "from": "inspect", "to": "report"}
    assert "invalid id of add_edge" in why(inspection(), [op])


def test_a_new_edge_needs_an_id_of_its_own():
    ops = [add_edge("inspect", "report", "inspect_to_report")]
    assert why(inspection(), ops) == "edge inspect_to_report exists already"


def test_an_edge_leads_from_one_step_to_another():
    ops = [add_step("a"), add_edge("a", "a", "e")]
    assert why(inspection(), ops) == "edge e leads from a to itself"


@pytest.mark.parametrize("source, target", [("nope", "report"), ("inspect", "nope"), (3, "x")])
def test_both_ends_of_an_edge_exist(source, target):
    assert "names no step" in why(inspection(), [add_edge(source, target, "e")])


def test_an_edge_stays_in_its_region():
    run = Run(
        changing(
            [path()],
            [step("inspect"), step("report"), step("other")],
            [after("inspect", "report"), after("inspect", "other")],
        )
    )
    reason = why(run, [add_step("a"), add_edge("a", "other", "e")])
    assert reason == "edge e leaves region followups: other"


def test_nothing_may_lead_to_what_has_started():
    ops = [add_step("a"), add_edge("a", "inspect", "e")]
    assert why(inspection(), ops) == "target inspect of edge e has started"


def test_an_exit_that_is_over_takes_no_edge():
    run = inspection()
    run.finish(
        "inspect",
        said(
            ("workflow_step_skipped", {"step_id": "report"}),
            ("workflow_graph_patch", {
                "patch_id": "p", "region_id": "followups", "base_revision": 0,
                "operations": detour("a"),
            }),
        ),
    )  # fmt: skip
    (told,) = run.told("workflow_graph_patch_rejected")
    assert told["reason"] == "target report of edge inspect_to_report has started"


@pytest.mark.parametrize("accepts", ["done", [1], {}, None])
def test_what_an_edge_accepts_is_a_list_of_statuses(accepts):
    ops = [add_step("a"), add_edge("inspect", "a", "e", accepts=accepts)]
    assert why(inspection(), ops) == "accepts of edge e must be a list of statuses"


def test_edges_of_a_fan_out_count_as_satisfied():
    run = fanning()
    run.finish("decide", fan_out("a", "b"))
    shown = {one["id"]: one.get("checkpoint_revision") for one in run.view["edges"]}
    assert shown == {"decide_to_report": None, "decide-a": 1, "decide-b": 1}
    assert run.step("a").status == "running"


# ---- remove_edge ----


def test_only_an_edge_that_exists_can_be_removed():
    assert why(inspection(), [remove_edge("nope")]) == "edge nope does not exist"
    assert "invalid id of remove_edge" in why(inspection(), [{"op": "remove_edge"}])


def test_only_an_edge_that_the_region_owns_can_be_removed():
    run = fanning()
    ops = [*fanned("a"), remove_edge("decide_to_report")]
    reason = why(run, ops, step_id="decide", region_id="fan")
    assert reason == "edge decide_to_report does not belong to region fan"


# ---- the whole ----


def test_no_edge_may_dangle():
    ops = [add_step("a"), add_edge("inspect", "a"), remove_step("a")]
    assert why(inspection(), ops) == "step a still has edges"


def test_the_graph_stays_without_a_cycle():
    ops = [*detour("a", "b"), add_edge("b", "a")]
    assert why(inspection(), ops) == "the graph would have a cycle"


def test_the_exit_stays_within_reach():
    assert why(inspection(), [remove_edge("inspect_to_report")]) == (
        "exit report cannot be reached from inspect"
    )


@pytest.mark.parametrize("ops", [[], [add_edge("inspect", "a")], [add_edge("a", "report")]])
def test_every_instance_lies_between_controller_and_exit(ops):
    reason = why(inspection(), [add_step("a"), *ops])
    assert reason == "step a is on no path from inspect to report"


def test_every_instance_of_a_fan_out_is_within_reach():
    reason = why(fanning(), [*fanned("a"), add_step("b")], step_id="decide", region_id="fan")
    assert reason == "step b cannot be reached from decide"


def test_a_fan_out_may_have_steps_in_a_line_and_lead_to_an_exit():
    run = fanning()
    ops = [*fanned("a"), add_step("b"), add_edge("a", "b"), add_edge("b", "report")]
    run.finish("decide", patched(ops, region_id="fan"))
    assert run.step("a").status == "running"
    run.finish("a")
    run.finish("b")
    assert "workflow_dynamic_steps_retired" in run.types
    check_ledger(run.job, run.state)


def test_a_fan_out_without_an_exit_leads_nowhere_else():
    ops = [*fanned("a"), add_edge("a", "report", "e")]
    reason = why(decision(), ops, step_id="decide", region_id="fan")
    assert reason == "edge e leaves region fan: report"
