from mnedge.execution.order import job_context
from mnedge.model.manifest import Agent, JobSpec
from mnedge.model.states import AgentKind


def context(config=None, **more):
    spec = JobSpec(
        blueprint_id="b", graph_id="g", job_name="g", edges=[], entrypoints=[], seeds={},
        agents=[Agent(agent_id="a", kind=AgentKind.EXECUTOR, config=config or {})],
        config={"x": [1]},
    )  # fmt: skip
    return job_context(spec, "j", run_dir="/r/j", runs_root="/r", clock=lambda: 0.0, **more)


def test_a_context_knows_its_agents_and_its_config_as_text():
    job = context(bundle_root="/b")
    assert job.agents["a"].kind is AgentKind.EXECUTOR
    assert job.config_json == '{"x":[1]}'
    assert job.payloads == "/b/payloads"


def test_a_manifest_without_a_bundle_has_no_payloads():
    assert context().payloads is None


def test_the_environment_of_the_node_is_filled_in_where_the_manifest_asks_for_it():
    config = {
        "command": ["run", "--zone=${env.ZONE}", "${env.ABSENT}", "{input_file}", "${MN_JOB_ID}"],
        "environment": {"REGION": "${env.ZONE}-1", "PLAIN": "x"},
        "upload_path": "${env.ZONE}",
    }
    job = context(environ={"ZONE": "north"}, config=config)
    filled = job.agents["a"].config
    assert filled["command"] == ["run", "--zone=north", "", "{input_file}", "${MN_JOB_ID}"]
    assert filled["environment"] == {"REGION": "north-1", "PLAIN": "x"}
    assert filled["upload_path"] == "${env.ZONE}"
    assert job.spec.agents[0].config == config
