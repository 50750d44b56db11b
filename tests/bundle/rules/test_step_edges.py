"""Edges between steps that lead nowhere, or round in circles."""

from itertools import pairwise

import pytest

from mnedge.bundle.rules import step_edges
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


CASES = [
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
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(step_edges, CASES)


def test_a_linear_workflow_of_generation_b_needs_no_edges():
    parts = good("as_steps")
    parts.workflow["graph"] = {"mode": "linear"}
    assert rules_of(parts.opened("strict").problems) == ["M-32"]


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
