"""Module agents: each has a worker process that keeps its state and handles its messages.

A worker is started by the first call, and again by the first call after it crashed. The state is
sent only if the worker does not hold the one that the call names. Source: worker contract 2.10.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from msgspec import Struct, field

from mnedge.errors import MnedgeError
from mnedge.execution.actions import actions_in
from mnedge.execution.environment import both_prefixes, positive, worker_environment
from mnedge.execution.equipment import Equipment
from mnedge.execution.frames import FrameError
from mnedge.execution.large import Offload, plain
from mnedge.execution.module_worker import CrashedError, ModuleWorker
from mnedge.execution.order import JobContext
from mnedge.execution.output import hidden
from mnedge.execution.patience import insist
from mnedge.execution.preparation import submission, trace_variables
from mnedge.execution.refusal import RefusedError
from mnedge.execution.results import worker_secrets_in
from mnedge.execution.selection import asks_in
from mnedge.execution.telling import TellEvent, TellNote, telling
from mnedge.model.body import json_bytes
from mnedge.model.commands import CallModule
from mnedge.model.facts import Action
from mnedge.model.manifest import Agent
from mnedge.model.message import Message, wire

HOST = Path(__file__).with_name("module_host.py")
PREFIX = "python:"
CALL_TIMEOUT_S = 300.0
"""How long a callback may take if the agent's `timeout_seconds` does not say otherwise."""
START_TIMEOUT_S = 60.0


class ModuleAnswer(Struct, frozen=True, kw_only=True):
    """What a call came to; the members of a `ModuleAnswered` fact."""

    actions: list[Action] = field(default_factory=list)
    state: Any = None
    error: str | None = None
    crash: str | None = None


class ModuleWorkers:
    """The workers of one job, each for one agent."""

    def __init__(self, equipment: Equipment, job: JobContext, nursery: trio.Nursery) -> None:
        self._equipment = equipment
        self._job = job
        self._nursery = nursery
        self._workers: dict[str, ModuleWorker] = {}
        self._turns: dict[str, trio.Lock] = {}

    async def call(self, command: CallModule, note: TellNote) -> ModuleAnswer:
        """Let the agent's worker handle a message. Cancelled: the worker is gone.

        Never raises for what the module, its files or its process do wrong.
        """
        agent = self._job.agents[command.agent_id]
        async with self._turns.setdefault(command.agent_id, trio.Lock()):
            try:
                return await self._call(agent, command, note)
            except trio.Cancelled:
                with trio.CancelScope(shield=True):
                    await self._drop(agent.agent_id)
                raise

    async def close(self) -> None:
        """Let all workers end."""
        async with trio.open_nursery() as nursery:
            for worker in self._workers.values():
                nursery.start_soon(worker.leave)
        self._workers.clear()

    async def _call(self, agent: Agent, command: CallModule, note: TellNote) -> ModuleAnswer:
        tell = telling(
            note,
            agent.agent_id,
            self._job.clock,
            work_id=command.call_id,
            launch=command.launch,
        )
        try:
            worker = self._workers.get(agent.agent_id)
            if worker is None:
                worker = await self._start(agent, command, tell)
            worker.tell = tell
            request = await self._request(worker, command)
            with trio.fail_after(positive(agent.config.get("timeout_seconds")) or CALL_TIMEOUT_S):
                answer = await worker.ask(request)
            return await insist(lambda: self._understood(worker, command, answer), tell)
        except trio.TooSlowError:
            return ModuleAnswer(crash=f"module worker timed out{await self._drop(agent.agent_id)}")
        except RefusedError as refused:
            await self._drop(agent.agent_id)
            return ModuleAnswer(error=str(refused))
        except (CrashedError, FrameError, ValueError) as error:
            ended = await self._drop(agent.agent_id)
            return ModuleAnswer(crash=f"{error}{ended}")
        except OSError as error:
            await self._drop(agent.agent_id)
            return ModuleAnswer(crash=f"failed to invoke the module worker: {error}")
        except MnedgeError as error:
            await self._drop(agent.agent_id)
            return ModuleAnswer(crash=error.message)

    async def _understood(
        self, worker: ModuleWorker, command: CallModule, answer: dict[str, Any]
    ) -> ModuleAnswer:
        if "error" in answer:
            worker.held_version = None
            return ModuleAnswer(error=_shown(answer, "error", worker.secrets))
        if "crash" in answer or "state" not in answer:
            raise CrashedError(_shown(answer, "crash", worker.secrets))
        offload = Offload(self._equipment.blobs, self._job.body_paths)
        actions = actions_in(answer.get("actions"))
        worker.held_version = command.state_version + 1
        return ModuleAnswer(
            actions=[await offload.action(action) for action in actions],
            state=await offload.value(answer["state"]),
        )

    async def _request(self, worker: ModuleWorker, command: CallModule) -> bytes:
        request: dict[str, Any] = {"invocation": command.invocation, "init": False}
        if command.state_version == 0 and command.state is None:
            request["init"] = True
        elif worker.held_version != command.state_version:
            request["state"] = await plain(command.state, self._equipment.blobs)
        worker.held_version = None
        request["message"] = message = await self._message(command.message)
        if message is not None and isinstance(message["body"], bytes):
            request["body_base64"] = True
        return json_bytes(request)

    async def _message(self, message: Message | None) -> dict[str, Any] | None:
        if message is None:
            return None
        loaded: dict[str, Any] = await plain(wire(message, self._job.job_id), self._equipment.blobs)
        return loaded

    async def _start(self, agent: Agent, command: CallModule, tell: TellEvent) -> ModuleWorker:
        job, equipment = self._job, self._equipment
        if asks_in(agent):
            raise RefusedError(
                f"module agent {agent.agent_id} asks for devices: only executors are lent any"
            )
        name = _class_name(agent)
        paths = _paths(agent, job.payloads)
        environment, secrets = await self._environment(agent, command)
        arguments = await equipment.python.settle(("python3", str(HOST)), environment, job.job_id)
        process = equipment.spawner.start(
            arguments,
            token=f"{job.job_id}/{command.call_id}/{command.launch}",
            environment=environment,
            directory=job.payloads or "/",
            with_stdin=True,
        )
        worker = ModuleWorker(process, tell, secrets)
        self._workers[agent.agent_id] = worker
        self._nursery.start_soon(worker.read_what_it_prints)
        with trio.fail_after(START_TIMEOUT_S):
            answer = await worker.ask(json_bytes(self._opening(agent, name, paths)))
        if "error" in answer:
            text = _shown(answer, "error", secrets)
            raise RefusedError(f"module {name} cannot be loaded: {text}")
        if "crash" in answer:
            raise CrashedError(_shown(answer, "crash", secrets))
        return worker

    def _opening(self, agent: Agent, name: str, paths: list[str]) -> dict[str, Any]:
        job = self._job
        node = {
            "node_id": agent.agent_id,
            "agent_type": agent.kind.value,
            "type": agent.template,
            "role": agent.role,
            "config": agent.config,
        }
        edges = [
            {
                "edge_id": edge.edge_id,
                "from_node": edge.sender,
                "to_node": edge.target,
                "message_type": edge.message_type,
            }
            for edge in job.spec.edges
        ]
        facts = {
            "job_id": job.job_id,
            "agent_id": agent.agent_id,
            "node": node,
            "outbound_edges": [edge for edge in edges if edge["from_node"] == agent.agent_id],
            "inbound_edges": [edge for edge in edges if edge["to_node"] == agent.agent_id],
            "payloads_path": job.payloads,
            "bundle_root": job.bundle_root,
            "manifest_path": job.bundle_root and f"{job.bundle_root}/manifest.json",
            "template_type": agent.template,
        }
        return {"module": name, "paths": paths, "node": node, "context": facts}

    async def _environment(
        self, agent: Agent, command: CallModule
    ) -> tuple[dict[str, str], tuple[str, ...]]:
        job, equipment = self._job, self._equipment
        runtime = {
            "MN_AGENT_TYPE": agent.kind.value,
            "MN_AGENT_TEMPLATE": agent.template,
            **submission(job, equipment.config, None),
            **equipment.device_variables(),
        }
        identity = {
            "MN_JOB_ID": job.job_id,
            "MN_AGENT_ID": agent.agent_id,
            **trace_variables(job, command.call_id, command.launch),
        }
        python = await equipment.python.variables(
            agent.config, job.payloads, blueprint_id=job.spec.blueprint_id, job_id=job.job_id
        )
        environment = worker_environment(
            equipment.host,
            both_prefixes(runtime),
            agent.config,
            equipment.config.environ,
            both_prefixes(identity),
        )
        secrets = worker_secrets_in(equipment.config.environ, agent.config, environment)
        return {**environment, **python}, secrets

    async def _drop(self, agent_id: str) -> str:
        """End the agent's worker; return what there is to say about its end."""
        worker = self._workers.pop(agent_id, None)
        return "" if worker is None else await worker.end()


@asynccontextmanager
async def module_workers(equipment: Equipment, job: JobContext) -> AsyncIterator[ModuleWorkers]:
    """Have a job's workers as long as the block is open; none is left after it."""
    async with trio.open_nursery() as nursery:
        workers = ModuleWorkers(equipment, job, nursery)
        try:
            yield workers
        finally:
            with trio.CancelScope(shield=True):
                await workers.close()
            nursery.cancel_scope.cancel()


def _class_name(agent: Agent) -> str:
    named = agent.config.get("module")
    if not isinstance(named, str) or not named:
        raise RefusedError("module agent requires config.module")
    module, _, qualified = named.removeprefix(PREFIX).partition(":")
    parts = [*module.split("."), *qualified.split(".")]
    if not named.startswith(PREFIX) or not all(part.isidentifier() for part in parts):
        raise RefusedError(
            f'module agent "{named}" is not available: name a class as python:package.module:Class'
        )
    return named.removeprefix(PREFIX)


def _paths(agent: Agent, payloads: str | None) -> list[str]:
    """Return where the class is looked for: the folder of `module_source`, then `payloads/`."""
    if payloads is None:
        raise RefusedError("module agent needs a bundle with payloads/")
    root = os.path.realpath(payloads)
    source = agent.config.get("module_source")
    if not isinstance(source, str) or not source:
        return [root]
    resolved = os.path.realpath(os.path.join(root, source))
    if resolved != root and not resolved.startswith(root + "/"):
        raise RefusedError(f"module source must stay inside blueprint payloads: {source}")
    if not os.path.exists(resolved):
        raise RefusedError(f"module source does not exist: {resolved}")
    return [resolved if os.path.isdir(resolved) else os.path.dirname(resolved), root]


def _shown(answer: dict[str, Any], key: str, secrets: tuple[str, ...]) -> str:
    text = str(answer.get(key) or "module worker answered nothing that is known")
    trace = answer.get("trace")
    whole = f"{text}\n{trace}" if isinstance(trace, str) and trace else text
    return hidden(whole, secrets)
