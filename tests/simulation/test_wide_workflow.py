"""A workflow as wide as it gets, carried by the real coordinator on the virtual clock."""

import pytest

from mnedge.model.facts import NamedEvent, Structured
from mnedge.model.manifest import Step, StepEdge, Workflow
from mnedge.model.states import AgentKind, JobStatus
from mnedge.runtime.view import job_view
from tests.runtime.rig import a_rig, a_spec, agent, edge, submitted, succeeded


def survey():
    """Return a job that spreads its work over items and joins what comes back."""
    names = ("plan", "measure", "report")
    agents = [agent(name, AgentKind.EXECUTOR, output_message_type=f"{name}_done") for name in names]
    sink = {"complete_on_message": True, "terminal_sink": True, "complete_run": True}
    agents.append(agent("board", AgentKind.AGGREGATOR, **sink))
    pairs = [("plan", "measure"), ("measure", "report"), ("report", "board")]
    return a_spec(
        agents,
        [edge(one, two, f"{one}_done") for one, two in pairs],
        seeds={"plan": [{}]},
        generation="C",
        workflow=Workflow(
            steps=[Step(step_id=name, agent_ids=[name]) for name in names],
            edges=[
                StepEdge(edge_id=f"{one}_{two}", source=one, target=two) for one, two in pairs[:2]
            ],
            source="plan",
            sink="report",
        ),
    )


@pytest.mark.parametrize("items", [1_000, pytest.param(10_000, marks=pytest.mark.soak)])
async def test_a_scatter_over_many_items_completes(items, tmp_path, autojump_clock):
    async def plan(command):
        spread = {"target": "measure", "items": list(range(items)), "max_items": items}
        return succeeded(
            structured=Structured(events=[NamedEvent(type="workflow_step_scatter", payload=spread)])
        )

    async def report(command):
        parents = command.workflow["parents"]
        done = [one for one in parents if one["status"] == "completed"]
        return succeeded(f'{{"measured": {len(done)}}}')

    async with a_rig(tmp_path) as rig, rig.host() as host:
        rig.executor.work |= {"plan": plan, "report": report}
        await submitted(rig, survey())
        await host.start_job("job-1")
        record = await host.finished("job-1")
        assert record.status is JobStatus.COMPLETED
        assert record.error is None
        steps = (await job_view(rig.store, "job-1")).workflow["steps"]
        assert len(steps) == items + 3
        ended = [step["status"] for step in steps.values()]
        assert (ended.count("completed"), ended.count("skipped")) == (items + 2, 1)
        assert {step["attempt_count"] for step in steps.values()} == {0, 1}
