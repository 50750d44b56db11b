"""One attempt of an agent's work: lease, stage, run, read the answer.

Whatever a worker, a file system or a runner does wrong comes back as an `Outcome`, never as an
exception.
"""

import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from random import Random
from typing import Any

import trio

from mnedge import shipped
from mnedge.config.settings import Config
from mnedge.errors import MnedgeError
from mnedge.execution import preparation, staging
from mnedge.execution.environment import host_environment, positive, text_of, whole
from mnedge.execution.equipment import Equipment
from mnedge.execution.interpreters import brought_along
from mnedge.execution.inventory import Inventory
from mnedge.execution.large import THREAD_FROM_BYTES, Offload, plain
from mnedge.execution.leases import Lease, Leases, NodeStoppingError
from mnedge.execution.modules import ModuleWorkers, module_workers
from mnedge.execution.order import AttemptOrder, JobContext
from mnedge.execution.output import Said
from mnedge.execution.patience import insist, refused
from mnedge.execution.pools import DEFAULT_POOL, PoolStats, read_capacities
from mnedge.execution.processes import Processes
from mnedge.execution.python_env import PythonEnvironments
from mnedge.execution.refusal import RefusedError
from mnedge.execution.results import lease_map
from mnedge.execution.retry import backoff_s, is_transient
from mnedge.execution.run import Run
from mnedge.execution.selection import HOST_LOCAL, Chosen, asks_in, choose_runner
from mnedge.execution.telling import TellNote, telling
from mnedge.model.body import refs_in
from mnedge.model.facts import NamedEvent, Outcome
from mnedge.model.manifest import Agent
from mnedge.model.message import wire
from mnedge.model.resources import Device, DeviceAsk
from mnedge.model.states import OutcomeStatus
from mnedge.ports import Blobs, Clock, Runner, Spawner


class Executor:
    """Carries attempts on this node, within the slots of its pools."""

    def __init__(
        self,
        config: Config,
        runners: Mapping[str, Runner],
        blobs: Blobs,
        *,
        random: Random,
        now: Clock,
        spawner: Spawner | None = None,
        inventory: Inventory | None = None,
    ) -> None:
        capacities, self.problems = read_capacities(config.environ)
        host = host_environment(config.environ, inherit=config.inherit_environment)
        host, brought = brought_along(host, shipped.bundled_python())
        self.runners = runners
        self.leases = Leases(capacities, random)
        self.inventory = inventory or Inventory()
        self.inventory.lent = self.leases.lent
        self.inventory.follow(self.leases.have)
        self.equipment = Equipment(
            config=config,
            blobs=blobs,
            spawner=spawner or Processes(),
            python=PythonEnvironments(config, runners.get(HOST_LOCAL), host, brought, now=now),
            host=host,
            now=now,
            copying=trio.CapacityLimiter(2),
            inventory=self.inventory,
        )

    async def run(self, order: AttemptOrder, note: TellNote) -> Outcome:
        """Carry the attempt to its end. Cancelled: its processes are gone before this returns.

        Raises: NodeStoppingError if it was not started, because `stop` came first.
        """
        return await _Attempt(self, order, note).run()

    def stop(self) -> None:
        """Start nothing any more; what runs may end."""
        self.leases.close()

    def module_workers(self, job: JobContext) -> AbstractAsyncContextManager[ModuleWorkers]:
        """Have the workers of the job's module agents as long as the block is open."""
        return module_workers(self.equipment, job)

    async def sweep(self, job_id: str) -> int:
        """Kill what a dead owner of the job left running, remove its workspaces; return how many.

        To be called before the job's attempts and module agents are started again.
        """
        tokens = {f"{job_id}/": job_id}
        killed: list[int] = []

        async def sweep(sweeper: Spawner | Runner) -> None:
            killed.append(await sweeper.sweep(tokens))

        runners = {id(runner): runner for runner in self.runners.values()}.values()
        usable = [runner for runner in runners if runner.available() is None]
        async with trio.open_nursery() as nursery:  # at once, so that they share a look
            nursery.start_soon(sweep, self.equipment.spawner)
            for runner in usable:
                nursery.start_soon(sweep, runner)
        await self.close(job_id)
        return sum(killed)

    async def close(self, job_id: str) -> None:
        """Remove the job's folder of workspaces; to be called when no attempt of it runs."""
        if not self.equipment.config.keep_workspaces:
            await self.remove(self.workspaces_of(job_id))

    async def remove(self, path: str) -> None:
        """Remove a folder, also when cancelled."""
        if not staging.remove_few(path):
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(
                    staging.remove_workspace, path, limiter=self.equipment.copying
                )

    def workspaces_of(self, job_id: str) -> str:
        """Return the folder of the job's workspaces."""
        return str(self.equipment.config.data_dir / "work" / staging.folder_name(job_id))

    def stats(self) -> dict[str, PoolStats]:
        """Return how full each pool is."""
        return self.leases.stats()


class _Attempt:
    """One launch of one attempt, all its runs included."""

    def __init__(self, executor: Executor, order: AttemptOrder, note: TellNote) -> None:
        self._executor = executor
        self._equipment = executor.equipment
        self._order = order
        self._command = order.command
        self._job = order.job
        self._tell = telling(
            note,
            order.command.agent_id,
            order.job.clock,
            work_id=order.command.attempt_id,
            launch=order.command.launch,
        )
        self._runs = 0

    async def run(self) -> Outcome:
        """Return how it ended."""
        try:
            agent = self._job.agents[self._command.agent_id]
            chosen = self._chosen(agent)
            asks = asks_in(agent)
            if asks:
                await self._equipment.inventory.known()
            async with self._lease(agent, asks) as lease:
                return await self._run_until_settled(agent, chosen, lease)
        except RefusedError as refusal:
            return self._failed(refusal.error)
        except NodeStoppingError:
            raise
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            text = f"the workspace could not be staged: {error.strerror or error}{where}"
            return self._failed({"error": text})
        except MnedgeError as error:
            return self._failed({"error": error.message, "code": error.code})
        except Exception as error:  # one attempt's breakage stays with that attempt
            text = f"the executor broke: {type(error).__name__}: {error}"
            return self._failed({"error": text, "traceback": traceback.format_exc()})

    def _failed(self, error: dict[str, Any]) -> Outcome:
        return Outcome(status=OutcomeStatus.FAILED, error={**error, "attempts": max(self._runs, 1)})

    def _publish(self, event: NamedEvent) -> None:
        self._tell(event.type, event.payload)

    def _chosen(self, agent: Agent) -> Chosen:
        chosen = choose_runner(
            agent,
            self._job.spec,
            self._executor.runners,
            openshell_fallback=self._equipment.config.openshell_fallback,
        )
        if chosen.instead_of is not None and agent.agent_id not in self._job.told:
            self._job.told.add(agent.agent_id)
            self._tell(
                "sandbox_fallback", {"requested": chosen.instead_of, "used": chosen.runner.name}
            )
        return chosen

    @asynccontextmanager
    async def _lease(self, agent: Agent, asks: tuple[DeviceAsk, ...]) -> AsyncIterator[Lease]:
        config, setting = agent.config, self._equipment.setting
        timeout_ms = config.get("lease_queue_timeout_ms", setting("LEASE_QUEUE_TIMEOUT_MS"))
        longest = config.get("lease_max_queue_length", setting("LEASE_MAX_QUEUE_LENGTH"))
        wait_s = positive(timeout_ms)
        metadata = {
            "job_id": self._job.job_id,
            "agent_id": agent.agent_id,
            "node": self._equipment.config.node,
        }
        async with self._executor.leases.lease(
            text_of(config.get("pool")) or DEFAULT_POOL,
            whole(config.get("pool_slots"), 1),
            metadata,
            self._tell,
            asks=asks,
            timeout_s=None if wait_s is None else wait_s / 1000,
            max_queue_length=whole(longest, 0) or None,
        ) as lease:
            yield lease

    async def _run_until_settled(self, agent: Agent, chosen: Chosen, lease: Lease) -> Outcome:
        """Run again while failures are transient and runs are left, holding the lease."""
        most = whole(agent.config.get("max_attempts"), 1)
        backoff_ms = whole(agent.config.get("retry_backoff_ms"), 500, least=0)
        documents = await self._documents(agent)
        while True:
            self._runs += 1
            status, result, answer = await insist(
                partial(self._run_once, agent, chosen, documents, lease.devices), self._tell
            )
            again = self._runs < most and is_transient(result)
            result |= {"attempts": self._runs, "lease": lease_map(lease)}
            if status is OutcomeStatus.SUCCEEDED:
                return await insist(partial(self._succeeded, result, answer), self._tell)
            if not again:
                return await insist(partial(self._gave_up, result), self._tell)
            await trio.sleep(backoff_s(backoff_ms, self._runs))

    async def _run_once(
        self,
        agent: Agent,
        chosen: Chosen,
        documents: staging.Documents,
        lent: tuple[Device, ...],
    ) -> tuple[OutcomeStatus, dict[str, Any], Said]:
        """Stage and run.

        Raises: DiskRefusedError if nothing was started for want of room.
        """
        run = Run(self._equipment, self._order, agent, chosen, self._runs, self._tell, lent)
        launch = None
        try:
            async with self._workspace() as workspace:
                launch = await run.stage(workspace, documents)
                finished = await run.carry(launch, self._publish)
                finished, answer = await run.answer(finished)
        except OSError as error:
            disk = refused(error) if launch is None else None
            raise (disk or error) from error
        return finished.status, run.result(launch, finished), answer

    async def _gave_up(self, result: dict[str, Any]) -> Outcome:
        offload = Offload(self._equipment.blobs, self._job.body_paths)
        return Outcome(status=OutcomeStatus.FAILED, error=await offload.members(result))

    async def _succeeded(self, result: dict[str, Any], answer: Said) -> Outcome:
        offload = Offload(self._equipment.blobs, self._job.body_paths)
        return Outcome(
            status=OutcomeStatus.SUCCEEDED,
            result=await offload.members(result),
            structured=answer.structured and await offload.structured(answer.structured),
            sdk_result=answer.sdk_result and await offload.members(answer.sdk_result),
        )

    async def _documents(self, agent: Agent) -> staging.Documents:
        command, blobs = self._command, self._equipment.blobs
        message = wire(command.message, self._job.job_id)
        arguments = (
            self._order,
            agent,
            await plain(message, blobs),
            await plain(command.agent_state, blobs),
            await plain(preparation.workflow_of(command), blobs),
            self._equipment.now(),
        )
        refs = refs_in([message, command.workflow])
        if sum(ref.size_bytes for ref in refs) < THREAD_FROM_BYTES:
            return preparation.documents(*arguments)
        return await trio.to_thread.run_sync(
            preparation.documents, *arguments, limiter=self._equipment.copying
        )

    @asynccontextmanager
    async def _workspace(self) -> AsyncIterator[str]:
        command, above = self._command, self._executor.workspaces_of(self._job.job_id)
        name = f"{staging.folder_name(command.attempt_id)}-{command.launch}"
        path = f"{above}/{name}" if self._runs == 1 else f"{above}/{name}-run{self._runs}"
        staging.make_workspace(path)
        try:
            yield path
        finally:
            if not self._equipment.config.keep_workspaces:
                await self._executor.remove(path)
