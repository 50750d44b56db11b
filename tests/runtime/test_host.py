"""Who carries which job, and who follows an owner that died."""

import json

import pytest
import trio

from mnedge.model.states import JobStatus
from mnedge.runtime import jobs
from mnedge.runtime.host import JobHeldError
from mnedge.runtime.submission import submit_spec
from tests.runtime.rig import (
    ScriptedExecutor,
    a_rig,
    pipeline,
    succeeded,
)


def lines(rig, job_id, name="events.jsonl"):
    text = (rig.config.runs_root / job_id / name).read_text()
    return [json.loads(line) for line in text.splitlines()]


def numbers(rig, job_id):
    return [line["seq"] for line in lines(rig, job_id) if "seq" in line]


async def submitted(rig, spec, job_id="job-1"):
    return await submit_spec(rig.store, rig.config, spec, job_id=job_id, now=rig.now)


async def test_a_job_runs_to_its_end_and_leaves_its_run_folder(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        await submitted(rig, pipeline())
        await host.start_job("job-1")
        record = await host.finished("job-1")
    assert record.status is JobStatus.COMPLETED
    assert record.result["agent_id"] == "sink"
    assert record.result["output"]["count"] == 1
    types = [line["type"] for line in lines(rig, "job-1")]
    assert types.index("job_running") < types.index("sandbox_job_completed")
    assert types.index("sandbox_job_completed") < types.index("job_completed")
    assert numbers(rig, "job-1") == list(range(1, record.events + 1))
    for name in [
        "run.json",
        "config.json",
        "inputs.json",
        "errors.jsonl",
        "timeline.jsonl",
        "observability_summary.json",
        "result.json",
        "final_artifact.json",
    ]:
        assert (rig.config.runs_root / "job-1" / name).exists(), name


async def test_an_owner_that_dies_is_followed_by_another_that_goes_on(tmp_path, autojump_clock):
    async def hang(command):
        await trio.sleep_forever()

    async with a_rig(tmp_path) as rig:
        rig.executor.work["worker"] = hang
        async with trio.open_nursery() as nursery, rig.host() as host:
            await submitted(rig, pipeline())
            await host.start_job("job-1")
            await trio.sleep(5)
            nursery.cancel_scope.cancel()
        assert (await jobs.read_job(rig.store, "job-1")).status is JobStatus.RUNNING
        assert [order.launch for order in rig.executor.orders] == [1]
        before = numbers(rig, "job-1")

        rig.executor = ScriptedExecutor()
        async with rig.host() as host:
            assert await host.adopt() == ["job-1"]
            record = await host.finished("job-1")
        assert record.status is JobStatus.COMPLETED
        assert [order.launch for order in rig.executor.orders] == [2]
        assert rig.executor.swept == ["job-1"]
        assert numbers(rig, "job-1") == list(range(1, record.events + 1))
        assert numbers(rig, "job-1")[: len(before)] == before


async def test_an_owner_that_lost_its_claim_leaves_the_job_alone(tmp_path, autojump_clock):
    async def slow(command):
        await trio.sleep(10)
        return succeeded()

    async with a_rig(tmp_path) as rig, rig.host() as host:
        rig.executor.work["worker"] = slow
        await submitted(rig, pipeline())
        await host.start_job("job-1")
        await trio.sleep(5)
        [holder] = {await rig.store.claims.holder(jobs.JOBS + "job-1")}
        rig.store.perish(holder)
        assert await rig.store.beside("another").claims.claim(jobs.JOBS + "job-1") is not None
        record = await host.finished("job-1")
    assert record.status is JobStatus.RUNNING  # what its new owner last said
    assert record.fault is None


async def test_a_finished_job_is_not_adopted(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        async with rig.host() as host:
            await submitted(rig, pipeline())
            await host.start_job("job-1")
            await host.finished("job-1")
        async with rig.host() as host:
            assert await host.adopt() == []


async def test_a_second_host_cannot_take_a_job_that_is_held(tmp_path, autojump_clock):
    async def hang(command):
        await trio.sleep_forever()

    async with a_rig(tmp_path) as rig, rig.host() as host:
        rig.executor.work["worker"] = hang
        await submitted(rig, pipeline())
        await host.start_job("job-1")
        await trio.sleep(1)
        async with rig.host() as other:
            with pytest.raises(JobHeldError):
                await other.start_job("job-1")


async def test_an_adopting_host_takes_what_is_submitted_later(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host(adopting=True) as host:
        await trio.sleep(1)
        await submitted(rig, pipeline())
        await trio.sleep(5)
        assert (await host.finished("job-1")).status is JobStatus.COMPLETED
