import pytest
import trio

from mnedge.errors import UnavailableError
from mnedge.model.codec import decode_fact
from mnedge.model.facts import OperatorAsked
from mnedge.model.states import JobStatus, Verb
from mnedge.runtime import jobs
from mnedge.runtime.submission import submit_spec
from tests.runtime.rig import EPOCH, a_rig, now, pipeline


async def test_a_job_is_found_by_id_by_its_beginning_and_as_the_last(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        for name in ("alpha-1", "alpha-2", "beta-1"):
            await submit_spec(rig.store, rig.config, pipeline(), job_id=name, now=now)
            await trio.sleep(1)
        assert (await jobs.find_job(rig.store, "alpha-2")).job_id == "alpha-2"
        assert (await jobs.find_job(rig.store, "b")).job_id == "beta-1"
        assert (await jobs.find_job(rig.store, "last")).job_id == "beta-1"
        with pytest.raises(jobs.JobNotFoundError, match="several jobs begin") as caught:
            await jobs.find_job(rig.store, "alpha")
        assert caught.value.details["near"] == ["alpha-2", "alpha-1"]
        with pytest.raises(jobs.JobNotFoundError) as caught:
            await jobs.find_job(rig.store, "betta-1")
        assert "beta-1" in caught.value.hint


async def test_without_jobs_there_is_no_last_one(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        with pytest.raises(jobs.JobNotFoundError, match="there are no jobs yet"):
            await jobs.find_job(rig.store, "last")
        with pytest.raises(jobs.JobNotFoundError, match="no job is called"):
            await jobs.read_job(rig.store, "nobody")
        with pytest.raises(jobs.JobNotFoundError, match="specification"):
            await jobs.read_spec(rig.store, "nobody")


async def test_jobs_are_listed_newest_first_and_by_status(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        for name in ("one", "two"):
            await submit_spec(rig.store, rig.config, pipeline(), job_id=name, now=now)
            await trio.sleep(1)
        await host.start_job("one")
        await host.finished("one")
        listed = await jobs.list_jobs(rig.store)
        assert [record.job_id for record in listed] == ["one", "two"]  # "one" moved last
        pending = await jobs.list_jobs(rig.store, statuses={JobStatus.PENDING})
        assert [record.job_id for record in pending] == ["two"]
        assert len(await jobs.list_jobs(rig.store, limit=1)) == 1


async def test_requests_wait_oldest_first_until_they_are_answered(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        await submit_spec(rig.store, rig.config, pipeline(), job_id="job-1", now=now)
        first = await jobs.ask(rig.store, "job-1", Verb.CANCEL, now=now, by="ada", reason="late")
        await trio.sleep(1)
        second = await jobs.ask(rig.store, "job-1", Verb.CANCEL, now=now)
        assert await jobs.waiting_asks(rig.store, "job-1") == [first, second]
        assert (first.by, first.reason, first.asked_at) == ("ada", "late", EPOCH)
        await jobs.answered(rig.store, first)
        assert await jobs.waiting_asks(rig.store, "job-1") == [second]


async def test_a_request_that_nobody_hears_is_told_and_stands(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        await submit_spec(rig.store, rig.config, pipeline(), job_id="job-1", now=now)
        request = await jobs.ask(rig.store, "job-1", Verb.CANCEL, now=now)
        with pytest.raises(jobs.JobUnsettledError, match="within 3 s") as caught:
            await jobs.settled(rig.store, request, timeout_s=3)
        assert isinstance(caught.value, UnavailableError)
        assert await jobs.waiting_asks(rig.store, "job-1") == [request]


async def test_a_request_that_shows_nothing_in_the_record_is_settled_when_it_is_taken(
    tmp_path, autojump_clock
):
    async def hang(command):
        await trio.sleep_forever()

    async with a_rig(tmp_path) as rig:
        rig.executor.work["worker"] = hang
        await submit_spec(rig.store, rig.config, pipeline(), job_id="job-1", now=now)
        with pytest.raises(jobs.JobStatusError, match="nobody waits for an answer: job-1"):
            await jobs.ask(rig.store, "job-1", Verb.RESPOND, now=now)
        async with rig.host() as host:
            await host.start_job("job-1")
            await trio.sleep(1)
            details = {"request_id": "r", "decision": "approve"}
            request = await jobs.ask(rig.store, "job-1", Verb.RESPOND, now=now, details=details)
            assert (await jobs.settled(rig.store, request, timeout_s=5)).job_id == "job-1"
        [kept] = [
            fact
            for _, content in await rig.store.journal.read("job-1")
            if isinstance(fact := decode_fact(content), OperatorAsked)
        ]
        assert kept.details == details


async def test_what_a_job_takes_over_is_kept_until_it_has_begun(tmp_path, autojump_clock):
    carried = {"fetch": {"status": "completed", "output": "x" * 100_000}}
    async with a_rig(tmp_path) as rig:
        await submit_spec(
            rig.store, rig.config, pipeline(), job_id="job-1", now=now, carried=carried
        )
        assert await jobs.carried_to(rig.store, "job-1") == carried
        async with rig.host() as host:
            await host.start_job("job-1")
            await host.finished("job-1")
        assert await jobs.carried_to(rig.store, "job-1") == {}
        [(_, first)] = await rig.store.journal.read("job-1", limit=1)
        assert decode_fact(first).carried == carried
