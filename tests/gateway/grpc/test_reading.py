import pytest
import trio

from mnedge.gateway.grpc import reading
from mnedge.gateway.grpc.calls import Call
from mnedge.model.states import JobStatus, Verb
from mnedge.runtime import jobs
from tests.gateway.grpc.wire import ADA, a_wire
from tests.runtime.rig import gated, submitted


async def test_a_job_that_does_not_act_in_time_is_shown_as_it_was(
    tmp_path, autojump_clock, monkeypatch
):
    monkeypatch.setattr(reading, "SETTLE_S", 0.0)
    async with a_wire(tmp_path) as wire:
        await submitted(wire.rig, gated())
        await trio.sleep(1)
        call = Call(wire.backend, {"state": {"principal": ADA}}, {})
        record = await reading.steered(call, "job-1", Verb.CANCEL)
        assert record.status in (JobStatus.RUNNING, JobStatus.CANCELLED)
        await trio.sleep(1)
        assert (await jobs.read_job(wire.backend.store, "job-1")).status is JobStatus.CANCELLED


async def test_a_whole_job_shows_who_waits(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        await submitted(wire.rig, gated())
        await trio.sleep(1)
        call = Call(wire.backend, {"state": {"principal": ADA}}, {})
        record, document = await reading.whole_job(call, "job-1")
        assert record.waiting_for_human == len(document["human_requests"]) == 1
        assert len(document["recent_events"]) <= reading.RECENT
        with pytest.raises(jobs.JobNotFoundError):
            await reading.whole_job(call, "nobody")
