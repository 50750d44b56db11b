"""Bindings, seeds, resources, control."""

from tests.bundle.source.making import expanded, source, with_definition


def runtime(made, **more):
    return expanded(made, **more).manifest["runtime"]


def test_every_step_with_a_worker_has_a_binding():
    made = source(defaults={"runtime_binding": {"risk": "high"}})
    bindings = runtime(made)["bindings"]
    assert list(bindings) == ["read_gauge", "judge"]
    binding = bindings["judge"]
    assert (binding["type"], binding["risk"], binding["side_effect"]) == ("worker", "high", "read")
    assert binding["workers"] == [binding["worker"]]
    worker = binding["worker"]
    assert (worker["id"], worker["role"]) == ("judge", "Judge")
    assert worker["uses"] == "mn-agents.worker.python_docker@1"
    assert worker["with"]["environment"]["MN_WORKFLOW_STEP_HANDLER"] == "steps.judge"
    assert "MN_BLUEPRINT_CONFIG_JSON" not in worker["with"]["environment"]


def test_what_a_worker_says_about_its_effects_is_said_of_the_step():
    made = source(workers={"by_step": {"judge": {"with": {"side_effect": "external_write"}}}})
    assert runtime(made)["bindings"]["judge"]["side_effect"] == "external_write"


def test_bindings_that_are_there_stay_under_the_step_or_its_key():
    made = source(runtime={"bindings": {"judge": {"risk": "low"}, "reading": {"risk": "low"}}})
    made["workflow"]["steps"][0]["run"]["binding"] = "reading"
    assert runtime(made)["bindings"] == made["runtime"]["bindings"]


def test_a_step_with_a_graph_has_a_worker_per_call():
    made, files = with_definition(
        {
            "type": "sequence",
            "items": [{"type": "agent", "agent_id": "a"}, {"type": "agent", "agent_id": "b"}],
        }
    )
    binding = expanded(made, files).manifest["runtime"]["bindings"]["look"]
    assert [worker["id"] for worker in binding["workers"]] == ["look__a", "look__b"]


def test_the_first_step_is_left_to_get_what_the_job_is_started_with():
    assert "initial_inputs" not in runtime(source())
    made, files = with_definition()
    assert "initial_inputs" not in expanded(made, files).manifest["runtime"]


def test_a_first_step_that_is_not_the_first_entrypoint_gets_the_payload():
    made = source()
    made["agents"]["entrypoints"] = ["siren", "read_gauge"]
    assert runtime(made)["initial_inputs"] == {
        "read_gauge": [{"args": [], "kwargs": {"gauge": "G-17"}}]
    }
    assert "initial_inputs" not in runtime(made, config_default=None)


def test_seeds_that_are_there_stay():
    given = {"read_gauge": [1]}
    assert runtime(source(runtime={"initial_inputs": given}))["initial_inputs"] == given


def test_resources_are_what_is_required_and_control_is_on():
    found = runtime(source(requirements={"cpu": 2}))
    assert found["resources"] == {"cpu": 2}
    assert found["workflow_control"]["enabled"] is True
    assert found["workflow_control"]["source_of_truth"] == "workflow.steps"
    given = {"workflow_control": {"liveness": {"interval_ms": 5}}, "store": {"type": "x"}}
    found = runtime(source(runtime=given))
    assert found["workflow_control"]["liveness"] == {"interval_ms": 5}
    assert found["store"] == {"type": "x"}
