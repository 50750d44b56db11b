"""Events of a job over the wire."""

import pytest
import trio

from mnedge.gateway.grpc.observability import heartbeat_s
from mnedge.runtime import jobs
from mnedge.store.runs.places import Places
from tests.gateway.grpc.wire import OBSERVABILITY, V1, RefusedError, a_wire
from tests.runtime.rig import gated, pipeline, submitted


def identity(event):
    """Return what clients compare to drop what they have seen."""
    return (
        event["timestamp"],
        event["type"],
        event["agent_id"],
        event["node"],
        event["message_id"],
    )


@pytest.mark.drives(f"{OBSERVABILITY}/StreamEvents")
async def test_a_stream_tells_all_events_oldest_first_each_once(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        await submitted(wire.rig, pipeline())
        await trio.sleep(1)
        events = await wire.events("job-1")
        record = await jobs.read_job(wire.backend.store, "job-1")
        numbered = [event["seq"] for event in events if "seq" in event]
        assert numbered == list(range(1, record.events + 1))
        assert len({identity(event) for event in events}) == len(events)
        assert events[0]["type"] == "job_pending"
        assert [event["type"] for event in events[-2:]] == ["job_completed", "run_completed"]
        assert await wire.events("job-1", follow=True) == events
        assert await wire.events("job-1", limit=2) == events[-2:]
        assert await wire.events("job-1", limit=2, follow=True) == events[-2:]


async def test_a_followed_stream_says_that_it_lives_and_ends_with_the_job(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire, trio.open_nursery() as nursery:
        await submitted(wire.rig, gated())
        found = []

        async def follow():
            found.extend(
                await wire.events("job-1", follow=True, heartbeat_interval_ms=1000, limit=100)
            )

        nursery.start_soon(follow)
        await trio.sleep(10.5)
        await wire.unary(V1, "CancelJob", job_id="job-1")
        with trio.fail_after(5):
            while not found:
                await trio.sleep(0.1)
        types = [event["type"] for event in found]
        assert types.count("stream_heartbeat") >= 5
        assert "job_cancelled" in types
        told = [event for event in found if event["type"] != "stream_heartbeat"]
        assert len({identity(event) for event in told}) == len(told)


async def test_an_unknown_job_has_no_stream(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        for follow in (True, False):
            with pytest.raises(RefusedError) as raised:
                await wire.events("nobody", follow=follow)
            assert raised.value.status == 5


async def test_what_an_ending_came_to_stands_at_the_top(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        await submitted(wire.rig, gated(), "job-1")
        await trio.sleep(1)
        await wire.unary(V1, "CancelJob", job_id="job-1")
        (event,) = [one for one in await wire.events("job-1") if one["type"] == "job_cancelled"]
        assert event["payload"]
        assert Places(wire.rig.config.runs_root / "job-1", "events").newest(1)


@pytest.mark.parametrize("given_ms, wanted", [(0, 5.0), (-1, 5.0), (1, 0.25), (10**6, 30.0)])
def test_heartbeats_are_neither_too_many_nor_too_few(given_ms, wanted):
    assert heartbeat_s(given_ms) == wanted


async def test_a_client_that_does_not_read_is_cut_and_told(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        await submitted(wire.rig, gated())
        await trio.sleep(1)
        feed = wire.backend.feed
        stuck = trio.Event()

        async def follow():
            with pytest.raises(RefusedError, match="read too slowly") as raised:
                await wire.call(OBSERVABILITY, "StreamEvents", job_id="job-1", follow=True)
            assert raised.value.status == 8
            stuck.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await trio.sleep(1)
            (job,) = feed._jobs.values()
            (reader,) = job.readers
            reader.lagged.set()
            with trio.fail_after(5):
                await stuck.wait()
