"""Process attempts through the executor, beside the same loop without it and the barest one."""

import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import trio
from rows import Row

from mnedge.config.read import read_config
from mnedge.execution.attempt import Executor
from mnedge.execution.order import AttemptOrder, JobContext, job_context
from mnedge.execution.processes import Processes
from mnedge.hot import native
from mnedge.model.commands import CallModule, RunAttempt
from mnedge.model.manifest import Agent, JobSpec
from mnedge.model.message import normalise
from mnedge.model.states import AgentKind, OutcomeStatus
from mnedge.store.memory import MemoryStore
from mnedge_runners.host_local import HostLocal

ATTEMPTS = 400
SLOTS = 4
ROUNDS = 3
CALLS = 3000
BODY = {"range": [1, 1000], "name": "primes", "nested": {"list": [1, 2, 3]}}

One = Callable[[int], Awaitable[None]]

MODULE = """
class Agent:
    def init(self, node):
        return {"n": 0}

    def handle_message(self, message, state, context):
        state["n"] += 1
        return state, [context.emit("t", {"n": state["n"]})]
"""


def main() -> list[Row]:
    """Return the figures of execution."""
    with tempfile.TemporaryDirectory() as folder:
        return trio.run(partial(_rows, Path(folder)))


async def _rows(folder: Path) -> list[Row]:
    job = _job(folder)
    executor = _executor(folder)
    ours = partial(_attempt, executor, job)
    best: dict[str, float] = {}
    kinds: dict[str, One] = {"ours": ours, "loop": partial(_loop, folder), "bare": _bare}
    for _ in range(ROUNDS):  # in turn, because a shared machine drifts
        for name, one in kinds.items():
            best[name] = max(best.get(name, 0.0), await _rate(one))
    calls = await _calls(executor, job)
    how = "native spawn" if native.available()[0] else "plain spawn"
    return [
        Row(
            "process attempts through the executor",
            best["ours"],
            "/s",
            best["loop"],
            budget_ratio=0.6,
            note=f"{how}, {SLOTS} at once; the floor is the same loop with trio.run_process",
        ),
        Row("the same beside bare trio.run_process", best["ours"], "/s", best["bare"]),
        Row("calls of a module agent, one after another", calls, "/s"),
    ]


async def _rate(one: One) -> float:
    async def many(first: int) -> None:
        for number in range(first, ATTEMPTS, SLOTS):
            await one(number)

    begun = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for first in range(SLOTS):
            nursery.start_soon(many, first)
    return ATTEMPTS / (time.perf_counter() - begun)


async def _attempt(executor: Executor, job: JobContext, number: int) -> None:
    message = normalise({"envelope": {"type": "go"}, "body": BODY}, at=0.0, seed=str(number))
    command = RunAttempt(
        attempt_id=f"w:{number}", launch=1, agent_id="w", message=message, invocation=number
    )
    outcome = await executor.run(AttemptOrder(command=command, job=job), lambda _: None)
    if outcome.status is not OutcomeStatus.SUCCEEDED:
        raise RuntimeError(str(outcome.error))


async def _loop(folder: Path, number: int) -> None:
    """What has to be done at least: a workspace, four files, a process, its output."""
    workspace = folder / "loop" / str(number)
    workspace.mkdir(parents=True)
    for name in ("input", "message", "body", "context"):
        (workspace / f"{name}.json").write_text(json.dumps(BODY, indent=2))
    await trio.run_process(
        ["/bin/true"],
        cwd=workspace,
        env=dict(os.environ),
        capture_stdout=True,
        capture_stderr=True,
    )
    shutil.rmtree(workspace)


async def _bare(_: int) -> None:
    await trio.run_process(["/bin/true"])


async def _calls(executor: Executor, job: JobContext) -> float:
    async with executor.module_workers(job) as workers:
        state: Any = None
        begun = 0.0
        for number in range(CALLS + 1):
            if number == 1:  # the first one starts the worker
                begun = time.perf_counter()
            message = normalise({"envelope": {"type": "go"}, "body": 1}, at=0.0, seed=str(number))
            call = CallModule(
                call_id=f"m:{number}",
                launch=1,
                agent_id="m",
                message=message,
                invocation=number,
                state_version=number,
                state=state,
            )
            state = (await workers.call(call, lambda _: None)).state
        return CALLS / (time.perf_counter() - begun)


def _executor(folder: Path) -> Executor:
    processes = Processes()
    runner = HostLocal(processes)
    environ = {**os.environ, "MN_HOME": str(folder / "home"), "MN_EXECUTOR_MAX_CONCURRENCY": "4"}
    return Executor(
        read_config(environ),
        {"host_local": runner},
        MemoryStore().blobs,
        random=random.Random(1),
        now=lambda: 0.0,
        spawner=processes,
    )


def _job(folder: Path) -> JobContext:
    payloads = folder / "bundle" / "payloads"
    payloads.mkdir(parents=True)
    (payloads / "agent.py").write_text(MODULE)
    worker = {"runner_module": "host_local", "command": ["/bin/true"]}
    module = {"module": "python:agent:Agent"}
    spec = JobSpec(
        blueprint_id="bench",
        graph_id="bench",
        job_name="bench",
        agents=[
            Agent(agent_id="w", kind=AgentKind.EXECUTOR, config=worker),
            Agent(agent_id="m", kind=AgentKind.MODULE, config=module),
        ],
        edges=[],
        entrypoints=["w"],
        seeds={},
    )
    return job_context(
        spec,
        "bench",
        run_dir=str(folder / "run"),
        runs_root=str(folder),
        clock=lambda: 0.0,
        bundle_root=str(folder / "bundle"),
    )
