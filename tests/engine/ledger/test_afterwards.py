"""What follows when an agent's actions are all carried out, and not sooner."""

from msgspec.structs import replace

from tests.engine.jobs import agent, edge
from tests.engine.ledger.dynamic import changing, fan, fan_out
from tests.engine.ledger.flows import Run, after, step


def test_an_instance_sends_its_output_before_it_leaves_the_graph():
    steps = [step("decide"), step("report")]
    onward = edge("dig", "sink", "dig_done")
    run = Run(changing([fan()], steps, [after("decide", "report")], messages=[onward]))
    run.finish("decide", fan_out("a"))
    at = len(run.events)
    run.finish("a")
    told = [event.type for event in run.events[at:]]
    assert told.index("workflow_step_completed") < told.index("workflow_dynamic_steps_retired")
    (message,) = [
        event.payload
        for event in run.events[at:]
        if event.type == "agent_message_received" and event.agent_id == "sink"
    ]
    assert message.headers["mn.workflow.source_step_id"] == "a"


def test_fan_outs_of_agents_inside_the_engine_end_within_one_fact():
    steps = [step("decide"), step("report")]
    spec = changing([fan()], steps, [after("decide", "report")])
    agents = [agent("dig") if one.agent_id == "dig" else one for one in spec.agents]
    run = Run(replace(spec, agents=agents))
    run.finish("decide", fan_out("a", "b", "c"))
    assert len(run.told("workflow_dynamic_steps_retired")) == 1
    (launch,) = run.out
    assert [one["status"] for one in launch.workflow["fan_out"]] == ["completed"] * 3


def test_nothing_follows_in_a_job_that_is_over():
    steps = [step("decide"), step("report")]
    run = Run(changing([fan()], steps, [after("decide", "report")]))
    run.finish("decide", fan_out("a"))
    run.fail("a")
    assert run.state.status == "failed"
    assert "workflow_dynamic_steps_retired" not in run.types
    assert run.statuses()["a"] == "failed"
