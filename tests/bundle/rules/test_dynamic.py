"""Graphs whose changes are declared wrongly."""

import pytest

from mnedge.bundle.rules import dynamic
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check, good, rules_of

D = "as_dynamic"
AT = "workflow.dynamic"


def declared(**changes):
    return lambda p: p.workflow["dynamic"].update(changes)


def template(**changes):
    return lambda p: p.workflow["dynamic"]["templates"]["dig"].update(changes)


def region(**changes):
    return lambda p: p.workflow["dynamic"]["regions"][0].update(changes)


def without(key):
    return lambda p: p.workflow["dynamic"]["regions"][0].pop(key)


def two_regions(p: Parts):
    p.workflow["dynamic"]["regions"].append(dict(p.workflow["dynamic"]["regions"][0]))


def two_owners(p: Parts):
    two_regions(p)
    p.workflow["dynamic"]["regions"][1]["id"] = "wider"


def children(**changes):
    def edit(p: Parts):
        child = {
            "planner": "plan",
            "templates": {"plan": {"agent_id": "reader"}, "work": {"run": "checker"}},
            "max_rounds": 3,
            "max_steps_per_round": 8,
            "inputs": {"topic": ["goal", "topic"]},
            **changes,
        }
        p.workflow["child_workflows"] = {"read": child}

    return edit


def orphaned(p: Parts):
    children()(p)
    p.workflow["child_workflows"]["gone"] = p.workflow["child_workflows"].pop("read")


CHILD = "workflow.child_workflows.read"

CASES = [
    Case("D-01", declared(enabled=False), AT, "enabled", form=D),
    Case("D-01", declared(apply_at="now"), f"{AT}.apply_at", "between_steps", form=D),
    Case(
        "D-02",
        declared(templates={}),
        f"{AT}.templates",
        "must not be empty",
        form=D,
        also=("D-03",),
    ),
    Case("D-02", template(agent_id="gone"), f"{AT}.templates.dig", "names no agent: gone", form=D),
    Case(
        "D-02",
        lambda p: p.workflow["dynamic"]["templates"].update(read={"agent_id": "reader"}),
        f"{AT}.templates.read",
        "has the id of a step",
        form=D,
    ),
    Case(
        "D-02",
        lambda p: p.workflow["dynamic"]["templates"].update({"a b": {"agent_id": "reader"}}),
        f'{AT}.templates["a b"]',
        "needs an id of letters",
        form=D,
    ),
    Case(
        "D-02",
        lambda p: p.workflow["dynamic"]["templates"].update(other={}),
        f"{AT}.templates.other",
        "needs run or agent_id",
        form=D,
    ),
    Case(
        "D-02",
        declared(templates=[{"id": "dig", "run": "reader"}, {"id": "dig", "run": "reader"}]),
        f"{AT}.templates[1]",
        "the id of another template",
        form=D,
    ),
    Case("D-03", declared(regions=[]), f"{AT}.regions", "must not be empty", form=D),
    Case("D-03", declared(regions=["x"]), f"{AT}.regions[0]", "must be an object", form=D),
    Case("D-03", region(id="-"), f"{AT}.regions[0].id", "must be an id", form=D),
    Case(
        "D-03", two_regions, f"{AT}.regions[1].id", "that of another region", form=D, also=("D-04",)
    ),
    Case("D-03", region(strategy="x"), f"{AT}.regions[0].strategy", "is unknown", form=D),
    Case(
        "D-03",
        region(controller="gone"),
        f"{AT}.regions[0].controller",
        "must be a step",
        ["read", "check"],
        form=D,
        also=("D-04",),
    ),
    Case("D-03", region(templates=[]), f"{AT}.regions[0].templates", "not be empty", form=D),
    Case("D-03", region(templates=["x"]), f"{AT}.regions[0].templates", "templates of", form=D),
    Case("D-04", without("exit"), f"{AT}.regions[0].exit", "be a step", form=D, also=()),
    Case("D-04", region(mutable_edges=[]), f"{AT}.regions[0].mutable_edges", "be empty", form=D),
    Case(
        "D-04",
        region(mutable_edges=["gone"]),
        f"{AT}.regions[0].mutable_edges",
        "no step edge: 'gone'",
        ["read_to_check"],
        form=D,
    ),
    Case(
        "D-04",
        region(exit="read"),
        f"{AT}.regions[0].mutable_edges",
        "does not lead from controller to exit",
        form=D,
    ),
    Case("D-04", two_owners, f"{AT}.regions[1].mutable_edges", "another region", form=D),
    Case(
        "D-04",
        region(strategy="checkpoint_fanout"),
        f"{AT}.regions[0].mutable_edges",
        "belong to replace_path",
        form=D,
    ),
    Case("D-05", declared(limits=3), f"{AT}.limits", "must be an object", form=D),
    Case(
        "D-05",
        declared(limits={"max_active_steps": 1001}),
        f"{AT}.limits.max_active_steps",
        "from 1 to 1000",
        form=D,
    ),
    Case("D-05", declared(limits={"max_history": 0}), f"{AT}.limits.max_history", "1 to", form=D),
    Case(
        "D-06",
        lambda p: p.workflow.update(child_workflows=[]),
        "workflow.child_workflows",
        "must be an object",
        form="as_workflow",
    ),
    Case("D-06", orphaned, "workflow.child_workflows.gone", "no step", form="as_workflow"),
    Case("D-06", children(planner="x"), f"{CHILD}.planner", "one of its templates", form=D),
    Case("D-06", children(max_rounds=21), f"{CHILD}.max_rounds", "from 1 to 20", form=D),
    Case(
        "D-06",
        children(max_steps_per_round=None),
        f"{CHILD}.max_steps_per_round",
        "from 1 to 128",
        form=D,
    ),
    Case("D-06", children(inputs={"a": "b"}), f"{CHILD}.inputs", "names to paths", form=D),
    Case(
        "D-06",
        children(templates={}),
        f"{CHILD}.templates",
        "must not be empty",
        form=D,
    ),
    Case(
        "D-06",
        children(templates={"plan": {"agent_id": "gone"}}),
        f"{CHILD}.templates.plan",
        "names no agent",
        form=D,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(dynamic, CASES)


def test_a_child_workflow_in_which_everything_is_right_has_no_problems():
    parts = good("as_workflow")
    children()(parts)
    assert parts.opened("strict").problems == []


def test_what_a_fixed_graph_says_of_changes_is_not_looked_at():
    parts = good("as_workflow")
    parts.workflow["dynamic"] = {"enabled": False, "templates": 3, "regions": "x"}
    assert rules_of(parts.opened("strict").problems) == []
