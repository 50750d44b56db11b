"""Jobs carried to their end in this process, and what signals do to them."""

import io
import json
import signal
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio

from mnedge import faults
from mnedge.cli.carry import Carried, carry, exit_code, hurry, last_words, shown_of, tell_end
from mnedge.cli.live import Silent
from mnedge.cli.screen import Screen
from mnedge.cli.verbs import Asked
from mnedge.daemon.app import Node
from mnedge.model.facts import Outcome
from mnedge.model.states import JobStatus, OutcomeStatus, Verb
from mnedge.runtime.jobs import ask, read_job
from mnedge.runtime.submission import submit_spec
from mnedge.store.condition import DiskFullError
from tests.runtime.rig import ScriptedExecutor, a_rig, now, pipeline, succeeded


class Watching(Silent):
    """A view that keeps what it is shown."""

    def __init__(self):
        super().__init__(Screen(Asked(), io.StringIO()))
        self.types = []
        self.drawn = 0

    def take(self, shown, events):
        self.types += [event.type for event in events]

    def draw(self):
        self.drawn += 1


async def for_ever(command):
    await trio.sleep_forever()


async def stubborn(command):
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(60)


async def failing(command):
    said = {"exit_code": 3, "stdout": "half", "stderr": "no\nspace\x1b[2J", "attempts": 1}
    return Outcome(status=OutcomeStatus.FAILED, error=said)


@asynccontextmanager
async def a_node(tmp_path, work=None):
    """Have a real host on the virtual clock; its worker does what the test says."""
    executor = ScriptedExecutor({} if work is None else {"worker": work})
    async with a_rig(tmp_path, executor=executor) as rig, rig.host() as host:
        yield Node(config=rig.config, store=rig.store, bus=rig.bus, host=host, runners={})


async def submitted(node, job_id="job-1"):
    record = await submit_spec(node.store, node.config, pipeline(), job_id=job_id, now=now)
    return await shown_of(node.store, record)


async def test_a_job_is_shown_to_its_end(tmp_path, autojump_clock):
    async with a_node(tmp_path) as node:
        shown = await submitted(node)
        view = Watching()
        carried = await carry(node, [shown], view, now=now, cancels=True)
    assert [record.status for record in carried.records] == [JobStatus.COMPLETED]
    assert view.types[0] == "job_pending"
    assert view.types[-1] == "job_completed"
    assert view.drawn == 1
    assert exit_code(carried) == 0


async def test_several_jobs_are_carried_together(tmp_path, autojump_clock):
    async with a_node(tmp_path) as node:
        every = [await submitted(node, f"job-{n}") for n in range(3)]
        carried = await carry(node, every, Watching(), now=now, cancels=False)
    assert [record.job_id for record in carried.records] == ["job-0", "job-1", "job-2"]
    assert exit_code(carried) == 0


async def test_the_first_ctrl_c_cancels_the_job(tmp_path, autojump_clock):
    async with a_node(tmp_path, for_ever) as node, trio.open_nursery() as nursery:
        shown = await submitted(node)
        view = Watching()

        async def press():
            await trio.sleep(2)
            signal.raise_signal(signal.SIGINT)

        nursery.start_soon(press)
        carried = await carry(node, [shown], view, now=now, cancels=True)
    assert carried.records[0].status is JobStatus.CANCELLED
    assert carried.interrupted
    assert not carried.left
    assert "Ctrl-C again" in view.screen.stream.getvalue()
    assert exit_code(carried) == 130


async def test_a_second_ctrl_c_is_in_a_hurry(tmp_path, autojump_clock):
    async with a_node(tmp_path, stubborn) as node, trio.open_nursery() as nursery:
        shown = await submitted(node)

        async def press():
            for _ in range(2):
                await trio.sleep(2)
                signal.raise_signal(signal.SIGINT)

        nursery.start_soon(press)
        carried = await carry(node, [shown], Watching(), now=now, cancels=True)
    assert carried.hasty
    assert carried.left
    assert exit_code(carried) == 130
    assert "left while it was being cancelled" in told(carried)[1]


@pytest.mark.live
async def test_whoever_is_in_a_hurry_has_all_workers_killed():
    async with hurry() as hasten:
        worker = await trio.lowlevel.open_process(["sleep", "600"])
        hasten()
        with trio.fail_after(10):
            assert await worker.wait() == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_shutdown_leaves_the_job_as_it_is(tmp_path, autojump_clock, number):
    async with a_node(tmp_path, for_ever) as node, trio.open_nursery() as nursery:
        shown = await submitted(node)

        async def end():
            await trio.sleep(2)
            signal.raise_signal(number)

        nursery.start_soon(end)
        carried = await carry(node, [shown], Watching(), now=now, cancels=True)
    assert carried.left
    assert carried.records[0].status is JobStatus.RUNNING
    assert exit_code(carried) == 130


async def test_without_cancelling_the_first_ctrl_c_leaves(tmp_path, autojump_clock):
    async with a_node(tmp_path, for_ever) as node, trio.open_nursery() as nursery:
        shown = await submitted(node)

        async def press():
            await trio.sleep(2)
            signal.raise_signal(signal.SIGINT)

        nursery.start_soon(press)
        carried = await carry(node, [shown], Watching(), now=now, cancels=False)
        assert carried.left
        assert (await read_job(node.store, "job-1")).status is JobStatus.RUNNING


async def test_a_paused_job_does_not_end_the_look_at_one_that_goes_on(tmp_path, autojump_clock):
    async def slow(command):
        await trio.sleep(60)
        return succeeded()

    async with a_node(tmp_path, slow) as node, trio.open_nursery() as nursery:
        every = [await submitted(node, "job-1"), await submitted(node, "job-2")]

        async def pause():
            await trio.sleep(1)
            await ask(node.store, "job-1", Verb.PAUSE, now=now)

        nursery.start_soon(pause)
        carried = await carry(node, every, Watching(), now=now, cancels=False)
    assert [record.status for record in carried.records] == [JobStatus.PAUSED, JobStatus.COMPLETED]
    assert carried.paused


async def test_what_is_paused_is_left_to_a_person_if_nobody_may_be_there(tmp_path, autojump_clock):
    async with a_node(tmp_path, for_ever) as node, trio.open_nursery() as nursery:
        every = [await submitted(node, "job-1")]

        async def pause():
            await trio.sleep(2)
            await ask(node.store, "job-1", Verb.PAUSE, now=now)

        nursery.start_soon(pause)
        carried = await carry(node, every, Watching(), now=now, cancels=False)
    assert carried.paused
    assert carried.records[0].status is JobStatus.PAUSED
    code, text = told(carried)
    assert code == 1
    assert "! job-1 is paused" in text
    assert "mnedge job resume JOB, then mnedge job recover job-1" in text


async def test_whoever_watches_a_run_waits_until_it_is_resumed(tmp_path, autojump_clock):
    async def slow(command):
        await trio.sleep(30)
        return succeeded()

    async with a_node(tmp_path, slow) as node, trio.open_nursery() as nursery:
        shown = await submitted(node)

        async def pause_and_resume():
            await trio.sleep(2)
            await ask(node.store, "job-1", Verb.PAUSE, now=now)
            await trio.sleep(600)
            await ask(node.store, "job-1", Verb.RESUME, now=now)

        nursery.start_soon(pause_and_resume)
        carried = await carry(node, [shown], Watching(), now=now, cancels=True)
    assert carried.records[0].status is JobStatus.COMPLETED
    assert not carried.left


async def test_a_full_disk_is_told_and_so_is_its_end(tmp_path, autojump_clock):
    async with a_node(tmp_path) as node, trio.open_nursery() as nursery:
        shown = await submitted(node)
        view = Watching()

        async def fill_and_empty():
            with faults.armed("journal.append.during:1+:enospc"):
                await trio.sleep(60)

        nursery.start_soon(fill_and_empty)
        await trio.lowlevel.checkpoint()
        carried = await carry(node, [shown], view, now=now, cancels=True)
        await trio.sleep(2)
    assert carried.records[0].status is JobStatus.COMPLETED
    assert "! waiting: " in view.screen.stream.getvalue()


async def test_what_cannot_be_cancelled_is_left(tmp_path, autojump_clock, monkeypatch):
    async def full(*_, **__):
        raise DiskFullError("the disk is full")

    async with a_node(tmp_path, for_ever) as node, trio.open_nursery() as nursery:
        shown = await submitted(node)
        view = Watching()

        async def press():
            await trio.sleep(5)
            monkeypatch.setattr("mnedge.runtime.jobs.ask", full)
            signal.raise_signal(signal.SIGINT)

        nursery.start_soon(press)
        carried = await carry(node, [shown], view, now=now, cancels=True)
    assert carried.left
    assert "it cannot be cancelled: the disk is full" in view.screen.stream.getvalue()


async def test_the_last_words_of_the_worker_that_failed_are_kept(tmp_path, autojump_clock):
    async with a_node(tmp_path, failing) as node:
        shown = await submitted(node)
        carried = await carry(node, [shown], Watching(), now=now, cancels=True)
        assert await last_words(node.store, carried.records[0]) == ("no", "space␛[2J")
    assert carried.last_words == ("no", "space␛[2J")
    assert exit_code(carried) == 1


async def ended(tmp_path, work=None, jobs=1):
    async with a_node(tmp_path, work) as node:
        every = [await submitted(node, f"job-{n}") for n in range(jobs)]
        return await carry(node, every, Watching(), now=now, cancels=True)


def told(carried, **asked):
    stream = io.StringIO()
    code = tell_end(Screen(Asked(**asked), stream), carried)
    return code, stream.getvalue()


async def test_the_end_of_one_job_is_told_in_full(tmp_path, autojump_clock):
    carried = await ended(tmp_path)
    code, text = told(carried)
    assert code == 0
    assert "✓ under_test completed" in text
    document = json.loads(told(carried, output="json")[1])
    assert document["job"]["job_id"] == "job-0"
    assert json.loads(told(carried, output="ndjson")[1]) == document


async def test_the_ends_of_many_jobs_are_told_in_a_line_each(tmp_path, autojump_clock):
    carried = await ended(tmp_path, jobs=2)
    assert told(carried)[1].count("✓ under_test completed") == 2
    assert len(json.loads(told(carried, output="json")[1])) == 2
    assert len(told(carried, output="ndjson")[1].splitlines()) == 2


async def test_jobs_that_were_left_say_how_to_go_on(tmp_path, autojump_clock):
    over = (await ended(tmp_path)).records[0]
    open_ = msgspec.structs.replace(over, status=JobStatus.RUNNING, job_id="job-9")
    code, text = told(Carried([over, open_], left=True))
    assert code == 130
    first, last = text.strip().splitlines()
    assert first.startswith("✓ under_test completed")
    assert last == "! left as it is; mnedge job recover job-9 goes on"
