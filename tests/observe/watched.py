"""A rig whose work is watched, with its figures and spans."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from mnedge.observe.jobs import JobWatch
from mnedge.observe.metrics import Registry
from mnedge.observe.traces import Spans
from mnedge.observe.work import WatchedWork
from mnedge.part import running
from mnedge.runtime.submission import Origin, submit_spec
from tests.runtime.rig import Rig, ScriptedExecutor, a_rig, now


@asynccontextmanager
async def a_watched_rig(
    tmp_path: Path, work: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[tuple[Rig, JobWatch, Registry, Spans]]:
    registry, spans = Registry(), Spans()
    watched = WatchedWork(ScriptedExecutor(work), registry, spans, now=now)
    async with (
        a_rig(tmp_path, executor=watched, **more) as rig,
        running(JobWatch(rig.store, rig.bus, registry, spans)) as watch,
    ):
        yield rig, watch, registry, spans


async def carried(rig: Rig, spec: Any, job_id: str = "job-1", **origin: str) -> Any:
    """Run a job to its end, and let those who watch catch up."""
    await submit_spec(
        rig.store, rig.config, spec, job_id=job_id, now=rig.now, origin=Origin(**origin)
    )
    async with rig.host() as host:
        await host.start_job(job_id)
        record = await host.finished(job_id)
    await trio.testing.wait_all_tasks_blocked()
    return record
