"""Owns jobs on this node: claims them, opens a coordinator for each, and keeps one bad job from
hurting the others."""

import traceback

import msgspec
import trio
from msgspec import Struct

from mnedge.bus import Bus
from mnedge.config import Config
from mnedge.engine import apply as engine
from mnedge.engine.compile import compile_job
from mnedge.errors import ConflictError, CorruptError
from mnedge.model.manifest import JobSpec
from mnedge.model.records import JobRecord
from mnedge.model.redaction import redactor_for
from mnedge.model.states import TERMINAL, JobStatus
from mnedge.part import Part
from mnedge.ports import Claim, Clock
from mnedge.runtime import jobs
from mnedge.runtime.coordinator import Apply, Coordinator
from mnedge.runtime.timers import JobClock
from mnedge.runtime.workplace import Work, Workplace
from mnedge.store.blobs import FileWork, in_threads
from mnedge.store.runs.folder import RunFolder

FOREIGN_S = 2.0
"""Between two looks at jobs whose owner was another living process."""


class JobHeldError(ConflictError):
    """Another living process owns the job."""

    code = "job.held"


class Held(Struct):
    """A job this host owns."""

    coordinator: Coordinator | None = None
    done: trio.Event = msgspec.field(default_factory=trio.Event)


class Host(Part):
    """Runs jobs in this process.

    `adopting`: take up every unfinished job that has no living owner, now and for ever (the
    daemon). Otherwise only what
    `start_job` and `adopt` are asked for. `file_work`: how slow file work is kept off the loop.
    """

    def __init__(
        self,
        stores: jobs.Stores,
        config: Config,
        work: Work,
        bus: Bus,
        *,
        now: Clock,
        adopting: bool = False,
        file_work: FileWork | None = None,
        apply: Apply = engine.apply,
    ) -> None:
        self._stores = stores
        self._config = config
        self._work = work
        self._bus = bus
        self._now = now
        self._adopting = adopting
        self._file_work = file_work or in_threads()
        self._apply = apply
        self._held: dict[str, Held] = {}
        self._foreign: set[str] = set()
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; jobs that run then are left for the next owner."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            if self._adopting:
                await self.adopt()
                nursery.start_soon(self._adopt_for_ever)
            task_status.started()
            await trio.sleep_forever()

    def owns(self, job_id: str) -> bool:
        """Tell whether the job runs in this process."""
        held = self._held.get(job_id)
        return held is not None and not held.done.is_set()

    async def start_job(self, job_id: str) -> None:
        """Claim the job and run it in the background.

        Raises: JobHeldError if another process owns it.
        """
        if self._nursery is None:
            raise RuntimeError("start_job needs a running host")
        if self.owns(job_id):
            return
        claim = await self._stores.claims.claim(jobs.JOBS + job_id)
        if claim is None:
            holder = await self._stores.claims.holder(jobs.JOBS + job_id)
            raise JobHeldError(f"job {job_id} is owned by {holder}", details={"holder": holder})
        held = self._held[job_id] = Held()
        self._nursery.start_soon(self._carry, job_id, claim, held)

    async def finished(self, job_id: str) -> JobRecord:
        """Wait until this host is done with the job: terminal or faulted; return its record."""
        await self._held[job_id].done.wait()
        return await jobs.read_job(self._stores, job_id)

    async def adopt(self) -> list[str]:
        """Start every unfinished job that has no living owner; return their ids."""
        records = await jobs.list_jobs(self._stores, limit=None)
        return [record.job_id for record in records if await self._take(record)]

    async def _take(self, record: JobRecord) -> bool:
        if record.status in TERMINAL or record.status is JobStatus.FAULTED:
            self._foreign.discard(record.job_id)
            return False
        if self.owns(record.job_id):
            return False
        try:
            await self.start_job(record.job_id)
        except JobHeldError:
            self._foreign.add(record.job_id)
            return False
        self._foreign.discard(record.job_id)
        return True

    async def _adopt_for_ever(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._adopt_orphans)
            async for rows in self._stores.table.watch(jobs.JOBS):
                for row in rows:
                    await self._take(jobs.decode_job(row.value))

    async def _adopt_orphans(self) -> None:
        """A process that ends says nothing, so the jobs of others are looked at now and then."""
        while True:
            await trio.sleep(FOREIGN_S)
            for job_id in sorted(self._foreign):
                await self._take(await jobs.read_job(self._stores, job_id))

    async def _carry(self, job_id: str, claim: Claim, held: Held) -> None:
        try:
            record = await jobs.read_job(self._stores, job_id)
            if record.status not in TERMINAL:
                spec = await jobs.read_spec(self._stores, job_id)
                await self._coordinate(record, spec, claim, held)
        except Exception as error:  # one job's breakage stays with that job
            await self._give_up(job_id, error)
        finally:
            with trio.CancelScope(shield=True):
                await self._stores.claims.release(claim)
            held.done.set()

    async def _give_up(self, job_id: str, error: Exception) -> None:
        match _within(error):
            case ConflictError():
                pass  # somebody else owns it by now; whatever we knew is void
            case CorruptError() as damage:
                await self._fault(job_id, str(damage))
            case _:
                await self._fault(job_id, "".join(traceback.format_exception(error)))

    async def _coordinate(self, record: JobRecord, spec: JobSpec, claim: Claim, held: Held) -> None:
        folder = RunFolder(
            self._config.runs_root,
            self._config.data_dir,
            record.job_id,
            spec,
            submitted_at=record.submitted_at,
            now=self._now,
            redactor=redactor_for(spec.config, self._config.environ),
            conditions=self._stores.conditions,
            source=record.bundle_source,
        )
        job = compile_job(spec, revision=record.engine_revision)
        clock = JobClock(self._now)
        workplace = Workplace(
            record,
            spec,
            job,
            blobs=self._stores.blobs,
            config=self._config,
            work=self._work,
            clock=clock,
        )
        async with workplace:
            held.coordinator = Coordinator(
                record,
                job,
                claim,
                stores=self._stores,
                folder=folder,
                workplace=workplace,
                bus=self._bus,
                clock=clock,
                node=self._config.node,
                snapshot_bytes=self._config.snapshot_bytes,
                file_work=self._file_work,
                apply=self._apply,
            )
            await held.coordinator.run()

    async def _fault(self, job_id: str, reason: str) -> None:
        record = await jobs.read_job(self._stores, job_id)
        await jobs.write_job(
            self._stores,
            msgspec.structs.replace(
                record,
                status=JobStatus.FAULTED,
                updated_at=max(self._now(), record.updated_at),
                fault={"error": reason},
            ),
        )


def _within(error: Exception) -> Exception:
    """Return the only exception in groups that nurseries made; with several, the group."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
