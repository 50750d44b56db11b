import pytest

from mnedge.model.facts import Emission, Structured
from mnedge.model.states import AgentKind, JobStatus
from mnedge.runtime import jobs
from mnedge.runtime.view import job_view
from tests.gateway.console.consoles import ORIGIN, a_browser, words
from tests.gateway.console.test_job_pages import doing, failing, never, over
from tests.runtime.rig import a_spec, agent, gated, pipeline, submitted, succeeded, two_steps


async def status(browser, job_id="job-1"):
    return (await jobs.read_job(browser.rig.store, job_id)).status


@pytest.mark.drives("POST /jobs/{job_id}/pause")
@pytest.mark.drives("POST /jobs/{job_id}/resume")
@pytest.mark.drives("POST /jobs/{job_id}/cancel")
async def test_a_job_is_steered_by_forms_and_each_is_written_down(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        browser.rig.executor.work["worker"] = never
        await submitted(browser.rig, pipeline())
        await doing(browser.rig)
        answer = await browser.post("/jobs/job-1/pause")
        assert answer.headers["location"] == "/jobs/job-1?done=pause"
        assert "The job is paused." in words(await browser.get(answer.headers["location"]))
        assert await status(browser) is JobStatus.PAUSED
        await browser.post("/jobs/job-1/resume")
        assert await status(browser) is JobStatus.RUNNING
        await browser.post("/jobs/job-1/cancel", reason="enough")
        assert await status(browser) is JobStatus.CANCELLED
        records = await browser.backend.audit.newest(10)
        assert {(one.action, one.object, one.result) for one in records} >= {
            ("job.pause", "job/job-1", "allow"),
            ("job.resume", "job/job-1", "allow"),
            ("job.cancel", "job/job-1", "allow"),
        }


async def test_what_cannot_be_done_is_said_on_a_page(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        await submitted(browser.rig, pipeline())
        await over(browser.rig)
        answer = await browser.post("/jobs/job-1/cancel", 409)
        assert "already in a terminal state" in words(answer.text)


@pytest.mark.drives("POST /jobs/{job_id}/retry")
async def test_a_failed_job_goes_on_as_a_new_one(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        browser.rig.executor.work["cleaner"] = failing
        await submitted(browser.rig, two_steps())
        await over(browser.rig)
        browser.rig.executor.work.clear()
        answer = await browser.post("/jobs/job-1/retry")
        new = answer.headers["location"].removeprefix("/jobs/").removesuffix("?done=retried")
        await over(browser.rig, new)
        assert await status(browser, new) is JobStatus.COMPLETED


@pytest.mark.drives("POST /jobs/{job_id}/human-requests/{request_id}/respond")
async def test_an_answer_is_given_and_goes_back_to_where_it_was_asked(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        await submitted(browser.rig, gated())
        await doing(browser.rig)
        (asked,) = (await job_view(browser.rig.store, "job-1")).human_requests
        path = f"/jobs/job-1/human-requests/{asked['request_id']}/respond"
        answer = await browser.post(path, decision="perhaps", status=400)
        assert "no decision that request" in words(answer.text)
        back = "/approvals?done=answered"
        answer = await browser.post(path, decision="approve", comment="good", back=back)
        assert answer.headers["location"] == back
        await over(browser.rig)
        assert await status(browser) is JobStatus.COMPLETED


@pytest.mark.drives("POST /jobs/{job_id}/dead-letters/{message_id}/retry")
@pytest.mark.drives("POST /jobs/{job_id}/dead-letters/{message_id}/discard")
async def test_dead_letters_are_shown_retried_and_discarded(tmp_path, autojump_clock):
    async def emits(_command):
        lost = [Emission(type="lost", to="nobody", body={"n": number}) for number in (1, 2)]
        return succeeded(structured=Structured(emissions=lost))

    spec = a_spec(
        [agent("start", AgentKind.EXECUTOR), agent("other", AgentKind.EXECUTOR)],
        [],
        {"start": [{"n": 1}], "other": [{}]},
    )
    async with a_browser(tmp_path) as browser:

        async def left():
            view = await job_view(browser.rig.store, "job-1")
            return [letter["message_id"] for letter in view.dead_letters]

        browser.rig.executor.work |= {"other": never, "start": emits}
        await submitted(browser.rig, spec)
        await doing(browser.rig)
        first, second = await left()
        for path in ("/dead-letters", "/jobs/job-1"):
            assert f"/jobs/job-1/dead-letters/{first}/retry" in await browser.get(path)
        answer = await browser.post(
            f"/jobs/job-1/dead-letters/{first}/discard", back="/dead-letters"
        )
        assert answer.headers["location"] == "/dead-letters?done=discard"
        assert await left() == [second]
        answer = await browser.post(f"/jobs/job-1/dead-letters/{second}/retry", 409)
        assert "agent nobody is not part of the job" in words(answer.text)
        await browser.post("/jobs/job-1/dead-letters/nothing/retry", 404)


async def test_a_form_from_elsewhere_goes_nowhere_else(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        browser.rig.executor.work["worker"] = never
        await submitted(browser.rig, pipeline())
        await doing(browser.rig)
        answer = await browser.post("/jobs/job-1/pause", back="//evil.example/x")
        assert answer.headers["location"] == "/jobs/job-1?done=pause"
        assert ORIGIN not in answer.headers["location"]
