"""A host on the virtual clock: all of it real but the store (memory) and the work (scripted)."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from msgspec import Struct, field

from mnedge.bus import Bus
from mnedge.config.settings import Config
from mnedge.engine.apply import apply
from mnedge.execution.modules import ModuleAnswer
from mnedge.model.commands import CallModule, RunAttempt
from mnedge.model.facts import Outcome
from mnedge.model.manifest import Agent, Edge, JobSpec, Step, StepEdge, Workflow
from mnedge.model.records import JobRecord
from mnedge.model.states import AgentKind, OutcomeStatus
from mnedge.part import running
from mnedge.runtime.host import Host
from mnedge.runtime.input_reading import NO_CONNECTORS
from mnedge.runtime.submission import submit_spec
from mnedge.store.blobs import on_the_loop
from mnedge.store.memory import MemoryStore

EPOCH = 1_700_000_000.0
Work = Callable[[RunAttempt], Awaitable[Outcome]]


def now() -> float:
    """Return the date on the virtual clock."""
    return EPOCH + trio.current_time()


def succeeded(stdout: str = "ok", **structured: Any) -> Outcome:
    return Outcome(
        status=OutcomeStatus.SUCCEEDED,
        result={"exit_code": 0, "stdout": stdout, "stderr": "", "attempts": 1, "lease": {}},
        **structured,
    )


class ScriptedExecutor:
    """Does what the test says for each agent, instead of processes."""

    def __init__(self, work: dict[str, Work] | None = None) -> None:
        self.work = work or {}
        self.orders: list[RunAttempt] = []
        self.cancelled: list[str] = []
        self.swept: list[str] = []

    async def run(self, order, note) -> Outcome:
        command = order.command
        self.orders.append(command)
        try:
            await trio.lowlevel.checkpoint()
            act = self.work.get(command.agent_id)
            return succeeded() if act is None else await act(command)
        except trio.Cancelled:
            self.cancelled.append(command.attempt_id)
            raise

    async def sweep(self, job_id: str) -> int:
        self.swept.append(job_id)
        return 0

    async def close(self, job_id: str) -> None:
        pass

    @asynccontextmanager
    async def module_workers(self, job) -> AsyncIterator["ScriptedModules"]:
        yield ScriptedModules()


class ScriptedModules:
    """Module workers that answer nothing in particular."""

    async def call(self, command: CallModule, note) -> ModuleAnswer:
        await trio.lowlevel.checkpoint()
        return ModuleAnswer()


class Rig(Struct):
    """One process of a node; `beside` is another process on the same store."""

    store: Any
    config: Config
    executor: ScriptedExecutor = field(default_factory=ScriptedExecutor)
    bus: Bus = field(default_factory=Bus)
    now: Callable[[], float] = now
    apply: Any = apply
    connectors: Any = NO_CONNECTORS

    @asynccontextmanager
    async def host(self, *, adopting: bool = False) -> AsyncIterator[Host]:
        host = Host(
            self.store,
            self.config,
            self.executor,
            self.bus,
            now=self.now,
            adopting=adopting,
            file_work=on_the_loop,
            apply=self.apply,
            connectors=self.connectors,
        )
        async with running(host):
            yield host


def a_config(tmp_path: Path, **more: Any) -> Config:
    return Config(
        data_dir=tmp_path / "data",
        runs_root=tmp_path / "runs",
        home=tmp_path,
        environ={},
        **more,
    )


@asynccontextmanager
async def a_rig(tmp_path: Path, **more: Any) -> AsyncIterator[Rig]:
    config = a_config(tmp_path, **more.pop("settings", {}))
    config.data_dir.mkdir(parents=True, exist_ok=True)
    async with running(MemoryStore()) as store:
        yield Rig(store=store, config=config, **more)


def agent(agent_id: str, kind: AgentKind = AgentKind.ROUTER, **config: Any) -> Agent:
    return Agent(agent_id=agent_id, kind=kind, config=config)


def edge(sender: str, target: str, message_type: str = "*", **more: Any) -> Edge:
    return Edge(
        edge_id=f"{sender}__{message_type}__{target}",
        sender=sender,
        target=target,
        message_type=message_type,
        **more,
    )


def a_spec(
    agents: list[Agent], edges: list[Edge], seeds: dict[str, list[Any]], **more: Any
) -> JobSpec:
    return JobSpec(
        blueprint_id="under_test",
        graph_id="under_test_v1",
        job_name="under-test",
        agents=agents,
        edges=edges,
        entrypoints=list(seeds),
        seeds=seeds,
        **more,
    )


def pipeline(**more: Any) -> JobSpec:
    """A router, an executor, and an aggregator that ends the run."""
    return a_spec(
        [
            agent("intake"),
            agent("worker", AgentKind.EXECUTOR, command=["true"], output_message_type="done"),
            agent("sink", AgentKind.AGGREGATOR, complete_on_message=True),
        ],
        [edge("intake", "worker"), edge("worker", "sink", "done")],
        {"intake": [{"text": "hello"}]},
        **more,
    )


async def submitted(rig: Rig, spec: JobSpec, job_id: str = "job-1") -> JobRecord:
    return await submit_spec(rig.store, rig.config, spec, job_id=job_id, now=rig.now)


def lines(rig: Rig, job_id: str, name: str = "events.jsonl") -> list[dict[str, Any]]:
    """Return the records of a file of the run folder."""
    text = (rig.config.runs_root / job_id / name).read_text()
    return [json.loads(line) for line in text.splitlines()]


def numbers(rig: Rig, job_id: str) -> list[int]:
    """Return the numbers of our own events in the run folder."""
    return [line["seq"] for line in lines(rig, job_id) if "seq" in line]


def gated(*, worker: dict[str, Any] | None = None, **more: Any) -> JobSpec:
    """A gate that asks a person, then an executor."""
    gate = {"approval_mode": "approval_required", "prompt": "Go?", "emit_type": "go", **more}
    config = {"output_message_type": None, **(worker or {})}
    return a_spec(
        [agent("gate", **gate), agent("worker", AgentKind.EXECUTOR, **config)],
        [edge("gate", "worker", "go")],
        {"gate": [{"n": 1}]},
    )


def step(step_id: str, agent_id: str, **more: Any) -> Step:
    return Step(step_id=step_id, agent_ids=[agent_id], **more)


def workflow_of(steps: list[Step], edges: list[StepEdge], **more: Any) -> Workflow:
    return Workflow(steps=steps, edges=edges, **more)


def two_steps(**more: Any) -> JobSpec:
    """Two executors, each a step, one after the other."""
    return a_spec(
        [
            agent("fetcher", AgentKind.EXECUTOR, command=["true"], output_message_type="fetched"),
            agent("cleaner", AgentKind.EXECUTOR, command=["true"], output_message_type="cleaned"),
        ],
        [edge("fetcher", "cleaner", "fetched")],
        {"fetcher": [{"text": "hello"}]},
        workflow=workflow_of(
            [
                step("fetch", "fetcher", **more.pop("fetch", {})),
                step("clean", "cleaner", **more.pop("clean", {})),
            ],
            [StepEdge(edge_id="fetch_to_clean", source="fetch", target="clean")],
            sink="clean",
        ),
        **more,
    )
