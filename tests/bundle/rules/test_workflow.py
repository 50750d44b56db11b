"""Graphs of steps that cannot run."""

import pytest

from mnedge.bundle.rules import workflow
from tests.bundle.making import (
    Case,
    Parts,
    assert_every_rule_has_a_case,
    check,
    good,
    rules_of,
)

C, B = "as_workflow", "as_steps"
SCHEMA = "mn.workflow.problem_graph/v1"


def member(**changes):
    return lambda p: p.workflow.update(changes)


def graph(**changes):
    return lambda p: p.workflow["graph"].update(changes)


def without(key):
    return lambda p: p.workflow.pop(key)


def agents(**changes):
    return lambda p: p.manifest["agents"].update(changes)


def one_step(p: Parts):
    del p.workflow["steps"][1], p.step_edges[0]
    del p.manifest["runtime"]["bindings"]["check"]
    p.workflow["sink"] = "read"


CASES = [
    Case("W-01", member(schema="x"), "workflow.schema", "must be mn", SCHEMA, form=C),
    Case("W-01", without("schema"), "workflow.schema", "must be mn", form=C),
    Case("W-01", graph(schema="x"), "flow.graph.schema", "must be mn", form=B),
    Case("W-02", without("workflow_id"), "workflow.workflow_id", "non-empty string", form=C),
    Case(
        "W-03",
        member(steps=[]),
        "workflow.steps",
        "non-empty list",
        form=C,
        also=("W-09",),
    ),
    Case(
        "W-03",
        member(steps="read"),
        "flow.steps",
        "non-empty list",
        form=B,
        also=("W-09",),
    ),
    Case(
        "W-04",
        lambda p: p.workflow["steps"].append({"label": "x"}),
        "workflow.steps[2]",
        "step number 3 has none",
        form=C,
    ),
    Case("W-04", lambda p: p.workflow["steps"].append("x"), "flow.steps[2]", "has none", form=B),
    Case(
        "W-04",
        lambda p: p.step("check").update(id="a\nb"),
        "workflow.steps[1].id",
        "is no name",
        form=C,
        also=("W-07", "W-09", "W-12", "W-19"),
    ),
    Case(
        "W-05",
        lambda p: p.workflow["steps"].append(dict(p.step("read"))),
        "workflow.steps[2].id",
        "duplicate workflow step id read",
        form=C,
    ),
    Case("W-06", member(source="check"), "workflow.source", "must match entrypoint", form=C),
    Case(
        "W-06",
        member(source="gone", entrypoint="gone"),
        "workflow.source",
        "must match entrypoint",
        ["read", "check"],
        form=C,
        also=("W-07",),
    ),
    Case("W-07", member(sink="gone"), "workflow.sink", "sink must reference", form=C),
    Case("W-07", graph(sink=3), "flow.graph.sink", "sink must reference", form=B),
    Case("W-07", without("sink"), "workflow.sink", "sink is required", weight="E/s", form=C),
    Case(
        "W-07",
        member(entrypoint="gone"),
        "flow.entrypoint",
        "entrypoint must reference",
        ["read", "check"],
        form=B,
    ),
    Case(
        "W-22",
        lambda p: p.manifest.pop("agents"),
        "agents",
        "agents is required",
        form=C,
        also=("N-01", "E-01", "K-06"),
    ),
    Case("W-22", agents(schema="x"), "agents.schema", "communication_graph/v1", form=C),
    Case(
        "W-22",
        agents(entrypoints=[]),
        "agents.entrypoints",
        "must not be empty",
        form=C,
    ),
    Case("W-23", member(mode="linear"), "workflow.mode", "unsupported", form=C),
    Case("W-23", graph(mode="any"), "flow.graph.mode", "unsupported", form=B),
    Case("W-24", member(execution="eager"), "workflow.execution", "serial or parallel", form=C),
    Case("W-24", member(execution=3), "workflow.execution", "serial or parallel", form=C),
    Case(
        "W-24",
        member(execution={"strategy": "x"}),
        "workflow.execution.strategy",
        "serial or parallel",
        ["serial", "parallel"],
        form=C,
    ),
    Case(
        "W-24",
        graph(execution={"strategy": "parallel", "max_parallel_steps": 0}),
        "flow.graph.execution.max_parallel_steps",
        "at least 1",
        form=B,
    ),
    Case(
        "W-31",
        member(dynamic={"enabled": True}),
        "workflow.dynamic.enabled",
        "no effect in a static_dag",
        False,
        weight="W",
        form=C,
    ),
    Case("W-33", one_step, "workflow.steps", "a single step", weight="W", form=C),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(workflow, CASES)


@pytest.mark.parametrize("form", ["as_workflow", "as_dynamic"])
def test_a_workflow_in_which_everything_is_right_has_no_problems(form):
    assert good(form).opened("strict").problems == []


@pytest.mark.parametrize("form", ["as_steps", "as_old_steps"])
def test_steps_of_generation_b_are_only_told_to_be_old(form):
    assert rules_of(good(form).opened("strict").problems) == ["M-32"]


def test_an_entrypoint_of_generation_b_may_name_an_agent():
    parts = good("as_steps")
    parts.workflow["entrypoint"] = "intake"
    assert rules_of(parts.opened("strict").errors) == []
    assert rules_of(parts.opened("strict").warnings) == ["M-32", "W-07"]
