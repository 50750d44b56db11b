"""The agents of a manifest of any generation."""

import json

import pytest

from mnedge.bundle.agents import agent_entries, by_id
from mnedge.bundle.files import ListedFiles
from mnedge.bundle.generation import Generation
from mnedge.bundle.local_templates import INDEX
from tests.bundle.making import good

C = Generation.C


def entries(edit=lambda p: None, form="as_workflow", files=None):
    parts = good(form)
    edit(parts)
    generation = {"": Generation.A, "as_workflow": C, "as_steps": Generation.B_F}.get(form, C)
    return by_id(agent_entries(parts.manifest, generation, files))


def rendered_from(template, **given):
    def edit(p):
        agent = p.agent("reader")
        for key in ("agent_type", "type", "config"):
            del agent[key]
        agent.update({"uses": template, "with": {"upload_path": "reader", **given}})

    return edit


HOST = "mn-agents.worker.python_host@1"


@pytest.mark.parametrize("form", ["", "as_workflow", "as_steps", "as_old_steps"])
def test_agents_are_found_wherever_they_stand(form):
    found = entries(form=form)
    assert list(found)[:2] == ["intake", "reader"]
    assert all(entry.at for entry in found.values())


def test_a_template_gets_its_timeout_from_the_step_of_the_same_id():
    def edit(p):
        rendered_from(HOST, script="read.py")(p)
        p.agent("reader")["node_id"] = "read"

    config = entries(edit)["read"].config
    assert config["timeout_seconds"] == 20
    assert config["agent_beacon_required"] is True
    assert (config["beacon_interval_ms"], config["beacon_timeout_ms"]) == (15000, 45000)


def test_attempts_of_a_step_are_never_projected_into_its_agent():
    def edit(p):
        rendered_from(HOST, script="read.py")(p)
        p.agent("reader")["node_id"] = "read"

    assert not {"max_attempts", "retry_backoff_ms"} & set(entries(edit)["read"].config)


def test_what_the_agent_says_of_its_timeout_wins():
    def edit(p):
        rendered_from(HOST, script="read.py", timeout_seconds=3)(p)
        p.agent("reader")["node_id"] = "read"

    assert entries(edit)["read"].config["timeout_seconds"] == 3


def test_an_agent_of_another_id_than_its_step_gets_no_timeout():
    assert "timeout_seconds" not in entries(rendered_from(HOST, script="read.py"))["reader"].config


def alive(**liveness):
    def edit(p):
        p.manifest["runtime"]["workflow_control"]["liveness"] = liveness
        for key in ("agent_beacon_required", "beacon_enabled", "beacon_timeout_ms"):
            p.settings("reader").pop(key)

    return edit


def test_liveness_of_the_job_lies_below_the_config_of_its_step_executors():
    found = entries(alive(interval_ms=700, timeout_ms=900, required=True))
    reader = found["reader"].config
    assert reader["beacon_interval_ms"] == 1000
    assert reader["beacon_timeout_ms"] == 900
    assert reader["beacon_enabled"] is True
    assert reader["agent_beacon_required"] is True
    assert "beacon_enabled" not in found["sink"].config
    assert found["reader"].raw["config"] is not reader


def test_liveness_lies_above_the_defaults_of_a_template():
    def edit(p):
        rendered_from(HOST, script="read.py")(p)
        liveness = {"interval_ms": 700, "required": False}
        p.manifest["runtime"]["workflow_control"]["liveness"] = liveness

    config = entries(edit)["reader"].config
    assert config["beacon_interval_ms"] == 700
    assert config["beacon_timeout_ms"] == 45000
    assert config["agent_beacon_required"] is False


@pytest.mark.parametrize("liveness", [{}, {"interval_ms": -1, "required": "yes"}, []])
def test_liveness_that_says_nothing_changes_nothing(liveness):
    def edit(p):
        alive()(p)
        p.manifest["runtime"]["workflow_control"]["liveness"] = liveness

    assert "beacon_enabled" not in entries(edit)["reader"].config


def test_a_control_that_is_off_has_no_liveness():
    def edit(p):
        alive(timeout_ms=900)(p)
        p.manifest["runtime"]["workflow_control"]["enabled"] = False

    assert "beacon_timeout_ms" not in entries(edit)["reader"].config


def test_executors_in_containers_are_not_listened_to():
    def edit(p):
        alive(timeout_ms=900)(p)
        p.settings("reader")["runner_module"] = "MirrorNeuron.Runner.DockerWorker"

    assert "beacon_timeout_ms" not in entries(edit)["reader"].config


def worker(**more):
    def edit(p):
        p.step("check")["run"] = "nobody"
        given = {"script": "check.py", "upload_path": "reader"}
        made = {"id": "w", "uses": HOST, "with": given, "alias": "Checker", **more}
        p.manifest["runtime"]["bindings"]["check"]["workers"] = [made]

    return edit


def test_a_step_without_an_agent_gets_one_made_of_its_bindings_worker():
    made = entries(worker())["nobody"]
    assert made.config["command"] == ["python3", "check.py"]
    assert made.rendered["alias"] == "Checker"
    assert made.at == ("runtime", "bindings", "check")


def test_a_worker_that_names_an_agent_is_that_agent():
    assert "nobody" not in entries(worker(id="reader"))


def test_decorative_steps_get_no_agents():
    def edit(p):
        worker()(p)
        p.step("read")["run"] = "somebody"

    assert list(entries(edit)) == ["intake", "reader", "checker", "sink"]


def test_a_template_may_come_from_the_bundle():
    index = {"agents": [{"template_id": "river.reader", "version": "1", "path": "reader.json"}]}
    template = {"agent_type": "router", "defaults": {"emit_type": "reading"}}
    files = ListedFiles(
        [],
        {
            INDEX: json.dumps(index).encode(),
            "payloads/agents/reader.json": json.dumps(template).encode(),
        },
    )
    found = entries(rendered_from("river.reader@1"), files=files)["reader"]
    assert (found.rendered["agent_type"], found.config["emit_type"]) == ("router", "reading")
    missing = entries(rendered_from("river.writer@1"), files=files)["reader"]
    assert missing.template_problem is not None
    assert missing.template_problem[0] == "T-02"
