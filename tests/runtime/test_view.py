import msgspec
import trio

from mnedge.model.states import JobStatus
from mnedge.runtime.answers import respond
from mnedge.runtime.submission import submit_spec
from mnedge.runtime.view import events_of, job_view
from tests.runtime.rig import a_rig, gated, now, pipeline, two_steps


async def test_a_view_shows_agents_and_owner_while_the_job_runs(tmp_path, autojump_clock):
    async def hang(command):
        await trio.sleep_forever()

    async with a_rig(tmp_path) as rig, rig.host() as host:
        rig.executor.work["worker"] = hang
        await submit_spec(rig.store, rig.config, pipeline(), job_id="job-1", now=now)
        await host.start_job("job-1")
        await trio.sleep(1)
        view = await job_view(rig.store, "job-1")
        assert view.record.status is JobStatus.RUNNING
        assert [(agent.agent_id, agent.status) for agent in view.agents] == [
            ("intake", "ready"),
            ("worker", "running"),
            ("sink", "ready"),
        ]
        assert view.holder is not None
        assert view.last_fact >= 1


async def test_a_view_needs_no_owner_and_starts_from_a_snapshot(tmp_path, autojump_clock):
    async with a_rig(tmp_path, settings={"snapshot_bytes": 1}) as rig:
        async with rig.host() as host:
            await submit_spec(rig.store, rig.config, pipeline(), job_id="job-1", now=now)
            await host.start_job("job-1")
            record = await host.finished("job-1")
        assert await rig.store.journal.latest_snapshot("job-1") is not None
        view = await job_view(rig.store, "job-1")
        assert view.holder is None
        assert view.events == record.events
        assert [agent.processed_messages for agent in view.agents] == [1, 1, 1]


async def test_a_view_shows_the_ledger_and_without_steps_that_there_is_none(
    tmp_path, autojump_clock
):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        for name, spec in (("job-1", two_steps()), ("job-2", pipeline())):
            await submit_spec(rig.store, rig.config, spec, job_id=name, now=now)
            await host.start_job(name)
            await host.finished(name)
        workflow = (await job_view(rig.store, "job-1")).workflow
        assert workflow["step_order"] == ["fetch", "clean"]
        assert {step["status"] for step in workflow["steps"].values()} == {"completed"}
        assert (await job_view(rig.store, "job-2")).workflow == {
            "schema_version": 3,
            "enabled": False,
        }


async def test_what_came_of_a_request_is_told_exactly(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        await submit_spec(rig.store, rig.config, gated(), job_id="job-1", now=now)
        await host.start_job("job-1")
        await trio.sleep(1)
        view = await job_view(rig.store, "job-1")
        first, _ = await respond(rig.store, view, "approve", now=now)
        second, _ = await respond(rig.store, view, "reject", now=now)
        await host.finished("job-1")
        told = [event.type for event in await events_of(rig.store, first) or []]
        assert told[:2] == ["human_input_received", "human_decision_applied"]
        [rejected] = await events_of(rig.store, second) or []
        assert (rejected.type, rejected.payload["reason"]) == (
            "human_input_rejected",
            "already answered",
        )
        unheard = msgspec.structs.replace(second, request_id="nobody heard it")
        assert await events_of(rig.store, unheard) is None
