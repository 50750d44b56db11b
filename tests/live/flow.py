"""A workflow of shell commands, run by a node in this process with real workers."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import trio

from mnedge.config.read import read_config
from mnedge.config.settings import Config
from mnedge.daemon.app import Node, node
from mnedge.daemon.clock import wall_clock
from mnedge.model.manifest import Agent, Edge, HumanControl, JobSpec, Step, StepEdge, Workflow
from mnedge.model.records import JobRecord
from mnedge.model.states import AgentKind
from mnedge.runtime.submission import submit_spec

LOCAL = "MirrorNeuron.Runner.HostLocal"
JOB = f"flow-{os.getpid()}"
"""Its processes are told apart from those of tests that run beside these."""
WITHIN_S = 30.0


def shell(agent_id: str, script: str, **config: Any) -> Agent:
    """Return an executor that runs a shell script and emits its output as `<agent>_done`."""
    given = {
        "runner_module": LOCAL,
        "command": ["sh", "-c", script],
        "output_message_type": f"{agent_id}_done",
        **config,
    }
    return Agent(agent_id=agent_id, kind=AgentKind.EXECUTOR, config=given)


def chain(*agents: Agent, **more: Any) -> JobSpec:
    """Return a job whose agents follow one another; each is a step of its own name.

    `steps`: agent → fields of its step.
    """
    names = [agent.agent_id for agent in agents]
    pairs = list(pairwise(names))
    fields = more.pop("steps", {})
    return JobSpec(
        blueprint_id="flow",
        graph_id="flow_v1",
        job_name="flow",
        agents=list(agents),
        edges=[
            Edge(edge_id=f"{a}_{b}", sender=a, target=b, message_type=f"{a}_done") for a, b in pairs
        ],
        entrypoints=names[:1],
        seeds={names[0]: [{}]},
        workflow=Workflow(
            steps=[Step(step_id=name, agent_ids=[name], **fields.get(name, {})) for name in names],
            edges=[StepEdge(edge_id=f"{a}_to_{b}", source=a, target=b) for a, b in pairs],
            sink=names[-1],
        ),
        human=more.pop("human", HumanControl()),
        **more,
    )


class Flow:
    """One job on a node of this process."""

    def __init__(self, here: Node, config: Config, job_id: str) -> None:
        self.here = here
        self.config = config
        self.job_id = job_id

    async def finished(self) -> JobRecord:
        """Return the record of the job once it is over."""
        with trio.fail_after(WITHIN_S):
            return await self.here.host.finished(self.job_id)

    async def until(self, event_type: str) -> dict[str, Any]:
        """Return the first event of a type, as soon as it is in the run folder."""
        with trio.fail_after(WITHIN_S):
            while True:
                found = [one for one in self.events() if one["type"] == event_type]
                if found:
                    return found[0]
                await trio.sleep(0.02)

    def events(self, *types: str) -> list[dict[str, Any]]:
        """Return what stands in `events.jsonl`, only of these types."""
        try:
            text = self.file("events.jsonl").read_text()
        except FileNotFoundError:
            return []
        every = [json.loads(line) for line in text.splitlines()]
        return [one for one in every if not types or one["type"] in types]

    def file(self, name: str) -> Path:
        """Return a file of the run folder."""
        return self.config.runs_root / self.job_id / name

    def steps(self) -> dict[str, tuple[str, str, int]]:
        """Return status, outcome and attempts of each step, from `result.json`."""
        listed = json.loads(self.file("result.json").read_text())["workflow"]["steps"]
        return {one["id"]: (one["status"], one["outcome"], one["attempts"]) for one in listed}


@asynccontextmanager
async def flow(place: Path, spec: JobSpec, **environ: str) -> AsyncIterator[Flow]:
    """Have the job run while the block is open."""
    given = {"PATH": os.environ["PATH"], "HOME": str(place), "MN_HOME": str(place / "home")}
    config = read_config({**given, **environ})
    async with node(config) as here:
        await submit_spec(here.store, config, spec, job_id=JOB, now=wall_clock)
        await here.host.start_job(JOB)
        yield Flow(here, config, JOB)
