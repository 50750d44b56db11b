import json
import os
from typing import Any

import msgspec
import pytest
import trio

from mnedge.bus import Published
from mnedge.config.settings import GatewayLimits, Relay
from mnedge.gateway import feed as feeds
from mnedge.gateway.feed import Feed, MarkInvalidError, StreamsError, place_after
from mnedge.model.events import Event
from mnedge.model.records import JobRecord
from mnedge.model.states import JobStatus
from mnedge.part import running
from mnedge.runtime import jobs
from mnedge.runtime.jobs import JobNotFoundError
from mnedge.store.runs.folder import STREAMS
from mnedge.store.runs.places import Mark
from tests.gateway.backends import a_backend
from tests.runtime.rig import Rig, a_rig, pipeline, submitted


class Job:
    """A job whose stream is written by the test, as its owner would."""

    def __init__(self, rig: Rig, job_id: str) -> None:
        self.rig = rig
        self.job_id = job_id
        self.folder = rig.config.data_dir / STREAMS / job_id
        self.folder.mkdir(parents=True)
        self.seq = 0

    def line(self, kind: str = "tick", *, numbered: bool = True, **more: Any) -> dict[str, Any]:
        self.seq += numbered
        return {"type": kind, **({"seq": self.seq} if numbered else {}), **more}

    def write(self, *records: dict[str, Any], publish: bool = True) -> None:
        with (self.folder / "events.jsonl").open("a") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
        if publish:
            event = Event(records[0].get("seq", self.seq), 0.0, "tick", None, {})
            self.rig.bus.publish(Published(self.job_id, [event]))

    async def record(self, status: JobStatus = JobStatus.RUNNING) -> None:
        await jobs.write_job(
            self.rig.store,
            JobRecord(
                job_id=self.job_id,
                graph_id="g",
                job_name="j",
                blueprint_id="b",
                status=status,
                submitted_at=0.0,
                updated_at=0.0,
                events=self.seq,
            ),
        )

    def rotate(self, number: int) -> None:
        os.rename(self.folder / "events.jsonl", self.folder / f"events.{number:03d}.jsonl")


async def a_job(rig: Rig, job_id: str = "job-1") -> Job:
    job = Job(rig, job_id)
    await job.record()
    return job


def a_feed(rig: Rig) -> Feed:
    return Feed(rig.bus, rig.store, lambda: rig.config)


async def marks(reader) -> list[str]:
    return [str(told.mark) async for told in reader]


async def test_a_finished_job_is_told_from_the_beginning_to_its_end(tmp_path, autojump_clock):
    async with a_backend(tmp_path) as (backend, rig):
        await submitted(rig, pipeline())
        await trio.sleep(60)
        async with backend.feed.follow("job-1") as reader:
            told = [one async for one in reader]
    stream = (rig.config.data_dir / STREAMS / "job-1" / "events.jsonl").read_bytes()
    assert b"".join(one.line + b"\n" for one in told) == stream
    numbers = [one.seq for one in told if one.seq]
    assert numbers == list(range(1, len(numbers) + 1))
    assert any(one.head.type == "job_completed" for one in told)


async def test_a_job_is_followed_while_it_runs(tmp_path, autojump_clock):
    async with a_backend(tmp_path) as (backend, rig):
        await submitted(rig, pipeline())
        async with backend.feed.follow("job-1") as reader:
            with trio.fail_after(30):
                kinds = [one.head.type async for one in reader]
    assert kinds[0] == "job_pending"
    assert kinds[-1] == "run_completed"


async def test_who_comes_back_with_a_mark_goes_on_behind_it_also_between_lines_without_number(
    tmp_path,
    autojump_clock,
):
    async with a_rig(tmp_path) as rig, running(a_feed(rig)) as feed:
        job = await a_job(rig)
        job.write(job.line(), job.line("w", numbered=False), job.line("x", numbered=False))
        job.write(job.line(), job.line("job_completed"), job.line("run", numbered=False))
        await job.record(JobStatus.COMPLETED)
        every = ["1", "1.1", "1.2", "2", "3", "3.1"]
        for at, mark in enumerate(["0", *every]):
            async with feed.follow("job-1", after=place_after(mark)) as reader:
                assert await marks(reader) == every[at:]
            assert [str(told.mark) for told in feed.page("job-1", after=place_after(mark))] == (
                every[at:]
            )


async def test_readers_who_begin_at_different_times_all_get_every_record(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, running(a_feed(rig)) as feed:
        job = await a_job(rig)
        got: list[list[str]] = []

        async def read() -> None:
            async with feed.follow("job-1") as reader:
                got.append(await marks(reader))

        async with trio.open_nursery() as nursery:
            for count in range(20):
                nursery.start_soon(read)
                await trio.sleep(0.01)
                job.write(*[job.line(text="x" * 500) for _ in range(count)], job.line())
            await trio.sleep(0.01)
            job.write(job.line("job_failed"))
    assert got == [[str(number) for number in range(1, job.seq + 1)]] * 20


async def test_a_reader_behind_what_is_kept_reads_from_the_disk_and_loses_nothing(
    tmp_path, autojump_clock
):
    async with a_rig(tmp_path) as rig, running(a_feed(rig)) as feed:
        job = await a_job(rig)
        seen: list[int] = []
        async with feed.follow("job-1") as reader, feed.follow("job-1") as quick:
            reader.look = lambda backlog: None  # never lagged
            job.write(job.line())
            await trio.sleep(0.01)
            seen += [told.seq for told in await reader.batch()]
            await quick.batch()
            for part in range(10):
                job.write(*[job.line(text="y" * 1000) for _ in range(100)])
                if part == 5:
                    job.rotate(1)
                await trio.sleep(0.01)
                await quick.batch()
            assert feed._kept_bytes <= feeds.JOB_BYTES + 2000
            job.write(job.line("job_completed"))
            await trio.sleep(0.01)
            while batch := await reader.batch():
                seen += [told.seq for told in batch]
        assert seen == list(range(1, job.seq + 1))
    assert feed._kept_bytes == 0
    assert feed._jobs == {}


async def test_a_reader_who_takes_nothing_while_many_records_come_is_lagged(
    tmp_path, autojump_clock
):
    limits = GatewayLimits(stream_backlog=5)
    settings = {"relay": Relay(limits=limits)}
    async with a_rig(tmp_path, settings=settings) as rig, running(a_feed(rig)) as feed:
        job = await a_job(rig)
        async with feed.follow("job-1") as slow, feed.follow("job-1") as quick:
            job.write(job.line())
            await trio.sleep(0.01)
            assert [told.seq for told in await slow.batch()] == [1]
            await quick.batch()
            for _ in range(6):
                assert not slow.lagged.is_set()
                job.write(job.line())
                await trio.sleep(0.01)
                await quick.batch()
            assert slow.lagged.is_set()
            assert not quick.lagged.is_set()
            assert await slow.batch() == []


async def test_a_line_that_nobody_announces_is_found_by_looking(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, running(a_feed(rig)) as feed:
        job = await a_job(rig)
        async with feed.follow("job-1") as reader:
            job.write(job.line(), publish=False)
            assert [told.seq for told in await reader.batch()] == [1]
            with trio.fail_after(feeds.LOOK_S * 2):
                with trio.move_on_after(0.1):
                    await reader.batch()
                job.write(job.line("said", numbered=False), publish=False)
                assert [told.head.type for told in await reader.batch()] == ["said"]


async def test_a_job_that_was_given_up_without_an_event_ends_its_stream(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, running(a_feed(rig)) as feed:
        job = await a_job(rig)
        job.write(job.line())
        async with feed.follow("job-1") as reader:
            assert len(await reader.batch()) == 1
            await job.record(JobStatus.CANCELLED)
            with trio.fail_after(feeds.LOOK_S * (feeds.RECORD_LOOKS + 2)):
                assert await reader.batch() == []
            assert not reader.lagged.is_set()


async def test_who_begins_behind_the_end_is_let_go_at_once_though_the_record_is_late(
    tmp_path, autojump_clock
):
    async with a_rig(tmp_path) as rig, running(a_feed(rig)) as feed:
        job = await a_job(rig)
        job.write(job.line(), job.line("job_failed"), job.line("run", numbered=False))
        for mark in ("2", "2.1"):
            async with feed.follow("job-1", after=place_after(mark)) as reader:
                with trio.fail_after(feeds.LOOK_S / 2):
                    assert await marks(reader) == ["2.1"] * (mark == "2")
        async with feed.follow("job-1", after=place_after("1")) as reader:
            assert await marks(reader) == ["2", "2.1"]


async def test_all_jobs_are_told_as_they_come_and_who_comes_back_soon_misses_nothing(
    tmp_path, autojump_clock
):
    async with a_rig(tmp_path) as rig, running(a_feed(rig)) as feed:
        one, two = await a_job(rig, "one"), await a_job(rig, "two")
        one.write(one.line())
        await trio.sleep(0.01)
        with feed.everything() as other, feed.everything() as watcher:
            await trio.sleep(0.01)
            one.write(one.line())
            two.write(two.line(), two.line())
            await trio.sleep(0.01)
            seen = [str(told) for told in await watcher.batch()]
            assert seen == ["one:2", "two:1", "two:2"]
            with feed.everything(after="two:1") as again:
                assert not again.gap
                assert [str(told) for told in await again.batch()] == ["two:2"]
            with feed.everything(after="two:77") as lost:
                assert lost.gap
            two.write(two.line("job_completed"))
            await trio.sleep(0.01)
            assert [str(told) for told in await watcher.batch()] == ["two:3"]
            assert len(await other.batch()) == 4
        assert feed._jobs == {}
        assert feed._ring_bytes == 0


async def test_what_a_reader_of_the_job_took_first_is_told_to_those_who_read_all_too(
    tmp_path, autojump_clock
):
    async with a_rig(tmp_path) as rig, running(a_feed(rig)) as feed:
        job = await a_job(rig)
        with feed.everything() as watcher:
            async with feed.follow("job-1") as reader:
                job.write(job.line(), job.line(), publish=False)
                assert len(await reader.batch()) == 2
                rig.bus.publish(Published("job-1", [Event(1, 0.0, "tick", None, {})]))
                await trio.sleep(0.01)
                job.write(job.line())
                await trio.sleep(0.01)
            assert [str(told) for told in await watcher.batch()] == [
                "job-1:1",
                "job-1:2",
                "job-1:3",
            ]


async def test_a_batch_that_was_read_before_the_bus_told_of_it_is_told_once(
    tmp_path, autojump_clock
):
    async with a_rig(tmp_path) as rig, running(a_feed(rig)) as feed:
        job = await a_job(rig)
        with feed.everything() as watcher:
            job.write(job.line())
            await trio.sleep(0.01)
            job.write(job.line("job_completed"), publish=False)
            await trio.sleep(feeds.LOOK_S * 2)
            rig.bus.publish(Published("job-1", [Event(2, 0.0, "job_completed", None, {})]))
            await trio.sleep(feeds.LOOK_S * 2)
            assert [str(told) for told in await watcher.batch()] == ["job-1:1", "job-1:2"]


async def test_one_who_watches_all_jobs_and_takes_nothing_is_lagged(tmp_path, autojump_clock):
    settings = {"relay": Relay(limits=GatewayLimits(stream_backlog=3))}
    async with a_rig(tmp_path, settings=settings) as rig, running(a_feed(rig)) as feed:
        job = await a_job(rig)
        with feed.everything() as watcher:
            job.write(job.line())
            await trio.sleep(0.01)
            assert len(await watcher.batch()) == 1
            job.write(*[job.line() for _ in range(4)])
            await trio.sleep(0.01)
            assert await watcher.batch() == []
            assert watcher.lagged.is_set()


async def test_more_readers_than_this_node_serves_are_refused(tmp_path, autojump_clock):
    settings = {"relay": Relay(limits=GatewayLimits(max_streams=1))}
    async with a_rig(tmp_path, settings=settings) as rig, running(a_feed(rig)) as feed:
        await a_job(rig)
        async with feed.follow("job-1"):
            assert feed.open_streams == 1
            with pytest.raises(StreamsError):
                async with feed.follow("job-1"):
                    pass
        with feed.everything():
            pass
        assert feed.open_streams == 0


async def test_an_unknown_job_has_no_stream(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, running(a_feed(rig)) as feed:
        with pytest.raises(JobNotFoundError):
            async with feed.follow("nothing"):
                pass


def test_a_mark_is_read_as_it_is_written():
    assert place_after("12") == Mark(12)
    assert place_after("12.3") == Mark(12, 3)
    assert str(Mark(12, 3)) == "12.3"
    for text in ("", "x", "-1", "1.", "1.x", "1.2.3", "\uff19", "1" * 40):
        with pytest.raises(MarkInvalidError):
            place_after(text)


async def test_the_newest_records_are_found_from_the_end(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        job = await a_job(rig)
        job.write(*[job.line() for _ in range(5)])
        job.rotate(1)
        job.write(*[job.line() for _ in range(3)])
        assert [told.seq for told in a_feed(rig).newest("job-1", 5)] == [4, 5, 6, 7, 8]
        assert msgspec.json.decode(a_feed(rig).newest("job-1", 1)[0].line)["seq"] == 8
