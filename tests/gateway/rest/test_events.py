import json

import pytest
import trio

from mnedge.config.settings import GatewayLimits, Relay
from mnedge.gateway.rest import streaming
from mnedge.store.runs.folder import STREAMS
from tests.gateway.backends import a_backend, client, served
from tests.gateway.rest.bundles import flow, over, submitted, working
from tests.gateway.rest.streams import listening
from tests.gateway.rest.test_steering import never
from tests.runtime.rig import pipeline
from tests.runtime.rig import submitted as submitted_spec


def stream_of(node, job_id: str) -> list[dict]:
    """Return the records of our own stream on the disk."""
    place = node.rig.config.data_dir / STREAMS / job_id / "events.jsonl"
    return [json.loads(line) for line in place.read_text().splitlines()]


@pytest.mark.drives("GET /api/v1/jobs/{job_id}/events")
async def test_events_are_the_records_of_the_stream_page_by_page(node):
    job_id = await submitted(node.api)
    await over(node.api, job_id)
    every = stream_of(node, job_id)
    seen, after = [], "0"
    while page := await node.get(f"/jobs/{job_id}/events", params={"after": after, "limit": 4}):
        if not page["data"]:
            break
        seen += page["data"]
        after = page["next"]
    assert seen == every


async def test_events_are_chosen_by_type_and_agent(node):
    job_id = await submitted(node.api)
    await over(node.api, job_id)
    found = (await node.get(f"/jobs/{job_id}/events?type=job_*,run_started"))["data"]
    assert {one["type"] for one in found} == {
        "job_pending", "job_validated", "job_scheduled", "job_running", "run_started",
        "job_completed",
    }  # fmt: skip
    found = (await node.get(f"/jobs/{job_id}/events?agent=end"))["data"]
    assert {one["agent_id"] for one in found} == {"end"}


async def test_a_long_poll_is_answered_when_something_comes_or_the_time_is_over(node):
    node.rig.executor.work["worker"] = never
    job_id = await submitted(node.api, working())
    await trio.sleep(5)
    page = await node.get(f"/jobs/{job_id}/events?limit=5000")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.post, f"/jobs/{job_id}/cancel")
        found = await node.get(f"/jobs/{job_id}/events?after={page['next']}&wait=30")
    assert found["data"]
    await over(node.api, job_id)
    page = await node.get(f"/jobs/{job_id}/events?limit=5000")
    empty = await node.get(f"/jobs/{job_id}/events?after={page['next']}&wait=5")
    assert empty == {"data": [], "next": page["next"]}


@pytest.mark.drives("GET /api/v1/jobs/{job_id}/events/stream")
async def test_a_stream_tells_every_record_once_and_ends_with_the_job(node):
    app = served(node.backend)
    job_id = await submitted(node.api, working())
    async with listening(app, f"/api/v1/jobs/{job_id}/events/stream") as listener:
        assert listener.status == 200
        assert listener.headers["content-type"].startswith("text/event-stream")
        assert listener.headers["cache-control"] == "no-store"
        said = await listener.rest()
    assert [json.loads(one.data) for one in said[:-1]] == stream_of(node, job_id)
    assert [one.event for one in said[:-1]] == [one["type"] for one in stream_of(node, job_id)]
    assert said[-1].event == "end"
    assert json.loads(said[-1].data) == {"job_id": job_id, "status": "completed"}
    assert listener.ended


async def test_a_client_that_comes_back_with_any_id_misses_nothing_and_sees_nothing_twice(node):
    app = served(node.backend)
    job_id = await submitted(node.api)
    await over(node.api, job_id)
    path = f"/api/v1/jobs/{job_id}/events"
    accept = {"accept": "text/event-stream"}
    async with listening(app, path, headers=accept) as listener:
        every = (await listener.rest())[:-1]
    assert len({one.id for one in every}) == len(every)
    for at, one in enumerate(every):
        headers = {**accept, "last-event-id": one.id}
        async with listening(app, path, "after=1", headers=headers) as listener:
            assert (await listener.rest())[:-1] == every[at + 1 :]


async def hanging(rig) -> None:
    """Have job-1, whose only worker never ends."""
    rig.executor.work["worker"] = never
    await submitted_spec(rig, pipeline())
    await trio.sleep(10)


STREAM = "/api/v1/jobs/job-1/events/stream"


async def test_a_stream_without_news_sends_heartbeats_and_ends_when_the_client_hangs_up(
    tmp_path, autojump_clock
):
    async with a_backend(tmp_path) as (backend, rig):
        await hanging(rig)
        async with listening(served(backend), STREAM) as listener:
            with trio.move_on_after(streaming.HEARTBEAT_S * 3):
                await listener.rest()
            assert listener.comments >= 2
            assert backend.feed.open_streams == 1
        assert backend.feed.open_streams == 0
        assert not listener.ended


async def test_a_reader_that_takes_nothing_is_told_that_it_is_lagged_and_cut(
    tmp_path, autojump_clock
):
    settings = {"relay": Relay(limits=GatewayLimits(stream_backlog=3))}
    async with a_backend(tmp_path, settings=settings) as (backend, rig), client(backend) as api:
        await hanging(rig)
        async with listening(served(backend), STREAM) as listener:
            first = await listener.next()
            await trio.sleep(1)
            for _ in range(3):
                await api.post("/api/v1/jobs/job-1/pause")
                await api.post("/api/v1/jobs/job-1/resume")
            said = [first, *(await listener.rest())]
            assert said[-1].event == "lagged"
            assert listener.ended
            last = json.loads(said[-1].data)["after"]
            assert last == said[-2].id
        await api.post("/api/v1/jobs/job-1/cancel")
        headers = {"last-event-id": last}
        async with listening(served(backend), STREAM, headers=headers) as listener:
            rest = (await listener.rest())[:-1]
        ids = [told.mark for told in backend.feed.page("job-1")]
        assert [one.id for one in (*said[:-1], *rest)] == [str(mark) for mark in ids]


async def test_a_lagged_reader_that_never_takes_anything_again_is_cut_in_the_middle(
    tmp_path, autojump_clock
):
    settings = {"relay": Relay(limits=GatewayLimits(stream_backlog=3))}
    async with a_backend(tmp_path, settings=settings) as (backend, rig), client(backend) as api:
        await hanging(rig)
        async with listening(served(backend), STREAM) as listener:
            await trio.sleep(1)
            assert backend.feed.open_streams == 1
            for _ in range(4):
                await api.post("/api/v1/jobs/job-1/pause")
                await api.post("/api/v1/jobs/job-1/resume")
            await trio.sleep(streaming.GRACE_S + 2)
            assert backend.feed.open_streams == 0
            assert not listener.ended


async def test_a_socket_that_takes_nothing_is_given_up_though_little_comes(
    tmp_path, autojump_clock
):
    async with a_backend(tmp_path) as (backend, rig):
        await hanging(rig)
        async with listening(served(backend), STREAM) as listener:
            await trio.sleep(streaming.STUCK_S + 5)
            assert backend.feed.open_streams == 0
            assert not listener.ended


@pytest.mark.drives("GET /api/v1/events")
async def test_the_events_of_all_jobs_are_told_with_ids_that_name_the_job(node):
    async with listening(served(node.backend), "/api/v1/events", "type=job_completed") as listener:
        await trio.sleep(1)
        first = await submitted(node.api, {"manifest": flow(), "run_id": "first"})
        await over(node.api, first)
        second = await submitted(node.api, {"manifest": flow(), "run_id": "second"})
        await over(node.api, second)
        said = [await listener.next(), await listener.next()]
    assert [one.id.partition(":")[0] for one in said] == [first, second]
    records = [*stream_of(node, first), *stream_of(node, second)]
    assert [json.loads(one.data) for one in said] == [
        one for one in records if one["type"] == "job_completed"
    ]


async def test_who_comes_back_to_all_events_too_late_is_told_of_the_gap(node):
    async with listening(served(node.backend), "/api/v1/events", "after=old:1") as listener:
        assert (await listener.next()).event == "gap"


async def test_more_streams_than_there_may_be_are_refused_before_they_begin(
    tmp_path, autojump_clock
):
    settings = {"relay": Relay(limits=GatewayLimits(max_streams=0))}
    async with a_backend(tmp_path, settings=settings) as (backend, _), client(backend) as api:
        answer = await api.get("/api/v1/events")
        assert answer.status_code == 429
        assert answer.json()["code"] == "stream.too_many"
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("after", ["x", "-1", "1.2.3"])
async def test_a_place_that_no_stream_ever_told_is_refused(node, after):
    job_id = await submitted(node.api)
    told = await node.get(f"/jobs/{job_id}/events", 400, params={"after": after})
    assert told["code"] == "stream.mark_invalid"
