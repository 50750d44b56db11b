import pytest
import trio

from mnedge.observe.replay import replayed
from mnedge.runtime.jobs import JobNotFoundError
from tests.observe.watched import a_watched_rig, carried
from tests.runtime.rig import pipeline, submitted, succeeded


async def slow(command):
    await trio.sleep(5)
    return succeeded()


async def test_launches_and_messages_come_out_of_the_journal(tmp_path, autojump_clock):
    async with a_watched_rig(tmp_path, {"worker": slow}) as (rig, _, _registry, _spans):
        await carried(rig, pipeline())
        story = await replayed(rig.store, "job-1")
    (launched,) = story.launches
    assert (launched.agent_id, launched.outcome, launched.launch) == ("worker", "succeeded", 1)
    assert launched.ended_at - launched.started_at == pytest.approx(5, abs=0.1)
    assert launched.message.sender == "intake"
    told = story.messages[launched.message.message_id]
    assert story.messages[told.causation_id].to == "intake"
    assert story.complete


async def test_a_launch_whose_owner_died_is_lost_and_the_next_is_another(tmp_path, autojump_clock):
    async with a_watched_rig(tmp_path, {"worker": slow}) as (rig, _, _registry, _spans):
        await submitted(rig, pipeline())
        async with rig.host() as host:
            await host.start_job("job-1")
            await trio.sleep(2)
        async with rig.host() as host:
            await host.start_job("job-1")
            await host.finished("job-1")
        story = await replayed(rig.store, "job-1")
    assert [(one.launch, one.outcome) for one in story.launches] == [(1, "lost"), (2, "succeeded")]
    assert story.launches[0].work_id == story.launches[1].work_id
    assert len(story.recovered_at) == 1


async def test_a_job_that_is_not_there(tmp_path, autojump_clock):
    async with a_watched_rig(tmp_path) as (rig, _, _registry, _spans):
        with pytest.raises(JobNotFoundError):
            await replayed(rig.store, "nothing")
