"""Where one job's physical work happens: its unpacked bundle, its attempts, its module workers."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import trio

from mnedge.bundle.archive import unpack
from mnedge.config.settings import Config
from mnedge.engine.compile import CompiledJob
from mnedge.execution.large import plain
from mnedge.execution.modules import ModuleAnswer
from mnedge.execution.order import AttemptOrder, JobContext, job_context
from mnedge.execution.telling import TellNote
from mnedge.model.commands import CallModule, RunAttempt
from mnedge.model.facts import Outcome
from mnedge.model.manifest import JobSpec
from mnedge.model.records import JobRecord
from mnedge.ports import Blobs
from mnedge.runtime import shared_folders
from mnedge.store.condition import Conditions

BUNDLES = "bundles"
"""Folder of the data directory with unpacked bundles, each under its digest."""


def bundle_root(digest: str, config: Config) -> Path:
    """Return where a bundle is unpacked."""
    return config.data_dir / BUNDLES / digest.removeprefix("sha256:")


async def unpacked(digest: str, blobs: Blobs, conditions: Conditions, config: Config) -> Path:
    """Return the folder of a bundle, unpacked if it is not yet.

    Raises: NotFoundError, UnavailableError.
    """
    root = bundle_root(digest, config)
    if not root.is_dir():
        blob = await blobs.path(digest)
        try:
            await trio.to_thread.run_sync(unpack, Path(blob), root)
        except OSError as error:
            raise conditions.failed(BUNDLES, str(root), error) from error
        conditions.fine(BUNDLES, str(root))
    return root


class Modules(Protocol):
    """The workers of one job's module agents."""

    async def call(self, command: CallModule, note: TellNote) -> ModuleAnswer:
        """Let a worker handle a message."""


class Work(Protocol):
    """Who does the physical work of all jobs of a node (`mnedge.execution.attempt`)."""

    async def run(self, order: AttemptOrder, note: TellNote) -> Outcome:
        """Carry one launch of an attempt to its outcome."""

    def module_workers(self, job: JobContext) -> AbstractAsyncContextManager[Modules]:
        """Have the workers of a job's module agents while the block is open."""

    async def sweep(self, job_id: str) -> int:
        """Kill what an earlier owner of the job left running here; return how much."""

    async def close(self, job_id: str) -> None:
        """Remove what a finished job left in the work folder."""


class Workplace:
    """Open while a coordinator runs its job; leaving it ends the module workers."""

    def __init__(
        self,
        record: JobRecord,
        spec: JobSpec,
        job: CompiledJob,
        *,
        blobs: Blobs,
        conditions: Conditions,
        config: Config,
        work: Work,
        clock: Callable[[], float],
    ) -> None:
        self._record = record
        self._spec = spec
        self._blobs = blobs
        self._conditions = conditions
        self._config = config
        self._work = work
        self._context = job_context(
            spec,
            record.job_id,
            run_dir=record.run_folder,
            runs_root=str(config.runs_root),
            clock=clock,
            bundle_root=None
            if record.bundle_digest is None
            else str(bundle_root(record.bundle_digest, config)),
            body_paths=job.body_paths,
            environ=config.environ,
            variables=shared_folders.variables(config, record, spec),
            trace_parent=record.trace_parent,
            trace_state=record.trace_state,
        )
        self._stack = AsyncExitStack()
        self._modules: Modules | None = None

    async def __aenter__(self) -> Self:
        digest = self._record.bundle_digest
        if digest is not None:
            await unpacked(digest, self._blobs, self._conditions, self._config)
        place = self._record.run_folder
        try:
            shared_folders.lay_out(self._config, self._record, self._spec)
        except OSError as error:
            raise self._conditions.failed("runs", place, error) from error
        self._conditions.fine("runs", place)
        self._modules = await self._stack.enter_async_context(
            self._work.module_workers(self._context)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def run(self, command: RunAttempt, note: TellNote) -> Outcome:
        """Carry one launch of an attempt to its outcome."""
        return await self._work.run(AttemptOrder(command=command, job=self._context), note)

    async def call(self, command: CallModule, note: TellNote) -> ModuleAnswer:
        """Let a module agent's worker handle one message."""
        if self._modules is None:
            raise RuntimeError("a workplace must be open")
        return await self._modules.call(command, note)

    async def sweep(self) -> None:
        """Kill what an earlier owner's launches of this job left running on this node."""
        await self._work.sweep(self._record.job_id)

    async def plain(self, tree: Any) -> Any:
        """Return the tree with every reference in it loaded."""
        return await plain(tree, self._blobs)

    async def clear(self) -> None:
        """Remove the workspaces of a job that is over, and folders that it never used."""
        shared_folders.tidy(self._record)
        await self._work.close(self._record.job_id)
