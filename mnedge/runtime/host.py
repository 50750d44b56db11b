"""Owns jobs on this node: claims them, opens a coordinator for each, and keeps one bad job from
hurting the others."""

import traceback
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
import trio

from mnedge.bus import Bus
from mnedge.config.settings import Config
from mnedge.engine import apply as engine
from mnedge.engine.compile import compile_job
from mnedge.errors import (
    ConflictError,
    CorruptError,
    MnedgeError,
    NotFoundError,
    UnavailableError,
)
from mnedge.model.manifest import JobSpec
from mnedge.model.records import JobRecord
from mnedge.model.redaction import redactor_for
from mnedge.model.states import TERMINAL, JobStatus, Verb
from mnedge.part import Part
from mnedge.ports import Claim, Clock, Connector
from mnedge.runtime import jobs
from mnedge.runtime.coordinator import Apply, Coordinator, PoisonError
from mnedge.runtime.input_reading import NO_CONNECTORS
from mnedge.runtime.live_inputs import LiveInputs
from mnedge.runtime.publisher import RETRY_S
from mnedge.runtime.timers import JobClock
from mnedge.runtime.workplace import Work, Workplace, bundle_root
from mnedge.store.blobs import FileWork, in_threads
from mnedge.store.claims import process_name
from mnedge.store.runs.folder import RunFolder

ELSEWHERE_S = 2.0
"""Between two looks at jobs that were not ours to take: owned by others, or on a bad disk."""


class JobHeldError(ConflictError):
    """Another living process owns the job."""

    code = "job.held"


class Host(Part):
    """Runs jobs in this process.

    `adopting`: take up every unfinished job that has no living owner, now and for ever (the
    daemon). Otherwise only what
    `start_job` and `adopt` are asked for. `file_work`: how slow file work is kept off the loop.
    `connectors`: how live inputs are read.
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
        connectors: Mapping[str, Connector] = NO_CONNECTORS,
    ) -> None:
        self._stores = stores
        self._connectors = connectors
        self._config = config
        self._work = work
        self._bus = bus
        self._now = now
        self._adopting = adopting
        self._file_work = file_work or in_threads()
        self._apply = apply
        self._held: dict[str, trio.Event] = {}
        """The jobs that run here, and what is set when this host is done with one."""
        self._reserved: dict[str, Claim] = {}
        self._elsewhere: set[str] = set()
        self._nursery: trio.Nursery | None = None
        self._coordinators: dict[str, Coordinator] = {}
        self._adopts = trio.CancelScope()
        self.stopping = False
        """No new work is taken."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; jobs that run then are left for the next owner."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            if self._adopting:
                await self.adopt()
                nursery.start_soon(self._adopt_for_ever)
            task_status.started()
            await trio.sleep_forever()

    def stop(self) -> None:
        """Take no new work and launch nothing more; what was launched may end."""
        self.stopping = True
        self._adopts.cancel()
        for coordinator in self._coordinators.values():
            coordinator.drain()

    async def drained(self) -> None:
        """Return when nothing runs here any more; to be called after `stop`.

        Jobs that were not over are free for their next owner.
        """
        for done in list(self._held.values()):
            await done.wait()

    def owns(self, job_id: str) -> bool:
        """Tell whether the job runs in this process."""
        return job_id in self._held

    async def reserve(self, job_id: str) -> None:
        """Own a job that is about to be submitted, before a daemon can take it; then start it.

        Raises: JobHeldError if another process owns one of that id.
        """
        self._reserved[job_id] = await self._claimed(job_id)

    async def unreserve(self, job_id: str) -> None:
        """Let go of what was reserved for a submission that came to nothing."""
        claim = self._reserved.pop(job_id, None)
        if claim is not None:
            await self._stores.claims.release(claim)

    async def start_job(self, job_id: str) -> None:
        """Claim the job and run it in the background, also if it is faulted.

        Raises: JobHeldError if another process owns it.
        """
        await self._start(job_id, faulted=True)

    async def finished(self, job_id: str) -> JobRecord:
        """Wait until this host is done with the job: terminal or faulted; return its record."""
        done = self._held.get(job_id)
        if done is not None:
            await done.wait()
        return await jobs.read_job(self._stores, job_id)

    async def adopt(self) -> list[str]:
        """Start every unfinished job that has no living owner; return their ids."""
        waiting = await jobs.open_jobs(self._stores)
        return [job_id for job_id in waiting if await self._take(job_id)]

    # ---- whose jobs these are ----

    async def _start(self, job_id: str, *, faulted: bool) -> None:
        if self._nursery is None:
            raise RuntimeError("jobs are started by a running host")
        if self.owns(job_id):
            return
        claim = self._reserved.pop(job_id, None) or await self._claimed(job_id)
        self._held[job_id] = trio.Event()
        self._nursery.start_soon(self._carry, job_id, claim, faulted)

    async def _claimed(self, job_id: str) -> Claim:
        claim = await self._stores.claims.claim(jobs.JOBS + job_id)
        if claim is None:
            holder = await self._stores.claims.holder(jobs.JOBS + job_id)
            raise JobHeldError(
                f"job {job_id} is owned by {process_name(holder)}", details={"holder": holder}
            )
        return claim

    async def _take(self, job_id: str) -> bool:
        """Start the job if it is open and nobody's; one that is not ours now is looked at again."""
        if self.owns(job_id):
            return False
        self._elsewhere.discard(job_id)
        try:
            status = (await jobs.read_job(self._stores, job_id)).status
            if status in TERMINAL:
                await jobs.shut(self._stores, job_id)
            elif status is not JobStatus.FAULTED:
                await self._start(job_id, faulted=False)
                return True
        except (JobHeldError, UnavailableError):
            self._elsewhere.add(job_id)
        except (NotFoundError, CorruptError):
            pass  # a submission that came to nothing, or a row that only a person can mend
        return False

    async def _adopt_for_ever(self) -> None:
        with self._adopts:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._adopt_what_comes)
                nursery.start_soon(self._adopt_orphans)

    async def _adopt_what_comes(self) -> None:
        while True:
            try:
                async for rows in self._stores.table.watch(jobs.OPEN):
                    for row in rows:
                        await self._take(row.key.removeprefix(jobs.OPEN))
            except UnavailableError:
                await trio.sleep(RETRY_S)  # the next watch begins with all that are open

    async def _adopt_orphans(self) -> None:
        """A process that ends says nothing, so the jobs of others are looked at now and then."""
        while True:
            await trio.sleep(ELSEWHERE_S)
            for job_id in sorted(self._elsewhere):
                await self._take(job_id)

    # ---- one job ----

    async def _carry(self, job_id: str, claim: Claim, faulted: bool) -> None:
        """Run the job until it is over, faulted, or somebody else's; then let go of it."""
        try:
            while True:
                if await self._carried(job_id, claim, faulted=faulted):
                    break
                await trio.sleep(RETRY_S)
        finally:
            with trio.CancelScope(shield=True):
                free = await self._released(claim)
            self._held.pop(job_id).set()
        while not free:
            await trio.sleep(RETRY_S)
            free = await self._released(claim)

    async def _carried(self, job_id: str, claim: Claim, *, faulted: bool) -> bool:
        """Run the job; return False if the disk refuses, so that it has to be opened again."""
        if self.stopping:
            return True
        try:
            record = await jobs.read_job(self._stores, job_id)
            if record.status is JobStatus.FAULTED and not faulted:
                return True
            if record.status not in TERMINAL:
                spec = await jobs.read_spec(self._stores, job_id)
                await self._coordinate(record, spec, claim)
                await self._shut_if_over(job_id)
            return True
        except Exception as error:  # one job's breakage stays with that job
            return await self._gave_up(job_id, error)

    async def _shut_if_over(self, job_id: str) -> None:
        if (await jobs.read_job(self._stores, job_id)).status in TERMINAL:
            await jobs.shut(self._stores, job_id)

    async def _gave_up(self, job_id: str, error: Exception) -> bool:
        """Say what broke; return False if it is to be tried again."""
        causes = _causes(error)
        if any(isinstance(cause, ConflictError) for cause in causes):
            self._elsewhere.add(job_id)  # somebody else owns it; whatever we knew is void
            return True
        if all(isinstance(cause, UnavailableError) for cause in causes):
            return False
        try:
            await self._fault(job_id, _fault_of(error, causes))
        except UnavailableError:
            return False
        except (NotFoundError, CorruptError):
            pass  # there is no record to say it in
        return True

    async def _released(self, claim: Claim) -> bool:
        try:
            await self._stores.claims.release(claim)
        except UnavailableError:
            return False
        return True

    async def _coordinate(self, record: JobRecord, spec: JobSpec, claim: Claim) -> None:
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
            conditions=self._stores.conditions,
            config=self._config,
            work=self._work,
            clock=clock,
        )
        async with workplace:
            coordinator = Coordinator(
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
                live_inputs=partial(
                    LiveInputs,
                    blobs=self._stores.blobs,
                    config=self._config,
                    connectors=self._connectors,
                    folder=_folder_of(record, self._config),
                ),
            )
            self._coordinators[record.job_id] = coordinator
            try:
                if self.stopping:
                    coordinator.drain()
                await coordinator.run()
            finally:
                del self._coordinators[record.job_id]

    async def _fault(self, job_id: str, fault: dict[str, Any]) -> None:
        """Have the record say what broke; a job that cannot even be opened can be cancelled so."""
        record = await jobs.read_job(self._stores, job_id)
        if record.status in TERMINAL:
            return
        at = max(self._now(), record.updated_at)
        asks = await jobs.waiting_asks(self._stores, job_id)
        if any(request.verb is Verb.CANCEL for request in asks):
            record = msgspec.structs.replace(
                record,
                status=JobStatus.CANCELLED,
                result={"reason": "forced cancellation of orphaned job"},
                ended_at=at,
            )
            for request in asks:
                await jobs.answered(self._stores, request)
        else:
            record = msgspec.structs.replace(record, status=JobStatus.FAULTED)
        await jobs.write_job(
            self._stores, msgspec.structs.replace(record, updated_at=at, fault=fault)
        )
        await self._shut_if_over(job_id)


def _folder_of(record: JobRecord, config: Config) -> str:
    """Return the folder of the job's bundle."""
    if record.bundle_digest is None:
        return record.run_folder
    return str(bundle_root(record.bundle_digest, config))


def _causes(error: Exception) -> list[Exception]:
    """Return what was raised, without the groups that nurseries put it in."""
    if isinstance(error, ExceptionGroup):
        return [cause for inner in error.exceptions for cause in _causes(inner)]
    return [error]


def _fault_of(error: Exception, causes: list[Exception]) -> dict[str, Any]:
    match causes:
        case [PoisonError() as poison]:
            return poison.fault
        case [MnedgeError() as known]:
            return {"error": f"{known.message}; {known.hint}" if known.hint else known.message}
        case [cause]:  # its last line says what broke; that of a group only draws a frame
            return {"error": "".join(traceback.format_exception(cause))}
        case _:
            return {"error": "".join(traceback.format_exception(error))}
