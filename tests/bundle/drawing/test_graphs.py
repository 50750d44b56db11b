"""The graphs of a job."""

import pytest

from mnedge.bundle.drawing.graphs import agents_graph, condition_text, rule_text, steps_graph
from mnedge.model.manifest import (
    Agent,
    ChildWorkflow,
    Dynamic,
    Edge,
    JobSpec,
    Region,
    Step,
    StepEdge,
    Workflow,
)
from mnedge.model.states import AgentKind, FailurePolicy, TriggerRule


def spec(workflow=None, agents=(), edges=(), entrypoints=()):
    return JobSpec(
        blueprint_id="b",
        graph_id="b_v1",
        job_name="b",
        agents=list(agents),
        edges=list(edges),
        entrypoints=list(entrypoints),
        seeds={},
        workflow=workflow,
    )


def step(name, **more):
    return Step(step_id=name, agent_ids=[name], **more)


def edge(source, target, **more):
    return StepEdge(edge_id=f"{source}_to_{target}", source=source, target=target, **more)


def ways(graph):
    return [(arrow.source, arrow.target, arrow.labels, arrow.maybe) for arrow in graph.arrows]


def test_steps_say_when_they_run_and_what_becomes_of_failures():
    workflow = Workflow(
        steps=[
            step("a", failure_policy=FailurePolicy.CONTINUE_PARTIAL, max_attempts=3),
            step("b", rule=TriggerRule.ONE_FAILED, failure_policy=FailurePolicy.SKIP),
            step("c", required=False, rule=TriggerRule.ALL_DONE),
        ],
        edges=[edge("a", "b", accepts=["failed", "skipped"]), edge("b", "c"), edge("b", "gone")],
    )
    graph = steps_graph(spec(workflow))
    assert [(box.notes, box.marks) for box in graph.boxes] == [
        (["failure: goes on", "3 attempts"], ["start"]),
        (["when one failed", "failure: skipped"], []),
        (["when all are over", "optional"], ["end"]),
    ]
    assert ways(graph) == [
        ("a", "b", ["accepts failed, skipped"], False),
        ("b", "c", [], False),
    ]
    assert graph.boxes[1].facts == {
        "id": "b",
        "label": "b",
        "kind": "stage",
        "trigger_rule": "one_failed",
        "quorum": None,
        "failure_policy": "skip",
        "required": True,
        "max_attempts": 1,
        "timeout_seconds": 300,
        "agents": ["b"],
        "template": False,
    }
    assert graph.arrows[0].facts == {
        "id": "a_to_b",
        "from": "a",
        "to": "b",
        "accepts": ["failed", "skipped"],
        "event": None,
        "mutable": False,
    }


@pytest.mark.parametrize(
    "rule, quorum, text",
    [
        (TriggerRule.ALL_SUCCESS, None, ""),
        (TriggerRule.QUORUM_SUCCESS, 2, "when 2 succeeded"),
        (TriggerRule.QUORUM_SUCCESS, None, "when 1 succeeded"),
        (TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, None, "when none failed and one succeeded"),
        (TriggerRule.ALL_DONE, None, "when all are over"),
        (TriggerRule.ONE_SUCCESS, None, "when one succeeded"),
        (TriggerRule.ONE_DONE, None, "when one is over"),
        (TriggerRule.ONE_FAILED, None, "when one failed"),
    ],
)
def test_every_trigger_rule_has_words(rule, quorum, text):
    assert rule_text(step("a", rule=rule, quorum=quorum)) == text


def test_what_may_be_made_while_the_job_runs_is_drawn_as_such():
    workflow = Workflow(
        steps=[step("a"), step("z")],
        edges=[edge("a", "z")],
        dynamic=Dynamic(
            templates=[step("t")],
            regions=[
                Region(
                    region_id="r",
                    strategy="replace_path",
                    controller="a",
                    exit="z",
                    templates=["t", "gone"],
                    mutable_edges=["a_to_z"],
                )
            ],
        ),
        child_workflows=[
            ChildWorkflow(
                parent="z",
                planner="p",
                templates=[step("p"), step("t")],
                max_rounds=1,
                max_steps_per_round=1,
            )
        ],
    )
    graph = steps_graph(spec(workflow))
    assert [(box.box_id, box.marks) for box in graph.boxes] == [
        ("a", ["start"]),
        ("z", ["end"]),
        ("t", ["maybe"]),
        ("p", ["maybe"]),
    ]
    assert ways(graph) == [
        ("a", "z", [], True),
        ("a", "t", ["r"], True),
        ("t", "z", ["r"], True),
        ("z", "p", ["child workflow"], True),
        ("z", "t", ["child workflow"], True),
    ]


def test_a_job_without_steps_has_an_empty_graph_of_them():
    assert steps_graph(spec()).boxes == []


def test_agents_say_what_they_are_and_for_which_step():
    agents = [
        Agent(agent_id="a", kind=AgentKind.ROUTER, display_name="A"),
        Agent(agent_id="b", kind=AgentKind.EXECUTOR, display_name="The second"),
        Agent(agent_id="join", kind=AgentKind.STEP_JOIN, config={"expected_sources": ["x", "y"]}),
        Agent(
            agent_id="sink",
            kind=AgentKind.AGGREGATOR,
            config={"complete_after": 2, "terminal_sink": True},
        ),
    ]
    workflow = Workflow(steps=[Step(step_id="s", agent_ids=["b", "join"]), step("t")], edges=[])
    edges = [
        Edge(edge_id="e", sender="a", target="b", message_type="m"),
        Edge(
            edge_id="f",
            sender="b",
            target="sink",
            message_type="n",
            conditions={"path": "payload.n", "op": ">", "value": 1},
        ),
        Edge(edge_id="g", sender="b", target="gone", message_type="n"),
    ]
    graph = agents_graph(spec(workflow, agents, edges, ["a"]))
    assert [(box.kind, box.notes, box.group, box.marks) for box in graph.boxes] == [
        ("router", [], "", ["start"]),
        ("executor", ["“The second”", "step s"], "s", []),
        ("step_join", ["waits for 2", "step s"], "s", []),
        ("aggregator", ["after 2", "ends the run"], "", ["end"]),
    ]
    assert ways(graph) == [("a", "b", ["m"], False), ("b", "sink", ["n if payload.n > 1"], False)]
    assert graph.arrows[1].facts["conditions"] == {"path": "payload.n", "op": ">", "value": 1}
    assert graph.boxes[3].facts["terminal"] is True


def test_an_agent_of_two_steps_belongs_to_the_first():
    workflow = Workflow(
        steps=[Step(step_id="s", agent_ids=["a"]), Step(step_id="t", agent_ids=["a"])], edges=[]
    )
    agents = [Agent(agent_id="a", kind=AgentKind.EXECUTOR)]
    assert agents_graph(spec(workflow, agents)).boxes[0].group == "s"


@pytest.mark.parametrize(
    "condition, text",
    [
        ({}, ""),
        ({"path": "a.b", "value": "x"}, 'a.b = "x"'),
        ({"path": "a", "op": ">=", "value": 2}, "a ≥ 2"),
        ({"path": "a", "op": "in", "value": [1, 2]}, "a in [1, 2]"),
        ({"path": "a", "op": "exists"}, "a exists"),
        ({"expr": "${a.b} == 3"}, "a.b == 3"),
        ({"not": {"path": "a", "op": "exists"}}, "not a exists"),
        ({"not": {}}, "never"),
        ({"any": []}, ""),
        ({"any": [{"path": "a", "value": 1}]}, "a = 1"),
        (
            {"all": [{"path": "a", "value": 1}, {"any": [{"path": "b", "value": None}, {}]}]},
            "(a = 1 and (b = null or always))",
        ),
    ],
)
def test_conditions_are_said_as_people_say_them(condition, text):
    assert condition_text(condition) == text
