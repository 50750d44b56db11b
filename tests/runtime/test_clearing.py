"""Jobs are ended by force, and forgotten once they are over."""

import pytest
import trio

from mnedge.model.states import JobStatus
from mnedge.runtime import jobs
from mnedge.runtime.clearing import cancel, forget_job
from tests.runtime.rig import a_rig, gated, submitted


async def test_a_job_is_cancelled_and_its_end_is_told(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host(adopting=True) as host:
        await submitted(rig, gated())
        await trio.sleep(1)
        assert await cancel(rig.store, host, "job-1", now=rig.now, by="user:ada") == "cancelled"
        with pytest.raises(jobs.JobStatusError):
            await cancel(rig.store, host, "job-1", now=rig.now)


async def test_a_job_that_does_not_act_is_about_to_be_cancelled(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host(adopting=True) as host:
        await submitted(rig, gated())
        await trio.sleep(1)
        found = await cancel(rig.store, host, "job-1", now=rig.now, timeout_s=0)
        assert found in ("cancelled", "cancellation_pending")
        await trio.sleep(1)
        assert (await jobs.read_job(rig.store, "job-1")).status is JobStatus.CANCELLED


async def test_only_what_is_over_is_forgotten(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host(adopting=True) as host:
        await submitted(rig, gated())
        await trio.sleep(1)
        with pytest.raises(jobs.JobStatusError, match="not over"):
            await forget_job(rig.store, rig.config, host, "job-1")
        assert (await jobs.read_job(rig.store, "job-1")).status is JobStatus.RUNNING
        await cancel(rig.store, host, "job-1", now=rig.now)
        await forget_job(rig.store, rig.config, host, "job-1")
        with pytest.raises(jobs.JobNotFoundError):
            await jobs.read_job(rig.store, "job-1")
        assert await rig.store.journal.read("job-1", after=0, limit=1) == []
