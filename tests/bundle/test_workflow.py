"""Steps and how they depend on each other, lowered."""

import pytest

from mnedge.bundle.subject import AgentEntry
from mnedge.bundle.workflow import (
    is_controlling,
    max_parallel_steps,
    placed_templates,
    repair_of,
    step_edges,
    template_agents,
    workflow_of,
)
from mnedge.model.manifest import ChildWorkflow, DynamicLimits, Region, StepEdge


def entry(name):
    raw = {"node_id": name, "agent_type": "executor", "config": {}}
    return AgentEntry(index=0, at=(), raw=raw, rendered=raw)


AGENTS = {name: entry(name) for name in ("a", "b", "c")}


def manifest(*steps, **workflow):
    return {"workflow": {"steps": [{"id": name} for name in steps], **workflow}}


def lowered(document, job_type="batch"):
    return workflow_of(document, AGENTS, job_type=job_type)


def ends(workflow):
    return [(edge.source, edge.target) for edge in workflow.edges]


def test_without_steps_there_is_no_workflow():
    assert lowered({"flow": {"nodes": []}}) is None
    assert lowered(manifest()) is None


def test_a_workflow_keeps_its_order_and_its_ends():
    workflow = lowered(
        manifest("a", "b", edges=[{"id": "e", "from": "a", "to": "b"}], entrypoint="a", sink="b")
    )
    assert [step.step_id for step in workflow.steps] == ["a", "b"]
    assert workflow.edges == [StepEdge(edge_id="e", source="a", target="b")]
    assert (workflow.source, workflow.sink, workflow.mode) == ("a", "b", "static_dag")
    assert workflow.controlling
    assert workflow.dynamic is None
    assert workflow.child_workflows == []


def test_an_edge_keeps_what_it_says():
    edge = {
        "from": "a",
        "to": "b",
        "accepts": ["done", "skipped", 3],
        "required": False,
        "message_type": "ready",
    }
    assert step_edges(manifest("a", "b", edges=[edge]), ["a", "b"]) == [
        StepEdge(
            edge_id="a_to_b",
            source="a",
            target="b",
            accepts=["done", "skipped"],
            required=False,
            event="ready",
        )
    ]


def test_edges_without_ids_of_their_own_get_some():
    edge = {"from": "a", "to": "b"}
    made = step_edges(manifest("a", "b", edges=[edge, edge, {**edge, "id": "a_to_b__2"}]), [])
    ids = [one.edge_id for one in made]
    assert ids[:2] == ["a_to_b", "a_to_b__2"]
    assert len(set(ids)) == 3


def test_where_nothing_says_how_steps_depend_each_waits_for_the_one_before_it():
    assert ends(lowered({"flow": {"steps": [{"id": n} for n in "abc"]}})) == [
        ("a", "b"),
        ("b", "c"),
    ]
    assert ends(lowered(manifest("a", "b", edges=[]))) == []


def test_a_linear_graph_is_a_line_whatever_its_edges_say():
    graph = {
        "mode": "linear",
        "edges": [
            {"from": "a", "to": "c"},
            {"id": "x", "from": "b", "to": "c", "accepts": ["any"]},
        ],
    }
    workflow = lowered({"flow": {"steps": [{"id": n} for n in "abc"], "graph": graph}})
    assert ends(workflow) == [("a", "b"), ("b", "c")]
    assert (workflow.edges[1].edge_id, workflow.edges[1].accepts) == ("x", ["any"])
    assert workflow.mode == "static_dag"


@pytest.mark.parametrize(
    "execution, most",
    [
        ({"strategy": "parallel", "max_parallel_steps": 4}, 4),
        ({"strategy": "serial", "max_parallel_steps": 4}, None),
        ({"max_parallel_steps": 4}, None),
        ({"strategy": "parallel"}, None),
        ({"strategy": "parallel", "max_parallel_steps": 0}, None),
        ({"strategy": "parallel", "max_parallel_steps": 1 << 70}, 1_000_000),
        ("parallel", None),
        (None, None),
    ],
)
def test_only_parallel_execution_is_bounded(execution, most):
    assert max_parallel_steps(execution) == most


def test_steps_that_name_no_agent_only_decorate():
    workflow = lowered(manifest("x", "y"))
    assert not workflow.controlling
    assert [step.agent_ids for step in workflow.steps] == [["x"], ["y"]]
    assert not is_controlling([{"id": "x", "agent_ids": ["y"]}], AGENTS)
    assert is_controlling([{"id": "x"}, {"id": "x", "agent_ids": ["y", "b"]}], AGENTS)


def test_a_binding_finds_the_agent_of_a_step_that_names_none():
    document = manifest("a", "x")
    document["runtime"] = {
        "bindings": {"a": {"workers": [{"id": "c"}]}, "x": {"workers": [{"id": "y"}, {"id": "b"}]}}
    }
    workflow = lowered(document)
    assert [step.agent_ids for step in workflow.steps] == [["a"], ["b"]]
    assert repair_of(document, {"id": "a"}, AGENTS) is None
    assert repair_of(document, {"id": "z", "run": "x"}, AGENTS) == "b"
    assert repair_of(document, {"id": "z"}, AGENTS) is None


def test_a_binding_makes_no_decorative_step_control_anything():
    document = manifest("x", "y")
    document["runtime"] = {"bindings": {"x": {"workers": [{"id": "b"}]}}}
    workflow = lowered(document)
    assert not workflow.controlling
    assert workflow.steps[0].agent_ids == ["x"]


def test_the_first_step_of_a_service_may_take_for_ever():
    document = manifest("a", "b")
    assert [s.timeout_s for s in lowered(document, "service").steps] == [None, 300]
    assert [s.timeout_s for s in lowered(document).steps] == [300, 300]
    document["workflow"]["entrypoint"] = "b"
    assert [s.timeout_s for s in lowered(document, "service").steps] == [300, None]


def dynamic(**more):
    region = {
        "id": "r",
        "strategy": "replace_path",
        "controller": "a",
        "exit": "b",
        "templates": ["dig"],
        "mutable_edges": ["e"],
    }
    return manifest(
        "a",
        "b",
        mode="dynamic_dag",
        edges=[{"id": "e", "from": "a", "to": "b"}],
        dynamic={
            "enabled": True,
            "templates": {"dig": {"agent_id": "c", "control": {"timeout_seconds": 9}}},
            "regions": [{**region, **more}],
            "limits": {"max_patches": 3, "max_history": 0},
        },
    )


def test_what_patches_may_do_is_kept():
    found = lowered(dynamic()).dynamic
    assert [(t.step_id, t.agent_ids, t.timeout_s) for t in found.templates] == [("dig", ["c"], 9)]
    assert found.regions == [
        Region(
            region_id="r",
            strategy="replace_path",
            controller="a",
            exit="b",
            templates=["dig"],
            mutable_edges=["e"],
        )
    ]
    assert found.limits == DynamicLimits(max_patches=3)


def test_a_graph_that_fans_out_may_be_patched_more_often():
    document = dynamic(strategy="checkpoint_fanout")
    del document["workflow"]["dynamic"]["limits"]
    assert lowered(document).dynamic.limits == DynamicLimits(max_patches=10_000)


@pytest.mark.parametrize("key, value", [("enabled", False), ("enabled", None)])
def test_changes_that_are_switched_off_are_none(key, value):
    document = dynamic()
    document["workflow"]["dynamic"][key] = value
    assert lowered(document).dynamic is None


def test_changes_of_a_fixed_graph_are_none():
    document = dynamic()
    document["workflow"]["mode"] = "static_dag"
    assert lowered(document).dynamic is None
    assert placed_templates(document) == []


def test_templates_may_be_a_list():
    document = dynamic()
    document["workflow"]["dynamic"]["templates"] = [{"id": "dig", "run": "b"}, {"run": "c"}, 3]
    assert [t.step_id for t in lowered(document).dynamic.templates] == ["dig"]
    assert [at[-1] for at, _ in placed_templates(document)] == [0]
    assert template_agents(document) == ["b", "dig"]


def test_a_child_workflow_is_kept():
    document = manifest("a", edges=[])
    document["workflow"]["child_workflows"] = {
        "a": {
            "planner": "plan",
            "templates": {"plan": {"agent_id": "b"}, "work": {"agent_id": "c"}},
            "max_rounds": 3,
            "inputs": {"topic": ["goal", "topic"]},
            "outputs": {"answer": "result.answer"},
        },
        "gone": 3,
    }
    [child] = lowered(document).child_workflows
    assert [template.step_id for template in child.templates] == ["plan", "work"]
    assert child == ChildWorkflow(
        parent="a",
        planner="plan",
        templates=child.templates,
        max_rounds=3,
        max_steps_per_round=128,
        inputs={"topic": ["goal", "topic"]},
        outputs={"answer": ["result", "answer"]},
    )
    assert [at for at, _ in placed_templates(document)] == [
        ("workflow", "child_workflows", "a", "templates", "plan"),
        ("workflow", "child_workflows", "a", "templates", "work"),
    ]
