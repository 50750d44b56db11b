from functools import partial

import pytest
import trio

from mnedge.gateway.console.job_pages import last_mark
from mnedge.model.facts import Outcome
from mnedge.model.states import OutcomeStatus
from mnedge.runtime import jobs
from tests.gateway.console.consoles import a_browser, words
from tests.runtime.rig import a_spec, agent, edge, gated, pipeline, submitted, succeeded, two_steps

HOSTILE = "\"><script>alert('1')</script>{{ 7*7 }}&lt;‮"


async def never(_command):
    await trio.sleep_forever()


async def failing(_command):
    error = {"error": f"exit 3: {HOSTILE}", "stderr": HOSTILE, "attempts": 1}
    return Outcome(status=OutcomeStatus.FAILED, error=error)


async def over(rig, job_id="job-1"):
    with trio.fail_after(600):
        while (await jobs.read_job(rig.store, job_id)).ended_at is None:
            await trio.sleep(0.5)


async def doing(rig, job_id="job-1"):
    with trio.fail_after(600):
        while (await jobs.read_job(rig.store, job_id)).status != "running":
            await trio.sleep(0.5)
    await trio.sleep(2)


@pytest.mark.drives("GET /jobs")
async def test_a_node_without_jobs_says_so(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        assert "There are no jobs yet." in words(await browser.get("/jobs"))
        assert "No job is like that." in words(await browser.get("/jobs?q=x&status=failed"))


async def test_a_job_that_runs_shows_how_each_agent_stands(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        browser.rig.executor.work["worker"] = never
        await submitted(browser.rig, pipeline())
        await doing(browser.rig)
        text = await browser.get("/jobs/job-1")
        assert "● running" in text
        assert 'data-stream="/api/v1/jobs/job-1/events"' in text
        assert "This cannot be undone." in text
        assert "running" in words(await browser.get("/jobs"))


async def test_a_job_that_is_over_shows_its_result_and_is_not_followed(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        await submitted(browser.rig, pipeline())
        await over(browser.rig)
        text = await browser.get("/jobs/job-1")
        assert "data-stream" not in text
        assert "Result" in words(text)
        assert "/jobs/job-1/cancel" not in text


async def test_a_job_that_failed_says_why_and_offers_to_go_on(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        browser.rig.executor.work["cleaner"] = failing
        await submitted(browser.rig, two_steps())
        await over(browser.rig)
        text = await browser.get("/jobs/job-1")
        assert "Why it failed" in words(text)
        assert "/jobs/job-1/retry" in text
        told = words(await browser.get("/jobs"))
        assert "✗ failed" in told


@pytest.mark.parametrize("tab", ["", "/events", "/logs", "/artifacts", "/lineage"])
async def test_names_and_messages_that_are_markup_stay_text(tmp_path, autojump_clock, tab):
    spec = a_spec(
        [
            agent(HOSTILE),
            agent("worker", "executor", command=["true"], output_message_type=HOSTILE),
        ],
        [edge(HOSTILE, "worker", "*")],
        {HOSTILE: [{HOSTILE: HOSTILE, "reason": HOSTILE}]},
    )
    async with a_browser(tmp_path) as browser:
        browser.rig.executor.work["worker"] = failing
        await submitted(browser.rig, spec)
        await over(browser.rig)
        text = await browser.get("/jobs/job-1" + tab)
        assert "<script>alert" not in text
        assert "49" not in words(text).split()


@pytest.mark.drives("GET /jobs/{job_id}/lineage")
async def test_ten_thousand_events_are_read_page_by_page(tmp_path, autojump_clock):
    spec = a_spec(
        [agent("intake"), agent("other")],
        [edge("intake", "other")],
        {"intake": [{"n": number} for number in range(5000)]},
    )
    async with a_browser(tmp_path) as browser:
        await submitted(browser.rig, spec)
        await over(browser.rig)
        assert (await jobs.read_job(browser.rig.store, "job-1")).events > 10_000
        text = await browser.get("/jobs/job-1/events")
        assert text.count("<li data-seq") == 200
        assert len(await browser.get("/jobs/job-1")) < 200_000
        following = text.partition('rel="next" href="')[2].partition('"')[0]
        assert 'data-seq="201"' in await browser.get("/jobs/job-1/events" + following)
        await browser.get("/jobs/job-1/lineage")


async def test_a_text_is_looked_for_and_pages_follow_each_other(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        for number in range(60):
            await submitted(browser.rig, pipeline(), f"job-{number:02}")
        for number in range(60):
            await over(browser.rig, f"job-{number:02}")
        text = await browser.get("/jobs")
        assert text.count("data-row") == 50
        following = text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
        assert (await browser.get(following)).count("data-row") == 10
        assert (await browser.get("/jobs?q=JOB-07")).count("data-row") == 1


async def test_files_of_a_run_are_shown_as_what_they_are(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        await submitted(browser.rig, pipeline())
        await over(browser.rig)
        folder = browser.rig.config.runs_root / "job-1"
        (folder / "a b#1.txt").write_text(f"{HOSTILE}\n")
        (folder / "plot.png").write_bytes(b"\x89PNG")
        (folder / "empty.txt").write_bytes(b"")
        (folder / "blob.bin").write_bytes(b"\0" * 10)
        (folder / "big.log").write_text("x" * (1 << 20))
        show = partial("/jobs/job-1/artifacts?show={}".format)
        assert "alert('1')" in words(await browser.get(show("a%20b%231.txt")))
        assert '<img class="thumb" src="/api/v1/jobs/job-1/' in await browser.get(show("plot.png"))
        assert "no preview" in words(await browser.get(show("blob.bin")))
        assert "Only the beginning" in words(await browser.get(show("big.log")))
        await browser.get(show("empty.txt"))
        await browser.get(show("nothing.txt"))


async def test_what_waits_for_a_person_is_on_the_page_with_its_answers(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        await submitted(
            browser.rig, gated(prompt=HOSTILE, allowed_decisions=["approve", "ship it"])
        )
        await doing(browser.rig)
        for path in ("/", "/approvals", "/jobs/job-1"):
            text = await browser.get(path)
            assert 'value="ship it"' in text
            assert "<script>alert" not in text


def test_the_place_behind_the_newest_records_counts_those_without_a_number():
    assert last_mark([{"seq": 12}, {"seq": 11}]) == "12"
    assert last_mark([{"type": "run_failed"}, {}, {"seq": 12}]) == "12.2"
    assert last_mark([]) == "0"


async def test_a_job_that_is_not_there_is_a_page_too(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        assert "no job begins with" in words(await browser.get("/jobs/nobody", 404))


async def test_succeeded_work_leaves_its_words_in_the_logs(tmp_path, autojump_clock):
    async def wrote(_command):
        return succeeded(f"line one\n{HOSTILE}")

    async with a_browser(tmp_path) as browser:
        browser.rig.executor.work["worker"] = wrote
        await submitted(browser.rig, pipeline())
        await over(browser.rig)
        assert "line one" in words(await browser.get("/jobs/job-1/logs?agent=worker"))
