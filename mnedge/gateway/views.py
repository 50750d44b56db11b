"""Jobs looked at again and again: what a journal came to is kept, and only what is new is applied.

A client that follows a job asks for it every second; without this, each time would replay all that
stands behind the job's last snapshot.
"""

from collections import OrderedDict

import trio
from msgspec import Struct

from mnedge.engine.apply import apply
from mnedge.engine.compile import CompiledJob, compile_job
from mnedge.engine.state import JobState, new_state, restore
from mnedge.model.codec import decode_fact
from mnedge.model.manifest import JobSpec
from mnedge.model.records import JobRecord
from mnedge.runtime import jobs
from mnedge.runtime.view import JobView, view_of

KEPT = 8
"""States that are kept; the one that was not asked for longest goes first."""
IDLE_S = 60.0
"""One that nobody asked for within this is not kept either."""


class _Kept(Struct):
    submitted_at: float
    spec: JobSpec
    job: CompiledJob
    state: JobState
    used_at: float
    lock: trio.Lock


class Views:
    """Views of jobs, as committed at the moment of asking."""

    def __init__(self, stores: jobs.Stores) -> None:
        self._stores = stores
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def look(self, job_id: str) -> tuple[JobView, JobSpec]:
        """Return the job as its journal has it, and what it runs on.

        Raises: JobNotFoundError; whatever the engine raises at a fact that it cannot apply.
        """
        record = await jobs.read_job(self._stores, job_id)
        self._forget_idle()
        kept = self._of(record)
        if kept is None:
            spec = await jobs.read_spec(self._stores, job_id)
            kept = self._of(record) or self._new(record, spec)
        kept.used_at = trio.current_time()
        self._kept.move_to_end(job_id)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        try:
            async with kept.lock:
                await self._catch_up(kept, job_id)
                return await view_of(self._stores, record, kept.job, kept.state), kept.spec
        except BaseException:
            self._kept.pop(job_id, None)  # it may stand half-way between two facts
            raise

    def _of(self, record: JobRecord) -> _Kept | None:
        kept = self._kept.get(record.job_id)
        same = kept is not None and kept.submitted_at == record.submitted_at
        return kept if same else None

    def _new(self, record: JobRecord, spec: JobSpec) -> _Kept:
        job = compile_job(spec, revision=record.engine_revision)
        state = new_state(job, record.job_id)
        kept = _Kept(record.submitted_at, spec, job, state, trio.current_time(), trio.Lock())
        self._kept[record.job_id] = kept
        return kept

    async def _catch_up(self, kept: _Kept, job_id: str) -> None:
        journal = self._stores.journal
        if not kept.state.last_seq:
            await self._begin(kept, job_id)
        while batch := await journal.read(job_id, after=kept.state.last_seq):
            if batch[0][0] != kept.state.last_seq + 1:  # what was between is compacted
                await self._begin(kept, job_id)
                continue
            for seq, content in batch:
                apply(kept.job, kept.state, decode_fact(content), seq)

    async def _begin(self, kept: _Kept, job_id: str) -> None:
        found = await self._stores.journal.latest_snapshot(job_id)
        kept.state = new_state(kept.job, job_id) if found is None else restore(kept.job, found[1])

    def _forget_idle(self) -> None:
        limit = trio.current_time() - IDLE_S
        for job_id in [one for one, kept in self._kept.items() if kept.used_at < limit]:
            if not self._kept[job_id].lock.locked():
                del self._kept[job_id]
