"""The agents that do the work of steps."""

import json

from mnedge.bundle.files import ListedFiles
from mnedge.bundle.source.workers import in_full, message_type_of
from tests.bundle.source.making import CONFIG, expanded, node, source, with_definition


def worker(made, name="judge", files=None, **more):
    return node(expanded(made, files, **more), name)


def test_a_handler_is_run_by_the_step_runtime():
    found = worker(source())
    assert found["uses"] == "mn-agents.worker.python_docker@1"
    assert (found["agent_type"], found["type"]) == ("executor", "generic")
    with_ = found["with"]
    assert with_["stereotype"] == "blueprint_docker_worker"
    assert with_["command"] == ["python3", "-m", "mn_sdk.step_runtime"]
    assert (with_["output_message_type"], with_["timeout_seconds"]) == ("judge_completed", 300)
    environment = with_["environment"]
    assert environment["MN_WORKFLOW_STEP_ID"] == "judge"
    assert environment["MN_WORKFLOW_STEP_HANDLER"] == "steps.judge"
    assert json.loads(environment["MN_WORKFLOW_STEP_WITH_JSON"]) == {"limit": 3}
    assert json.loads(environment["MN_BLUEPRINT_CONFIG_JSON"]) == CONFIG


def test_its_template_is_filled_in():
    config = worker(source())["config"]
    assert config["runner_module"] == "MirrorNeuron.Runner.DockerWorker"
    assert config["command"] == ["python3", "-m", "mn_sdk.step_runtime"]
    assert config["agent_beacon_required"] is True
    assert "stereotype" not in config


def test_layers_lie_over_each_other_in_order():
    made = source(
        defaults={"worker": {"with": {"a": 1, "b": 1, "c": 1, "d": 1}}},
        workers={
            "groups": [
                {"step_ids": ["judge"], "with": {"b": 2, "c": 2, "d": 2}},
                {"steps": ["judge"], "worker": {"with": {"g": 1}}},
                {"ids": ["other"], "with": {"x": 1}},
                {"with": {"x": 1}},
            ],
            "by_step": {"judge": {"with": {"c": 3, "d": 3}}},
        },
    )
    made["workflow"]["steps"][1]["worker"] = {"with": {"d": "{{label}}"}, "alias": "{{id}}!"}
    found = worker(made)
    assert {key: found["with"].get(key) for key in "abcdgx"} == {
        "a": 1,
        "b": 2,
        "c": 3,
        "d": "Judge",
        "g": 1,
        "x": None,
    }
    assert found["alias"] == "judge!"


def test_the_config_may_name_an_image_and_a_network():
    skill_runtime = {"docker_worker_image": "one", "image": "two", "network": "net"}
    found = worker(source(), config_default={"skill_runtime": skill_runtime})
    assert (found["with"]["image"], found["with"]["network"]) == ("one", "net")
    made = source(defaults={"worker": {"with": {"image": "three"}}})
    assert worker(made, config_default={"skill_runtime": skill_runtime})["with"]["image"] == "three"


def test_a_worker_can_be_switched_off():
    made = source(workers={"by_step": {"judge": {"enabled": False}}})
    names = [one["node_id"] for one in expanded(made).manifest["agents"]["nodes"]]
    assert names == ["read_gauge", "siren"]


def test_config_of_its_own_lies_over_its_template():
    own = {"config": {"pool": "gpu", "environment": {"A": "b"}}}
    found = worker(source(workers={"by_step": {"judge": own}}))
    assert found["config"]["pool"] == "gpu"
    assert found["config"]["environment"]["A"] == "b"
    assert found["config"]["environment"]["MN_WORKFLOW_STEP_HANDLER"] == "steps.judge"


def test_the_config_is_embedded_unless_that_is_switched_off():
    made = source(config={"embed": False})
    assert "MN_BLUEPRINT_CONFIG_JSON" not in worker(made)["with"]["environment"]
    found = worker(source(), config_default=None)
    assert "MN_BLUEPRINT_CONFIG_JSON" not in found["with"]["environment"]


def test_the_embedded_config_does_not_hide_the_one_of_the_run():
    found = worker(source())
    assert "MN_BLUEPRINT_CONFIG_JSON" in found["with"]["environment"]
    assert "MN_BLUEPRINT_CONFIG_JSON" not in found["config"]["environment"]


def test_folders_of_payloads_are_uploaded_where_they_are_and_the_workers_own_besides():
    names = ["payloads/steps/a.py", "payloads/examples/sample_inputs/x", "payloads/odd/y"]
    own = [{"source": "domain", "target": "domain"}, {"source": "steps", "target": "steps"}]
    made = source(defaults={"worker": {"with": {"upload_paths": own}}})
    assert worker(made, files=ListedFiles(names))["with"]["upload_paths"] == [
        {"source": "steps", "target": "steps"},
        {"source": "examples/sample_inputs", "target": "night_watch/examples/sample_inputs"},
        {"source": "domain", "target": "domain"},
    ]


def test_a_timeout_of_its_own_counts_for_more_than_that_of_the_step():
    made = source(workers={"by_step": {"judge": {"with": {"timeout_seconds": 5}}}})
    assert worker(made)["with"]["timeout_seconds"] == 5
    assert worker(source(), "read_gauge")["with"]["timeout_seconds"] == 900


def test_a_step_with_only_an_agent_has_a_worker_without_a_command():
    made = source()
    made["workflow"]["steps"][2]["run"] = {"agent": "nobody"}
    found = worker(made, "warn")
    assert "command" not in found["with"]
    assert "MN_WORKFLOW_STEP_HANDLER" not in found["with"]["environment"]


def test_a_call_inside_a_step_completes_no_step():
    made, files = with_definition(
        {
            "type": "fallback",
            "primary": {"type": "agent", "agent_id": "a"},
            "recovery": {"type": "agent", "agent_id": "b"},
        }
    )
    made["workflow"]["steps"][0]["worker"] = {"with": {"k": 1}}
    found = expanded(made, files)
    call = node(found, "look__a")
    assert call["role"] == "A"
    assert call["with"]["k"] == 1
    assert call["config"]["workflow_complete_step"] is False
    assert call["config"]["output_message_type"] == "look__a_completed"
    assert call["config"]["failure_message_type"] == "look__a_failed"
    assert "failure_message_type" not in node(found, "look__b")["config"]
    environment = call["config"]["environment"]
    assert environment["MN_WORKFLOW_STEP_ID"] == "look"
    assert environment["MN_WORKFLOW_STEP_HANDLER"] == "agents.a"
    assert environment["MN_WORKFLOW_AGENT_ID"] == "a"
    assert environment["MN_WORKFLOW_INVOCATION_ID"] == "look__a"
    assert json.loads(environment["MN_WORKFLOW_STEP_WITH_JSON"]) == {"n": 1}


def test_a_node_without_a_known_template_stays_as_it_is():
    assert in_full({"node_id": "x", "uses": "odd@1"}) == {"node_id": "x", "uses": "odd@1"}


def test_the_first_type_that_a_step_emits_is_that_of_its_message():
    assert message_type_of({"id": "s", "emits": "x"}) == "x"
    assert message_type_of({"id": "s", "emits": [3, "y", "z"]}) == "y"
    assert message_type_of({"id": "s", "emits": []}) == "s_completed"
    assert message_type_of({"id": "s"}) == "s_completed"
