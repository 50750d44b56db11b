"""Manifests to the internal representation."""

import pytest

from mnedge.bundle.lower import (
    edge_id_of,
    job_name_of,
    job_spec,
    job_type_of,
    needs_context_engine,
    services_of,
)
from mnedge.model.manifest import Agent, Edge, HumanControl
from mnedge.model.states import AgentKind
from tests.bundle.making import MANIFEST, Parts, good


def lowered(edit=lambda p: None, **more):
    parts = Parts()
    edit(parts)
    return parts.opened(**more).spec


def test_the_whole_bundle_is_lowered():
    spec = lowered()
    assert (spec.blueprint_id, spec.graph_id, spec.job_name, spec.name) == (
        "river_gauge",
        "river_gauge_v1",
        "river-gauge",
        "River gauge",
    )
    assert [agent.agent_id for agent in spec.agents] == ["intake", "reader", "sink"]
    assert spec.agents[0] == Agent(
        agent_id="intake",
        kind=AgentKind.ROUTER,
        template="map",
        role="root_coordinator",
        config={"emit_type": "reading_requested"},
    )
    assert spec.edges[1] == Edge(
        edge_id="e2", sender="reader", target="sink", message_type="reading"
    )
    assert spec.entrypoints == ["intake"]
    assert spec.seeds == {"intake": [{"gauge": "G-17"}]}
    assert (spec.generation, spec.job_type, spec.recovery_mode) == ("A", "batch", "local_restart")
    assert spec.config["inputs"]["payload"] == spec.inputs == {"gauge": "G-17"}
    assert spec.metadata == MANIFEST["metadata"]
    assert spec.fingerprint.startswith("sha256:")
    assert spec.scenario is None


def test_the_config_of_an_agent_is_kept_to_the_letter():
    config = {"complete_after": 3, "output_message_type": None, "anything": {"else": [1]}}
    spec = lowered(lambda p: p.agent("sink").update(config=config, **{"with": {"x": 1}}))
    assert spec.agents[2].config == config


def test_config_values_are_filled_into_commands_environment_and_services_only():
    def edit(p):
        p.config["metadata"]["port"] = 5432
        p.settings("reader").update(
            environment={"PORT": "${config.metadata.port}", "HOME": "${env.HOME}"},
            command=["serve", "${config.metadata.port}"],
            note="${config.metadata.port}",
        )
        p.agent("reader")["services"] = [{"name": "db", "port": "${config.metadata.port}"}]
        p.manifest["required_services"] = [{"name": "db", "port": "${config.metadata.port}"}]

    spec = lowered(edit)
    reader = spec.agents[1]
    assert reader.config["environment"] == {"PORT": "5432", "HOME": "${env.HOME}"}
    assert reader.config["command"] == ["serve", "5432"]
    assert reader.config["note"] == "${config.metadata.port}"
    assert reader.services[0]["port"] == spec.required_services[0]["port"] == "5432"


@pytest.mark.parametrize(
    "manifest, kind",
    [
        ({}, "batch"),
        ({"type": "Service"}, "service"),
        ({"daemon": True}, "service"),
        ({"daemon": False}, "batch"),
        ({"type": "service", "policies": {"job_type": "system"}}, "system"),
        ({"policies": {"job_type": "batch", "scheduler": {"job_type": "SysBatch"}}}, "sysbatch"),
        ({"type": None, "policies": []}, "batch"),
    ],
)
def test_the_job_type_has_one_source(manifest, kind):
    assert job_type_of(manifest) == kind


@pytest.mark.parametrize("key", ["requiredContextEngine", "required_context_engine"])
def test_the_context_engine_is_needed_under_either_name(key):
    assert needs_context_engine({key: True})
    assert not needs_context_engine({key: False})
    assert not needs_context_engine({key: "true"})


def test_services_come_from_the_first_list_that_is_there():
    manifest = {"requiredServices": [{"name": "a"}, 3], "required_services": None}
    assert services_of(manifest, "required_services", "requiredServices") == [{"name": "a"}]


def test_edges_without_ids_of_their_own_get_some():
    edge = {"from_node": "reader", "to_node": "sink", "message_type": "reading"}
    assert edge_id_of(edge) == "reader__reading__sink"
    spec = lowered(
        lambda p: p.manifest["edges"].extend(
            [dict(edge), dict(edge), {**edge, "edge_id": "e2"}, {**edge, "edge_id": "e2__2"}]
        )
    )
    ids = [e.edge_id for e in spec.edges]
    assert ids[:4] == ["e1", "e2", "reader__reading__sink", "reader__reading__sink__2"]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    "names, shown",
    [
        ({"alias": "A", "display_name": "D", "label": "L"}, "A"),
        ({"alias": "", "display_name": "D"}, "D"),
        ({"label": "L"}, "L"),
        ({}, "from metadata"),
        ({"alias": 3}, "from metadata"),
    ],
)
def test_the_name_for_people_has_an_order(names, shown):
    def edit(p):
        p.agent("reader").update(names)
        row = {"node_id": "reader", "alias": "from metadata"}
        p.manifest["metadata"]["agent_templates"] = {"nodes": [row, {"node_id": "sink"}]}

    spec = lowered(edit)
    assert spec.agents[1].display_name == shown
    assert spec.agents[2].display_name is None


def test_a_template_completes_an_agent_before_it_is_lowered():
    def edit(p):
        p.agent("reader").pop("agent_type")
        p.agent("reader").pop("config")
        p.agent("reader").update(
            {
                "uses": "mn-agents.data_python_executor@1.0.0",
                "with": {"script": "read.py", "upload_path": "reader"},
            }
        )

    spec = lowered(edit)
    assert spec.agents[1].kind is AgentKind.EXECUTOR
    assert spec.agents[1].config["command"] == ["python3", "read.py"]


def test_an_agent_that_no_rule_should_have_let_through_stops_the_lowering():
    manifest = {**MANIFEST, "nodes": [{"node_id": "a", "agent_type": "wizard"}]}
    with pytest.raises(ValueError, match="N-04"):
        job_spec(manifest, blueprint_id="b", config={}, inputs={})


def workflow(edit=lambda p: None, form="as_workflow", **more):
    parts = good(form)
    edit(parts)
    return parts.opened(**more).spec


def test_a_workflow_is_lowered_with_agents_edges_and_seeds():
    spec = workflow()
    assert (spec.graph_id, spec.job_name, spec.generation) == ("river_gauge_v1", "river-gauge", "C")
    assert [agent.agent_id for agent in spec.agents] == ["intake", "reader", "checker", "sink"]
    assert [edge.edge_id for edge in spec.edges] == ["e1", "e2", "e3"]
    assert spec.entrypoints == ["intake"]
    assert spec.seeds == {"intake": [{"gauge": "G-17"}]}
    assert [step.agent_ids for step in spec.workflow.steps] == [["reader"], ["checker"]]
    assert [step.max_attempts for step in spec.workflow.steps] == [2, 2]
    assert spec.workflow.source == "read"
    assert spec.workflow.sink == "check"


@pytest.mark.parametrize(
    "form, name", [("as_steps", "B-f"), ("as_old_steps", "B-r"), ("as_source", "S2")]
)
def test_every_generation_ends_in_one_representation(form, name):
    spec = workflow(form=form)
    assert spec.generation == name
    assert [agent.agent_id for agent in spec.agents] == ["intake", "reader", "checker", "sink"]
    assert [step.step_id for step in spec.workflow.steps] == ["read", "check"]
    assert [(e.source, e.target) for e in spec.workflow.edges] == [("read", "check")]
    assert spec.seeds == {"intake": [{"gauge": "G-17"}]}


def test_a_manifest_of_generation_a_has_no_workflow():
    assert lowered().workflow is None
    assert lowered(lambda p: p.manifest.update(steps=[{"id": "a"}])).workflow is None


@pytest.mark.parametrize(
    "changes, name",
    [
        ({"job_name": "n", "id": "i"}, "n"),
        ({"id": "i"}, "i"),
        ({"workflow": {"workflow_id": "w"}}, "w"),
        ({"graph_id": "g", "workflow": {"workflow_id": "w"}}, "g"),
        ({}, "workflow"),
    ],
)
def test_a_job_without_a_name_is_called_by_its_id(changes, name):
    assert job_name_of(changes) == name


def test_the_inputs_are_the_seed_where_nothing_else_is():
    def edit(p):
        del p.manifest["runtime"]["initial_inputs"]

    assert workflow(edit).seeds == {"intake": [{"args": [], "kwargs": {"gauge": "G-17"}}]}
    assert workflow(edit, inputs={"gauge": "G-18"}).seeds["intake"][0]["kwargs"] == {
        "gauge": "G-18"
    }


def test_people_take_part_as_the_config_says():
    def edit(p):
        p.config["human_control"] = {
            "mode": "approval_required",
            "allowed_decisions": ["approve", "reject"],
            "timeout_seconds": 5,
            "default_action": "reject",
            "blocked_actions": ["send"],
        }
        p.manifest["metadata"]["human_control"] = {"mode": "approval_required"}

    for form in ("", "as_workflow"):
        assert workflow(edit, form).human == HumanControl(
            mode="approval_required", timeout_s=5, blocked_actions=["send"]
        )
    assert lowered().human == HumanControl()


def test_old_roots_of_a_workflow_manifest_are_merged():
    def edit(p):
        p.manifest["nodes"] = [{**p.agent("reader"), "alias": "from the root"}]
        p.manifest["entrypoints"] = ["reader"]

    spec = workflow(edit)
    assert [agent.display_name for agent in spec.agents] == [None, "from the root", None, None]
    assert spec.entrypoints == ["intake", "reader"]
