"""Which jobs are recovered."""

import msgspec
import pytest

from mnedge.cli.recover import JobOverError, named, orphans
from mnedge.model.states import JobStatus
from mnedge.runtime.host import JobHeldError
from mnedge.runtime.jobs import JOBS, JobNotFoundError, read_job, write_job
from mnedge.runtime.submission import submit_spec
from tests.runtime.rig import a_rig, now, pipeline

pytestmark = pytest.mark.live


async def keep(rig, job_id, status=JobStatus.PENDING):
    await submit_spec(rig.store, rig.config, pipeline(), job_id=job_id, now=now)
    record = await read_job(rig.store, job_id)
    await write_job(rig.store, msgspec.structs.replace(record, status=status))


async def test_all_means_every_unfinished_job_without_a_living_owner(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        await keep(rig, "waiting")
        await keep(rig, "running", JobStatus.RUNNING)
        await keep(rig, "owned", JobStatus.RUNNING)
        await keep(rig, "over", JobStatus.COMPLETED)
        await keep(rig, "faulted", JobStatus.FAULTED)
        await rig.store.beside("process-2").claims.claim(f"{JOBS}owned")
        found = {record.job_id for record in await orphans(rig.store)}
    assert found == {"waiting", "running"}


async def test_a_job_is_named_by_id_or_beginning_and_taken_once(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        await keep(rig, "waiting")
        records = await named(rig.store, ["waiting", "wait", "waiting"])
        assert [record.job_id for record in records] == ["waiting"]
        with pytest.raises(JobNotFoundError):
            await named(rig.store, ["nobody"])


async def test_what_is_over_cannot_be_recovered(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        await keep(rig, "over", JobStatus.FAILED)
        with pytest.raises(JobOverError, match="is failed; there is nothing to recover"):
            await named(rig.store, ["over"])


async def test_what_somebody_owns_is_left_to_him(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        await keep(rig, "owned", JobStatus.RUNNING)
        await rig.store.beside("boot:42:9").claims.claim(f"{JOBS}owned")
        with pytest.raises(JobHeldError, match="owned by process 42"):
            await named(rig.store, ["owned"])


def test_where_there_is_nothing_to_recover_it_says_so(mnedge):
    assert "Nothing to recover" in mnedge("job", "recover", "--all").out
    assert mnedge("job", "recover", "--all", "--json").value == []
