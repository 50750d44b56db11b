"""What keeps a source from being expanded: rules S-01 to S-05 and S-07."""

from typing import Any

import pytest

from mnedge.bundle.source.checks import (
    is_dynamic,
    is_handler,
    is_module,
    manifest_defaults,
    problems_in,
    template_sources,
)
from tests.bundle.source.making import source, steps

FIRST = {"id": "a", "needs": [], "run": {"handler": "steps.a"}}


def step(**changes: Any) -> dict[str, Any]:
    return FIRST | {"id": "b", "needs": ["a"]} | changes


def run(**members: Any) -> dict[str, Any]:
    return steps(FIRST, step(run=members))


def dynamic(**changes: Any) -> dict[str, Any]:
    made = steps(FIRST, step())
    made["workflow"] |= {
        "mode": "dynamic_dag",
        "dynamic": {
            "enabled": True,
            "apply_at": "between_steps",
            "templates": {"t": {"run": {"handler": "steps.t"}}},
            "regions": [{"id": "r"}],
            **changes,
        },
    }
    return made


def templates(*listed: Any) -> dict[str, Any]:
    return dynamic(templates=list(listed))


CASES = [
    ("S-01", source(identity="watch"), "identity", "must be an object"),
    ("S-01", source(identity={"id": " ", "name": "x"}), "identity.id", "id is required"),
    ("S-01", source(identity={"id": "x"}), "identity.name", "name is required"),
    ("S-02", source(workflow=[]), "workflow", "must be an object"),
    ("S-02", source(workflow={"steps": []}), "workflow.steps", "non-empty list"),
    ("S-02", steps(FIRST, step(id=3)), "workflow.steps.1.id", "needs an id"),
    ("S-02", steps(FIRST, FIRST), "workflow.steps.1.id", "two steps are called 'a'"),
    ("S-03", steps(FIRST, "b"), "workflow.steps.1", "must be an object"),
    ("S-03", steps(FIRST, step(needs="a")), "workflow.steps.1.needs", "must list the steps"),
    ("S-03", steps(FIRST, step(needs=["c"])), "workflow.steps.1.needs.0", "'c', which is no step"),
    (
        "S-03",
        steps(FIRST, step(needs=["c"]), step(id="c", needs=["d", "a"]), step(id="d", needs=["b"])),
        "workflow.steps",
        "wait for each other: b → c → d → b",
    ),
    ("S-03", steps(step(needs=["b"])), "workflow.steps", "b → b"),
    ("S-04", steps(FIRST, step(run="agent")), "workflow.steps.1.run", "must say what it runs"),
    ("S-04", run(), "workflow.steps.1.run", "runs nothing"),
    ("S-04", run(agents=["x"], agent="x"), "workflow.steps.1.run.agents", "no longer supported"),
    (
        "S-04",
        run(definition="s.b", agent="x"),
        "workflow.steps.1.run",
        "a second thing to run: agent",
    ),
    ("S-04", run(handler="steps/b.py"), "workflow.steps.1.run.handler", "dotted name"),
    ("S-04", run(handler="steps.b:run"), "workflow.steps.1.run.handler", "dotted name"),
    ("S-04", run(definition="3.b"), "workflow.steps.1.run.definition", "dotted name"),
    ("S-04", run(agent=""), "workflow.steps.1.run.agent", "must name an agent"),
    ("S-04", run(agent="x", **{"with": 3}), "workflow.steps.1.run.with", "must be an object"),
    ("S-04", run(agent="x", binding=""), "workflow.steps.1.run.binding", "non-empty string"),
    (
        "S-05",
        source(config={"manifest_defaults": "llm"}),
        "config.manifest_defaults",
        "must be a list",
    ),
    (
        "S-05",
        source(config={"manifest_defaults": ["llm", {"from": "a"}]}),
        "config.manifest_defaults.1",
        "must be a dotted path",
    ),
    (
        "S-05",
        source(config={"manifest_defaults": ["a..b"]}),
        "config.manifest_defaults.0",
        "must be a dotted path",
    ),
    ("S-07", dynamic(apply_at="now"), "workflow.dynamic.apply_at", "must be between_steps"),
    ("S-07", dynamic(templates={}), "workflow.dynamic.templates", "at least one template"),
    ("S-07", dynamic(regions=[]), "workflow.dynamic.regions", "non-empty list"),
    ("S-07", templates({"run": {"agent": "x"}}), "workflow.dynamic.templates.0.id", "needs an id"),
    (
        "S-07",
        templates({"id": "a", "run": {"agent": "x"}}),
        "workflow.dynamic.templates.0",
        "has the id of a step",
    ),
    (
        "S-07",
        templates({"id": "t", "run": {"agent": "x"}}, {"id": "t", "run": {"agent": "x"}}),
        "workflow.dynamic.templates.1",
        "two templates are called 't'",
    ),
    (
        "S-07",
        dynamic(templates={"t": {"run": {"definition": "steps.t"}}}),
        "workflow.dynamic.templates.t.run.definition",
        "cannot have a definition",
    ),
    (
        "S-07",
        dynamic(templates={"t": {"run": {"handler": "steps.t", "agent": "x"}}}),
        "workflow.dynamic.templates.t.run",
        "a handler and an agent",
    ),
    (
        "S-07",
        dynamic(templates={"t": {"run": {}}}),
        "workflow.dynamic.templates.t.run",
        "runs nothing",
    ),
]


@pytest.mark.parametrize("rule, made, place, says", CASES, ids=[case[3] for case in CASES])
def test_each_thing_that_is_wrong_is_told_with_its_place(rule, made, place, says):
    (problem,) = problems_in(made)
    assert (problem.rule, problem.severity) == (rule, "E")
    assert ".".join(map(str, problem.at)) == place
    assert says in problem.message
    assert problem.hint


@pytest.mark.parametrize(
    "made", [source(), dynamic(), run(handler="steps.b", agent="x", **{"with": {}}, binding="k")]
)
def test_what_is_right_has_no_problems(made):
    assert problems_in(made) == []


def test_many_things_can_be_wrong_at_once():
    made = source(identity={}, workflow={"steps": [3, {"id": "x"}]})
    assert [problem.rule for problem in problems_in(made)] == [
        "S-01",
        "S-01",
        "S-03",
        "S-03",
        "S-04",
    ]


def test_names_of_modules_and_handlers():
    assert is_module("steps.read_it")
    assert not is_module("steps.")
    assert not is_module("steps.é")
    assert not is_module(None)
    assert is_handler("agents.a:run")
    assert not is_handler("agents.a:run:twice")


def test_a_graph_changes_only_where_both_mode_and_switch_say_so():
    assert is_dynamic(dynamic()["workflow"])
    assert not is_dynamic({"mode": "static_dag", "dynamic": {"enabled": True}})
    assert not is_dynamic({"mode": "dynamic_dag", "dynamic": {"enabled": False}})


def test_templates_are_an_object_or_a_list():
    assert template_sources({"templates": {"t": {"run": 1}, "u": 3}}) == [
        (("workflow", "dynamic", "templates", "t"), {"id": "t", "run": 1})
    ]
    assert template_sources({"templates": [3, {"id": "t"}]}) == [
        (("workflow", "dynamic", "templates", 1), {"id": "t"})
    ]


def test_defaults_from_the_manifest_are_paths_or_pairs():
    made = source(config={"manifest_defaults": ["llm", 3, {"from": "a.b", "to": "c"}]})
    assert manifest_defaults(made) == [(0, "llm", "llm"), (2, "a.b", "c")]
