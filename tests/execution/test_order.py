from mnedge.execution.order import job_context
from mnedge.model.manifest import Agent, JobSpec
from mnedge.model.states import AgentKind


def context(**more):
    spec = JobSpec(
        blueprint_id="b", graph_id="g", job_name="g", edges=[], entrypoints=[], seeds={},
        agents=[Agent(agent_id="a", kind=AgentKind.EXECUTOR)], config={"x": [1]},
    )  # fmt: skip
    return job_context(spec, "j", run_dir="/r/j", runs_root="/r", clock=lambda: 0.0, **more)


def test_a_context_knows_its_agents_and_its_config_as_text():
    job = context(bundle_root="/b")
    assert job.agents["a"].kind is AgentKind.EXECUTOR
    assert job.config_json == '{"x":[1]}'
    assert job.payloads == "/b/payloads"


def test_a_manifest_without_a_bundle_has_no_payloads():
    assert context().payloads is None
