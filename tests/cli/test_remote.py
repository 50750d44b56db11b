"""The desk of a daemon, over its whole API, without a socket."""

from contextlib import asynccontextmanager

import pytest
import trio

from mnedge.cli import remote
from mnedge.cli.link import Link
from mnedge.cli.remote import Remote, sent
from mnedge.errors import ConflictError, NotFoundError
from mnedge.model.states import AgentKind, JobStatus, Verb
from mnedge.runtime.jobs import find_job
from mnedge.runtime.view import job_view
from tests.gateway.backends import a_backend, client
from tests.runtime.rig import a_spec, agent, lines, pipeline, submitted


@asynccontextmanager
async def asking(tmp_path):
    async with a_backend(tmp_path) as (backend, rig), client(backend) as http:
        yield Remote(Link(http, "the daemon")), rig


async def hang(command):
    await trio.sleep_forever()


def hanging():
    return a_spec([agent("start", AgentKind.EXECUTOR)], [], {"start": [{}]})


async def test_a_job_is_found_listed_and_looked_into_as_in_the_store(tmp_path, autojump_clock):
    async with asking(tmp_path) as (desk, rig):
        await submitted(rig, pipeline())
        await trio.sleep(1)
        kept = await find_job(rig.store, "job-1")
        assert await desk.find("last") == kept
        assert await desk.jobs(set(JobStatus), 5) == [kept]
        assert await desk.jobs({JobStatus.PAUSED}, 5) == []
        look = await desk.look("job-1")
        view = await job_view(rig.store, "job-1")
        assert (look.view.agents, look.view.workflow) == (view.agents, view.workflow)
        assert (look.view.events, look.view.last_fact) == (view.events, view.last_fact)
        assert (await desk.with_result(kept)) == kept
        with pytest.raises(NotFoundError) as caught:
            await desk.find("nobody")
        assert caught.value.code == "job.not_found"


async def test_events_are_told_as_they_stand_in_the_run_folder(tmp_path, autojump_clock):
    async with asking(tmp_path) as (desk, rig):
        await submitted(rig, pipeline())
        await trio.sleep(1)
        record = await desk.find("job-1")
        stream = await desk.events(record)
        assert await stream.look() == lines(rig, "job-1")
        assert await stream.look() == []
        later: list = []
        await (await desk.events(record, after=3)).follow(later.extend)
        assert next(one["seq"] for one in later if "seq" in one) == 4
        assert await (await desk.logs(record)).look()


async def test_a_job_is_paused_and_cancelled_and_refuses_what_it_cannot(tmp_path, autojump_clock):
    async with asking(tmp_path) as (desk, rig):
        rig.executor.work["start"] = hang
        await submitted(rig, hanging())
        await trio.sleep(1)
        done = await desk.steer("job-1", Verb.PAUSE, "tea", 30.0)
        assert (done.record.status, done.acted, done.owned) == (JobStatus.PAUSED, True, True)
        with pytest.raises(ConflictError) as caught:
            await desk.steer("job-1", Verb.PAUSE, "", 30.0)
        assert caught.value.code == "job.status"
        assert not (await desk.steer("job-1", Verb.CANCEL, "", 0.0)).acted
        await trio.sleep(1)
        assert (await desk.find("job-1")).status is JobStatus.CANCELLED


async def test_the_node_is_looked_at(tmp_path, autojump_clock):
    async with asking(tmp_path) as (desk, _):
        assert (await desk.health())["status"] == "ok"
        assert len(await desk.nodes()) == 1
        assert (await desk.resources())["pools"]["default"]["capacity"] == 4
        assert await desk.requests(None) == []
        assert await desk.runs(None, 5) == []
        assert await desk.definitions(True) == []


def test_files_are_sent_as_text_or_as_base64():
    assert sent({"a": b"text", "b": b"\xff"}) == {"a": "text", "b": {"base64": "/w=="}}


def test_what_this_version_does_not_understand_is_strange():
    with pytest.raises(remote.DaemonStrangeError):
        remote._as(int, "one")
