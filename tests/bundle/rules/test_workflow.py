"""Graphs of steps that cannot run."""

from itertools import pairwise

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


def member(**changes):
    return lambda p: p.workflow.update(changes)


def graph(**changes):
    return lambda p: p.workflow["graph"].update(changes)


def without(key):
    return lambda p: p.workflow.pop(key)


def agents(**changes):
    return lambda p: p.manifest["agents"].update(changes)


def edge(**changes):
    return lambda p: p.step_edges[0].update(changes)


def one_more_edge(**members):
    return lambda p: p.step_edges.append(members)


def a_step_aside(p: Parts):
    p.workflow["steps"].append({**p.step("read"), "id": "aside", "run": "reader"})


def a_circle(p: Parts):
    p.workflow["steps"].append({**p.step("read"), "id": "again"})
    p.step_edges[:] = [
        {"id": "a", "from": "read", "to": "again"},
        {"id": "b", "from": "again", "to": "read"},
        {"id": "c", "from": "again", "to": "check"},
    ]


def one_step(p: Parts):
    del p.workflow["steps"][1], p.step_edges[0]
    del p.manifest["runtime"]["bindings"]["check"]
    p.workflow["sink"] = "read"


SCHEMA = "mn.workflow.problem_graph/v1"

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
    Case("W-08", member(edges=[]), "workflow.edges", "non-empty list", form=C, also=("W-12",)),
    Case("W-08", without("edges"), "workflow.edges", "must be a list", form=C),
    Case("W-08", graph(edges={}), "flow.graph.edges", "must be a list", form=B),
    Case("W-09", one_more_edge(id="x", **{"from": "read"}), "workflow.edges[1].to", "to", form=C),
    Case("W-09", edge(to="gone"), "flow.graph.edges[0].to", "to must", form=B, also=("W-12",)),
    Case(
        "W-09",
        one_more_edge(id="x", **{"from": "read", "to": "read"}),
        "workflow.edges[1].to",
        "from a step to itself",
        form=C,
    ),
    Case("W-09", edge(id=None), "workflow.edges[0].id", "edge id is required", form=C),
    Case(
        "W-09",
        lambda p: p.step_edges.append(dict(p.step_edges[0])),
        "workflow.edges[1].id",
        "duplicate edge id read_to_check",
        form=C,
    ),
    Case("W-09", lambda p: p.step_edges.append("x"), "workflow.edges[1]", "an object", form=C),
    Case("W-10", edge(required="yes"), "workflow.edges[0].required", "a boolean", form=C),
    Case("W-10", edge(accepts=[]), "workflow.edges[0].accepts", "non-empty list", form=C),
    Case("W-10", edge(accepts=[1]), "flow.graph.edges[0].accepts", "non-empty list", form=B),
    Case("W-11", a_circle, "workflow.edges", "wait for each other: read, again", form=C),
    Case("W-12", a_step_aside, "workflow.steps[2]", "no way from the source", form=C),
    Case("W-12", a_step_aside, "flow.steps[2]", "no way from the source", weight="E/s", form=B),
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


def test_a_linear_workflow_of_generation_b_needs_no_edges():
    parts = good("as_steps")
    parts.workflow["graph"] = {"mode": "linear"}
    assert rules_of(parts.opened("strict").problems) == ["M-32"]


def test_an_entrypoint_of_generation_b_may_name_an_agent():
    parts = good("as_steps")
    parts.workflow["entrypoint"] = "intake"
    assert rules_of(parts.opened("strict").errors) == []
    assert rules_of(parts.opened("strict").warnings) == ["M-32", "W-07"]


def test_a_graph_that_fans_out_may_start_without_edges():
    parts = good("as_dynamic")
    region = parts.workflow["dynamic"]["regions"][0]
    region["strategy"] = "checkpoint_fanout"
    del region["mutable_edges"], region["exit"]
    parts.step_edges.clear()
    assert parts.opened("strict").problems == []


def test_a_long_chain_and_a_wide_fan_are_checked_in_good_time():
    parts = good("as_workflow")
    names = [f"s{n}" for n in range(3000)]
    parts.workflow["steps"] = [{**parts.step("read"), "id": name} for name in names]
    parts.workflow.update(source="s0", entrypoint="s0", sink="s2999")
    parts.workflow["edges"] = [
        {"id": f"{one}_to_{other}", "from": one, "to": other} for one, other in pairwise(names)
    ]
    parts.manifest["runtime"]["bindings"] = {}
    assert parts.opened("strict").errors == []
