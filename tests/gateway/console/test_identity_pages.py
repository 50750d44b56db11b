import pytest
import trio

from mnedge.model.access import Scope
from mnedge.model.states import JobStatus
from mnedge.runtime import jobs
from tests.gateway.console.consoles import ORIGIN, a_browser, words
from tests.gateway.console.test_job_pages import doing, never
from tests.runtime.rig import pipeline, submitted


async def signed_in(browser, scope):
    issued = await browser.backend.tokens.issue("ada", scope)
    answer = await browser.post("/sign-in", token=issued.token, next="/jobs")
    assert answer.headers["location"] == "/jobs"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


def csrf_in(text):
    return text.partition('name="csrf" value="')[2].partition('"')[0]


@pytest.mark.drives("GET /sign-in")
@pytest.mark.drives("POST /sign-in")
@pytest.mark.drives("POST /sign-out")
async def test_a_token_signs_in_and_a_form_signs_out(tmp_path, autojump_clock):
    async with a_browser(tmp_path, listener="http") as browser:
        answer = await browser.http.get("/jobs?status=failed")
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in?next=%2Fjobs")
        await browser.get("/sign-in")
        answer = await browser.post("/sign-in", 401, token="no token", next="/jobs")
        assert 'role="alert"' in answer.text
        await trio.sleep(1)
        [denial] = await browser.backend.audit.newest(1)
        assert (denial.action, denial.object, denial.result) == (
            "access.denied",
            "POST /sign-in",
            "deny",
        )
        await signed_in(browser, Scope.OPERATE)
        told = words(await browser.get("/whoami"))
        assert "look, submit, steer and answer jobs" in told
        text = await browser.get("/whoami")
        answer = await browser.post("/sign-out", csrf=csrf_in(text))
        assert "Max-Age=0" in answer.headers["set-cookie"]


async def test_a_page_elsewhere_cannot_sign_anybody_in(tmp_path, autojump_clock):
    async with a_browser(tmp_path, listener="http") as browser:
        issued = await browser.backend.tokens.issue("ada", Scope.READ)
        headers = {"origin": "http://evil.example"}
        answer = await browser.http.post("/sign-in", data={"token": issued.token}, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


async def test_a_form_by_cookie_needs_the_word_of_its_page(tmp_path, autojump_clock):
    async with a_browser(tmp_path, listener="http") as browser:
        browser.rig.executor.work["worker"] = never
        await submitted(browser.rig, pipeline())
        await doing(browser.rig)
        await signed_in(browser, Scope.OPERATE)
        await browser.post("/jobs/job-1/pause", 403)
        await browser.post("/jobs/job-1/pause", 403, csrf="wrong")
        assert (await jobs.read_job(browser.rig.store, "job-1")).status is JobStatus.RUNNING
        await browser.post("/jobs/job-1/pause", csrf=csrf_in(await browser.get("/jobs/job-1")))
        assert (await jobs.read_job(browser.rig.store, "job-1")).status is JobStatus.PAUSED


async def test_who_may_only_look_sees_no_buttons_and_is_refused(tmp_path, autojump_clock):
    async with a_browser(tmp_path, listener="http") as browser:
        browser.rig.executor.work["worker"] = never
        await submitted(browser.rig, pipeline())
        await doing(browser.rig)
        await signed_in(browser, Scope.READ)
        text = await browser.get("/jobs/job-1")
        assert "/jobs/job-1/cancel" not in text
        answer = await browser.post("/jobs/job-1/cancel", 403, csrf=csrf_in(text))
        assert "Not allowed" in words(answer.text)
        assert ORIGIN not in answer.text
        assert (await jobs.read_job(browser.rig.store, "job-1")).status is JobStatus.RUNNING


@pytest.mark.drives("GET /whoami")
@pytest.mark.drives("POST /theme")
async def test_the_theme_is_remembered_and_odd_ones_are_not(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        assert "the unix socket" in words(await browser.get("/whoami"))
        answer = await browser.post("/theme", theme="dark", back="/jobs")
        assert answer.headers["location"] == "/jobs"
        assert 'data-theme="dark"' in await browser.get("/jobs")
        answer = await browser.post("/theme", theme='"><script>')
        assert "set-cookie" not in answer.headers
