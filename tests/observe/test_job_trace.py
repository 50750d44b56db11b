import trio

from mnedge.model.tracing import job_context, launch_span_id, trace_id_of
from mnedge.observe.job_trace import trace_for, trace_of_job
from tests.observe.watched import a_watched_rig, carried
from tests.runtime.rig import pipeline, submitted, succeeded, two_steps


async def slow(command):
    await trio.sleep(5)
    return succeeded()


async def test_a_job_killed_and_recovered_is_one_trace_complete_with_a_link(
    tmp_path, autojump_clock
):
    async with a_watched_rig(tmp_path, {"worker": slow}) as (rig, watch, _, spans):
        await submitted(rig, pipeline())
        async with rig.host() as host:
            await host.start_job("job-1")
            await trio.sleep(2)
        spans._ring.clear()  # another process: what was in memory is gone
        async with rig.host() as host:
            await host.start_job("job-1")
            await host.finished("job-1")
        trace = await trace_of_job("job-1", rig.store)
        same = await trace_for(trace["trace_id"], spans, watch, rig.store)
    assert trace["trace_id"] == trace_id_of("job-1")
    job, first, second = trace["spans"]
    assert {span["trace_id"] for span in trace["spans"]} == {trace["trace_id"]}
    assert first["parent_id"] == second["parent_id"] == job["span_id"]
    assert job["span_id"] == job_context("job-1").span_id
    assert first["status"] == "lost"
    assert first["started_at"] < first["ended_at"] <= second["started_at"]
    work_id = second["attributes"]["mnedge.attempt_id"]
    assert second["links"] == [launch_span_id("job-1", work_id, 1)] == [first["span_id"]]
    assert {span["span_id"] for span in same["spans"]} == {job["span_id"], first["span_id"],
                                                          second["span_id"]}  # fmt: skip


async def test_steps_stand_between_their_job_and_their_launches(tmp_path, autojump_clock):
    async with a_watched_rig(tmp_path) as (rig, _watch, _, _spans):
        await carried(rig, two_steps())
        trace = await trace_of_job("job-1", rig.store)
    job = trace["spans"][0]
    steps = [span for span in trace["spans"] if span["name"].startswith("step ")]
    launches = [span for span in trace["spans"] if span["name"].startswith("attempt ")]
    assert len(steps) == 2
    assert {span["parent_id"] for span in steps} == {job["span_id"]}
    assert {span["parent_id"] for span in launches} == {span["span_id"] for span in steps}


async def test_what_is_under_way_is_told_as_open(tmp_path, autojump_clock):
    async with a_watched_rig(tmp_path, {"worker": slow}) as (rig, watch, _, spans):
        await submitted(rig, pipeline())
        async with rig.host() as host:
            await host.start_job("job-1")
            await trio.sleep(2)
            trace = await trace_for(trace_id_of("job-1"), spans, watch, rig.store)
    assert [one["job_id"] for one in trace["open"]] == ["job-1"]
    assert {span["name"] for span in trace["spans"]} == {"job", "attempt worker"}
