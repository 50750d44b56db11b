"""Who carries which job, and who follows an owner that died."""

import gc

import msgspec
import pytest
import trio

from mnedge.errors import CorruptError, UnavailableError
from mnedge.model.records import OperatorRequest
from mnedge.model.states import JobStatus, Verb
from mnedge.runtime import jobs
from mnedge.runtime.coordinator import Coordinator
from mnedge.runtime.host import JobHeldError
from mnedge.store.runs.folder import RunFolder
from tests.runtime.rig import (
    EPOCH,
    Rig,
    ScriptedExecutor,
    a_rig,
    gated,
    lines,
    now,
    numbers,
    pipeline,
    submitted,
    succeeded,
    two_steps,
)


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


# ---- bad disks ----


def refuses_until(moment, method):
    """Return the method as it is on a disk that is full until that moment."""

    async def refusing(*args, **kwargs):
        if trio.current_time() < moment:
            raise UnavailableError("no space left on device")
        return await method(*args, **kwargs)

    return refusing


async def test_a_full_disk_ends_no_daemon_that_would_adopt(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host(adopting=True) as host:
        rig.store.claims.claim = refuses_until(30, rig.store.claims.claim)
        await trio.sleep(1)
        await submitted(rig, pipeline())
        await trio.sleep(20)
        assert (await jobs.read_job(rig.store, "job-1")).status is JobStatus.PENDING
        await trio.sleep(20)
        assert (await host.finished("job-1")).status is JobStatus.COMPLETED


async def test_a_daemon_that_starts_on_a_full_disk_adopts_when_there_is_room(
    tmp_path, autojump_clock
):
    async with a_rig(tmp_path) as rig:
        await submitted(rig, pipeline())
        rig.store.claims.claim = refuses_until(30, rig.store.claims.claim)
        async with rig.host(adopting=True) as host:
            await trio.sleep(40)
            assert (await host.finished("job-1")).status is JobStatus.COMPLETED


async def test_a_daemon_goes_on_watching_when_looking_failed(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        table, failures = rig.store.table, []
        watch = table.watch

        async def failing(prefix):
            async for rows in watch(prefix):
                if rows and not failures:
                    failures.append(prefix)
                    raise UnavailableError("the disk that holds it fails")
                yield rows

        table.watch = failing
        async with rig.host(adopting=True) as host:
            await trio.sleep(1)
            await submitted(rig, pipeline())
            await trio.sleep(10)
            assert (await host.finished("job-1")).status is JobStatus.COMPLETED
        assert failures


async def test_a_run_folder_that_cannot_be_opened_yet_is_no_fault(
    tmp_path, autojump_clock, monkeypatch
):
    opened = RunFolder.open

    def opening(folder, **kwargs):
        if trio.current_time() < 30:
            raise UnavailableError("no space left on device")
        return opened(folder, **kwargs)

    monkeypatch.setattr(RunFolder, "open", opening)
    async with a_rig(tmp_path) as rig, rig.host() as host:
        await submitted(rig, pipeline())
        await host.start_job("job-1")
        await trio.sleep(20)
        assert (await jobs.read_job(rig.store, "job-1")).status is JobStatus.PENDING
        record = await host.finished("job-1")
    assert record.status is JobStatus.COMPLETED
    assert record.fault is None


async def test_a_claim_that_a_full_disk_keeps_is_let_go_of_later(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        rig.store.claims.release = refuses_until(30, rig.store.claims.release)
        await submitted(rig, pipeline(), "job-1")
        await submitted(rig, pipeline(), "job-2")
        await host.start_job("job-1")
        assert (await host.finished("job-1")).status is JobStatus.COMPLETED
        await host.start_job("job-2")  # the host is well
        assert (await host.finished("job-2")).status is JobStatus.COMPLETED
        await trio.sleep(40)
        assert await rig.store.claims.holder(jobs.JOBS + "job-1") is None


async def test_a_fault_is_told_when_there_is_room_to_tell_it(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        await submitted(rig, pipeline(), "job-1")
        await submitted(rig, pipeline(), "job-2")
        await rig.store.table.delete(jobs.SPECS + "job-1")
        rig.store.table.put = refuses_until(30, rig.store.table.put)
        await host.start_job("job-1")
        await host.start_job("job-2")
        record = await host.finished("job-1")
        assert (await host.finished("job-2")).status is JobStatus.COMPLETED
    assert record.status is JobStatus.FAULTED
    assert "specification" in record.fault["error"]
    assert "Traceback" not in record.fault["error"]


async def test_the_last_line_of_a_fault_says_what_broke(tmp_path, autojump_clock, monkeypatch):
    async def broken(coordinator):
        raise ExceptionGroup("nursery", [ExceptionGroup("nursery", [ValueError("odd")])])

    monkeypatch.setattr(Coordinator, "run", broken)
    async with a_rig(tmp_path) as rig, rig.host() as host:
        await submitted(rig, pipeline())
        await host.start_job("job-1")
        record = await host.finished("job-1")
    assert record.status is JobStatus.FAULTED
    assert record.fault["error"].splitlines()[-1] == "ValueError: odd"


async def test_a_job_that_is_over_is_not_faulted_by_what_comes_after(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        scan = rig.store.table.scan

        async def scanning(prefix, **more):
            """Look for requests once, when the job is opened; then not for a while."""
            rig.store.table.scan = refuses_until(30, scan)
            return await scan(prefix, **more)

        await submitted(rig, pipeline())
        rig.store.table.scan = scanning
        await host.start_job("job-1")
        record = await host.finished("job-1")
    assert record.status is JobStatus.COMPLETED
    assert record.fault is None


# ---- damage ----


def a_request(job_id, verb):
    return msgspec.msgpack.encode(
        OperatorRequest(request_id="1", job_id=job_id, verb=verb, asked_at=EPOCH)
    )


async def test_a_record_that_cannot_be_read_hurts_no_other_job(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        await submitted(rig, pipeline(), "a-damaged-one")
        await rig.store.table.put(jobs.JOBS + "a-damaged-one", b"\xc1 no record")
        await submitted(rig, pipeline(), "job-1")
        async with rig.host(adopting=True) as host:
            assert (await host.finished("job-1")).status is JobStatus.COMPLETED
        assert [record.job_id for record in await jobs.list_jobs(rig.store)] == ["job-1"]
        with pytest.raises(CorruptError, match="a-damaged-one"):
            await jobs.read_job(rig.store, "a-damaged-one")


async def test_a_job_that_cannot_be_opened_can_be_cancelled(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        await submitted(rig, pipeline())
        await rig.store.table.put(jobs.SPECS + "job-1", b"\xc1 no specification")
        await host.start_job("job-1")
        assert (await host.finished("job-1")).status is JobStatus.FAULTED
        await jobs.ask(rig.store, "job-1", Verb.CANCEL, now=now)
        await host.start_job("job-1")
        record = await host.finished("job-1")
        assert record.status is JobStatus.CANCELLED
        assert record.result == {"reason": "forced cancellation of orphaned job"}
        assert await jobs.waiting_asks(rig.store, "job-1") == []
        assert await jobs.open_jobs(rig.store) == []


async def test_a_run_folder_of_somebody_else_faults_the_job_with_its_reason(
    tmp_path, autojump_clock
):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        await submitted(rig, pipeline())
        folder = rig.config.runs_root / "job-1"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text('{"status": "completed"}')
        await host.start_job("job-1")
        record = await host.finished("job-1")
    assert record.status is JobStatus.FAULTED
    assert "exists already" in record.fault["error"]


# ---- who owns what ----


async def test_a_daemon_takes_a_job_again_when_who_took_it_is_gone(tmp_path, autojump_clock):
    async def slow(command):
        await trio.sleep(10)
        return succeeded()

    async with a_rig(tmp_path) as rig, rig.host(adopting=True) as host:
        rig.executor.work["worker"] = slow
        await submitted(rig, pipeline())
        await trio.sleep(5)
        rig.store.perish(rig.store.holder)
        other = rig.store.beside("another")
        assert await other.claims.claim(jobs.JOBS + "job-1") is not None
        await trio.sleep(60)
        assert (await jobs.read_job(rig.store, "job-1")).status is JobStatus.RUNNING
        assert not host.owns("job-1")
        rig.store.perish("another")
        await trio.sleep(60)
        assert (await host.finished("job-1")).status is JobStatus.COMPLETED


async def test_a_job_is_owned_before_a_daemon_can_see_it(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        daemon = Rig(store=rig.store.beside("daemon"), config=rig.config)
        async with daemon.host(adopting=True) as other:
            await host.reserve("job-1")
            await submitted(rig, pipeline())
            await trio.sleep(10)
            assert not other.owns("job-1")
            await host.start_job("job-1")
            assert (await host.finished("job-1")).status is JobStatus.COMPLETED
        assert daemon.executor.orders == []


async def test_a_job_whose_record_comes_late_is_not_overlooked(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host(adopting=True) as host:
        put = rig.store.table.put

        async def slowly(key, *args, **kwargs):
            await trio.sleep(5 if key.startswith(jobs.JOBS) else 0)
            return await put(key, *args, **kwargs)

        rig.store.table.put = slowly
        await trio.sleep(1)
        await submitted(rig, pipeline())
        await trio.sleep(1)
        assert host.owns("job-1")
        assert (await host.finished("job-1")).status is JobStatus.COMPLETED


async def test_a_host_keeps_nothing_of_jobs_that_are_over(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host(adopting=True) as host:
        for number in range(5):
            await submitted(rig, pipeline(), f"job-{number}")
            await host.start_job(f"job-{number}")
            await host.finished(f"job-{number}")
        await trio.sleep(1)
        gc.collect()
        assert not [thing for thing in gc.get_objects() if isinstance(thing, Coordinator)]


async def test_jobs_that_are_over_are_not_looked_at_again(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        async with rig.host() as host:
            for number in range(5):
                await submitted(rig, pipeline(), f"job-{number}")
                await host.start_job(f"job-{number}")
                await host.finished(f"job-{number}")
        assert await jobs.open_jobs(rig.store) == []
        await rig.store.table.put(jobs.OPEN + "job-3", b"")  # a crash came before it was taken away
        looked, get = [], rig.store.table.get

        async def looking(key):
            looked.append(key)
            return await get(key)

        rig.store.table.get = looking
        async with rig.host(adopting=True):
            await trio.sleep(10)
        assert looked == [jobs.JOBS + "job-3"]
        assert await jobs.open_jobs(rig.store) == []


async def test_what_a_finished_job_left_running_is_killed_by_the_next_owner(
    tmp_path, autojump_clock, monkeypatch
):
    def never(*args, **kwargs):
        raise UnavailableError("no space left on device")

    async with a_rig(tmp_path) as rig:
        with monkeypatch.context() as patch:
            patch.setattr(RunFolder, "finish", never)
            async with trio.open_nursery() as nursery, rig.host() as host:
                await submitted(rig, pipeline())
                await host.start_job("job-1")
                await trio.sleep(5)
                nursery.cancel_scope.cancel()
        assert rig.executor.swept == []
        async with rig.host() as host:
            await host.adopt()
            assert (await host.finished("job-1")).status is JobStatus.COMPLETED
        assert rig.executor.swept == ["job-1"]


async def test_a_stop_lets_what_runs_end_and_launches_nothing_more(tmp_path, autojump_clock):
    async def slow(command):
        await trio.sleep(5)
        return succeeded()

    async with a_rig(tmp_path) as rig:
        rig.executor.work["worker"] = slow
        async with rig.host(adopting=True) as host:
            await submitted(rig, pipeline())
            await trio.sleep(1)
            await submitted(rig, pipeline(), "job-2")
            await trio.sleep(1)
            host.stop()
            await submitted(rig, pipeline(), "job-3")
            began = trio.current_time()
            await host.drained()
            assert 3 <= trio.current_time() - began < 5
            assert not host.owns("job-1")
        assert rig.executor.cancelled == []
        # The end of the attempt was written down, so the whole pipeline is through.
        ends = [(await jobs.read_job(rig.store, f"job-{n}")).status for n in (1, 2, 3)]
        assert ends == [JobStatus.COMPLETED, JobStatus.COMPLETED, JobStatus.PENDING]
        assert len(rig.executor.orders) == 2


async def test_what_comes_after_a_drained_attempt_is_launched_by_the_next_owner(
    tmp_path, autojump_clock
):
    async def slow(command):
        await trio.sleep(5)
        return succeeded()

    async with a_rig(tmp_path) as rig:
        rig.executor.work["fetcher"] = slow
        async with rig.host(adopting=True) as host:
            await submitted(rig, two_steps())
            await trio.sleep(1)
            host.stop()
            await host.drained()
            assert [order.agent_id for order in rig.executor.orders] == ["fetcher"]
        assert (await jobs.read_job(rig.store, "job-1")).status is JobStatus.RUNNING
        async with rig.host(adopting=True) as host:
            record = await host.finished("job-1")
    assert record.status is JobStatus.COMPLETED
    assert [order.agent_id for order in rig.executor.orders] == ["fetcher", "cleaner"]


async def test_an_attempt_that_outlives_the_grace_is_cut_and_run_again(tmp_path, autojump_clock):
    async def slow(command):
        await trio.sleep(3600 if command.launch == 1 else 0)
        return succeeded()

    async with a_rig(tmp_path) as rig:
        rig.executor.work["worker"] = slow
        async with rig.host(adopting=True) as host:
            await submitted(rig, pipeline())
            await trio.sleep(1)
            host.stop()
            with trio.move_on_after(10) as grace:
                await host.drained()
            assert grace.cancelled_caught
        async with rig.host(adopting=True) as host:
            record = await host.finished("job-1")
    assert record.status is JobStatus.COMPLETED
    assert [order.launch for order in rig.executor.orders] == [1, 2]


async def test_an_idle_job_is_let_go_of_at_once(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host(adopting=True) as host:
        await submitted(rig, gated())
        await trio.sleep(10)
        assert host.owns("job-1")
        began = trio.current_time()
        host.stop()
        await host.drained()
        assert trio.current_time() - began < 1
        assert await rig.store.claims.holder("job/job-1") is None
