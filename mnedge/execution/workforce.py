"""All that does physical work on this node: attempts in pools, and workers of module agents."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from random import Random

from mnedge.config import Config
from mnedge.execution.attempt import Executor, TellNote
from mnedge.execution.modules import Bench, ModuleWorkers, module_workers
from mnedge.execution.order import AttemptOrder, JobContext
from mnedge.model.facts import Outcome
from mnedge.ports import Blobs, Clock, Runner, Spawner


class Workforce:
    """What the jobs of this node share."""

    def __init__(
        self,
        config: Config,
        runners: Mapping[str, Runner],
        spawner: Spawner,
        blobs: Blobs,
        *,
        random: Random,
        now: Clock,
    ) -> None:
        self.executor = Executor(config, runners, blobs, random=random, now=now)
        self._bench = Bench(
            config=config,
            spawner=spawner,
            blobs=blobs,
            python=self.executor.python,
            host=self.executor.host,
        )

    async def run(self, order: AttemptOrder, note: TellNote) -> Outcome:
        """Carry one launch of an attempt to its outcome."""
        return await self.executor.run(order, note)

    def modules(self, job: JobContext) -> AbstractAsyncContextManager[ModuleWorkers]:
        """Have the workers of a job's module agents while the block is open."""
        return module_workers(self._bench, job)

    async def sweep(self, job_id: str) -> None:
        """Kill what an earlier owner of the job left running here."""
        await self.executor.sweep(job_id)

    async def close(self, job_id: str) -> None:
        """Remove what a finished job left in the work folder."""
        await self.executor.close(job_id)
