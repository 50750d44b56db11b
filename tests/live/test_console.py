"""The console in a real browser, before a real daemon."""

import json
import re
import shutil
from collections.abc import Iterator

import pytest

from tests.live.browsing import CHROMIUM, Console, a_console, axe_faults

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not shutil.which(CHROMIUM), reason=f"no browser at {CHROMIUM}"),
]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect
PAGES = (
    "/",
    "/jobs",
    "/approvals",
    "/dead-letters",
    "/blueprints",
    "/blueprints/setting_rollout",
    "/definitions",
    "/submit",
    "/nodes",
    "/resources",
    "/slo",
    "/audit",
    "/manual",
    "/manual/people",
    "/manual?q=lease",
    "/whoami",
    "/nowhere",
)
OF_A_JOB = ("", "/events", "/logs", "/artifacts", "/artifacts?show=result.json", "/lineage")


@pytest.fixture(scope="module")
def console(tmp_path_factory) -> Iterator[Console]:
    with a_console(tmp_path_factory.mktemp("console")) as found:
        yield found


@pytest.fixture
def page(console):
    with console.page() as found:
        yield found


@pytest.fixture(scope="module")
def done(console) -> str:
    """A job that has completed."""
    with console.page() as page:
        console.submit(page, "tide_table", "tides")
        expect(page.locator("#state")).to_contain_text("completed", timeout=30_000)
    return "tides"


@pytest.mark.drives("POST /blueprints/{blueprint_id}/run")
@pytest.mark.drives("GET /jobs/{job_id}")
def test_a_blueprint_is_submitted_and_its_graph_moves(console, page):
    page.goto(console.at("/blueprints"))
    page.get_by_role("link", name="Prime range scan").click()
    expect(page.locator(".mnedge-graph .card")).to_have_count(4)
    page.get_by_label("width").fill("2000")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Id of the job").fill("primes")
    page.get_by_role("button", name="Run").click()
    expect(page).to_have_url(re.compile(r"/jobs/primes\?done=submitted$"))
    expect(page.locator("[data-wire]").first).to_have_text("live")
    workers = page.locator('.card[data-id="scan_001"]')
    expect(workers).to_have_class(re.compile("s-live"), timeout=10_000)
    expect(workers).to_contain_text("running")
    expect(workers).to_contain_text("100 completed", timeout=40_000)
    expect(workers).to_have_class(re.compile("s-good"))
    expect(page.locator("#state")).to_contain_text("completed")
    expect(page.locator("[data-wire]").first).to_have_text("the job is over")
    assert int(page.evaluate("document.documentElement.dataset.pulses")) > 10
    shown = page.locator("[data-events] li")
    assert 25 <= shown.count() <= 100, "the newest events, and no more than the page may hold"
    expect(page.locator("[data-events]")).to_contain_text("job_completed")
    expect(page.locator(".spark-dot")).to_have_count(0)
    assert console.api("/jobs/primes")["job"]["status"] == "completed"


@pytest.mark.drives("POST /jobs/{job_id}/human-requests/{request_id}/respond")
@pytest.mark.drives("GET /approvals")
def test_what_waits_is_seen_everywhere_and_approved(console, page):
    console.submit(page, "setting_rollout", "rollout", PATIENT)
    asked = page.get_by_role("region", name="A request that waits for a person")
    expect(asked).to_contain_text("Give it to all boxes?", timeout=20_000)
    expect(page.locator("#state")).to_contain_text("waiting for human")
    gate = page.locator('[data-graph="steps"] .card[data-id="approve_release"]')
    expect(gate).not_to_have_class(re.compile("s-good"))
    expect(page.locator(".side > nav .count")).to_contain_text("1")
    page.goto(console.at("/approvals"))
    page.get_by_label("Comment").fill("looks <b>good</b>")
    page.get_by_role("button", name="Approve").click()
    expect(page).to_have_url(re.compile(r"/approvals\?done=answered$"))
    expect(page.get_by_role("status")).to_have_text("The answer is given.")
    page.goto(console.at("/jobs/rollout"))
    expect(page.locator("#state")).to_contain_text("completed", timeout=20_000)
    expect(page.locator("#ending")).to_contain_text("rolled out")
    told = console.api("/jobs/rollout/events?type=human_decision_applied&limit=10")["data"]
    assert [one["payload"]["decision"] for one in told] == ["approve"]


@pytest.mark.drives("POST /jobs/{job_id}/cancel")
@pytest.mark.drives("POST /jobs/{job_id}/pause")
@pytest.mark.drives("POST /jobs/{job_id}/resume")
def test_a_service_is_paused_resumed_and_cancelled_after_a_question(console, page):
    console.submit(page, "live_telemetry", "telemetry")
    expect(page.locator("#state")).to_contain_text("running", timeout=20_000)
    page.get_by_role("button", name="Pause").click()
    page.locator("form.box:visible").get_by_role("button", name="Pause").click()
    expect(page.locator("#state")).to_contain_text("paused", timeout=15_000)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#state")).to_contain_text("running", timeout=15_000)
    page.get_by_role("button", name="Cancel").click()
    box = page.locator("form.box:visible")
    expect(box).to_contain_text("cannot be undone")
    assert console.api("/jobs/telemetry")["job"]["status"] == "running", "asking cancels nothing"
    box.get_by_label("Reason").fill("enough")
    box.get_by_role("button", name="Cancel").click()
    expect(page.locator("#state")).to_contain_text("cancelled", timeout=20_000)
    expect(page.locator("#state .actions button")).to_have_count(0)
    assert console.api("/jobs/telemetry")["job"]["status"] == "cancelled"


@pytest.mark.drives("GET /jobs/{job_id}/artifacts")
@pytest.mark.drives("GET /jobs/{job_id}/logs")
@pytest.mark.drives("GET /jobs/{job_id}/events")
def test_an_artifact_is_read_and_fetched(console, page, done):
    page.goto(console.at(f"/jobs/{done}"))
    page.get_by_role("link", name="Artifacts", exact=True).click()
    page.get_by_role("link", name="result.json", exact=True).click()
    shown = json.loads(page.locator("#preview pre").inner_text())
    with page.expect_download() as fetched:
        page.locator("#preview").get_by_role("link", name="Download").click()
    assert json.loads(fetched.value.path().read_text()) == shown
    page.get_by_role("link", name="Logs", exact=True).click()
    expect(page.locator(".log li").first).to_be_visible()
    page.get_by_role("link", name="Events", exact=True).click()
    page.get_by_label("Type").fill("workflow_step_*")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile(r"type=workflow_step_"))
    expect(page.locator(".log .who").first).to_be_visible()
    kinds = set(page.locator(".log .who").all_inner_texts())
    assert kinds
    assert all(kind.startswith("workflow_step_") for kind in kinds)


@pytest.mark.drives("POST /submit")
def test_a_bundle_of_ones_own_is_submitted_and_a_bad_one_is_explained(console, page):
    page.goto(console.at("/submit"))
    page.get_by_label("Zip with").set_input_files(str(console.zipped("text_report_pipeline")))
    page.get_by_role("button", name="Submit the zip").click()
    expect(page).to_have_url(re.compile(r"/jobs/.+\?done=submitted$"))
    page.goto(console.at("/submit"))
    page.get_by_role("textbox", name="Manifest").fill('{"manifest_version": "1.0", "nodes": []}')
    page.get_by_role("button", name="Submit", exact=True).click()
    told = page.get_by_role("alert")
    expect(told).to_contain_text("nodes")
    expect(page.get_by_role("textbox", name="Manifest")).to_have_value(
        re.compile("manifest_version")
    )
    page.forget()  # the answer 400 is told to the console of the browser


def test_the_keyboard_alone_is_enough(console, page, done):
    page.goto(console.at("/"))
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.wait_for_url(console.at("/jobs"))  # and it is loaded: keys work
    page.keyboard.press("/")
    expect(page.get_by_label("Text")).to_be_focused()
    page.keyboard.type(done)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"q={done}"))
    page.keyboard.press("j")
    expect(page.get_by_role("link", name=done)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/jobs/{done}$"))
    console.submit(page, "live_telemetry", "by_hand")
    expect(page.locator("#state")).to_contain_text("running", timeout=20_000)
    page.locator("#state summary", has_text="Cancel").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("by keyboard")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_contain_text("cancelled", timeout=20_000)


def test_single_keys_can_be_left_to_others(console, page):
    page.goto(console.at("/"))
    page.keyboard.press("?")
    page.get_by_label("Single keys are shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_phone_sees_all_of_it_without_scrolling_sideways(console, done):
    with console.page(viewport={"width": 360, "height": 740}, is_mobile=True) as page:
        for path in (*PAGES, *(f"/jobs/{done}{more}" for more in OF_A_JOB)):
            page.goto(console.at(path))
            wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wider <= 0, f"{path} is {wider} px too wide"
        page.get_by_text("Menu", exact=True).click()
        page.get_by_role("link", name="Approvals").click()
        expect(page).to_have_url(re.compile("/approvals$"))


@pytest.mark.drives("POST /theme")
def test_dark_follows_the_system_and_the_switch(console, page):
    def background() -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    page.emulate_media(color_scheme="light")
    page.goto(console.at("/"))
    light = background()
    page.emulate_media(color_scheme="dark")
    dark = background()
    assert dark != light
    page.get_by_label("Theme").first.select_option("light")
    assert background() == light
    page.goto(console.at("/jobs"))
    assert background() == light, "the choice is remembered"


def test_nothing_on_any_page_breaks_the_policy_or_says_an_error(console, page, done):
    for path in (*PAGES, *(f"/jobs/{done}{more}" for more in OF_A_JOB)):
        answer = page.goto(console.at(path))
        assert answer is not None
        assert answer.status == (404 if path == "/nowhere" else 200), path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    assert page.said == [("error", "/nowhere")], "the page that is not there, and nothing else"


def test_without_scripts_everything_can_be_done(console):
    with console.page(java_script_enabled=False) as page:
        console.submit(page, "setting_rollout", "scriptless", PATIENT)
        asked = page.get_by_role("button", name="Approve")
        console.reloaded_until(page, asked)
        expect(page.locator(".mnedge-graph").first).to_be_visible()
        asked.click()
        expect(page.get_by_role("status")).to_have_text("The answer is given.")
        console.reloaded_until(page, page.locator("#state", has_text="completed"))
        page.get_by_label("Theme").first.select_option("dark")
        page.get_by_role("button", name="Set").first.click()
        assert page.locator("html").get_attribute("data-theme") == "dark"


@pytest.mark.drives("POST /sign-out")
def test_who_is_signed_out_has_to_sign_in_again(console, page):
    page.goto(console.at("/whoami"))
    expect(page.locator("main")).to_contain_text("token:browser")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in"))
    page.goto(console.at("/jobs/last?x=1"))
    expect(page).to_have_url(re.compile(r"/sign-in\?next="))
    page.get_by_label("Token").fill("no token")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert axe_faults(page) == []
    page.forget()  # the answer 401 is told to the console of the browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault_on_any_page(console, done, scheme):
    every = (*PAGES, *(f"/jobs/{done}{more}" for more in OF_A_JOB))
    shades = ("/", "/jobs", "/blueprints/setting_rollout", "/manual/people", f"/jobs/{done}")
    with console.page(color_scheme=scheme, reduced_motion="reduce") as page:
        found = {}
        for path in every if scheme == "light" else shades:
            page.goto(console.at(path))
            if faults := axe_faults(page):
                found[path] = faults
    assert found == {}


def test_a_lost_connection_is_said_and_taken_up_again(console, page):
    console.submit(page, "live_telemetry", "interrupted")
    wire = page.locator("[data-wire]").first
    expect(wire).to_have_text("live", timeout=10_000)
    page.context.set_offline(True)
    expect(wire).to_have_text("connection lost, retrying", timeout=10_000)
    page.context.set_offline(False)
    expect(wire).to_have_text("live", timeout=25_000)
    page.forget()
    page.evaluate(HIDE, True)
    expect(wire).to_have_text("resting while hidden")
    page.evaluate(HIDE, False)
    expect(wire).to_have_text("live", timeout=10_000)
    seqs = [int(one) for one in page.locator("[data-events] li").evaluate_all(SEQS) if one]
    assert seqs == sorted(set(seqs), reverse=True), "each event once, the newest first"
    console.cancel("interrupted")


def test_who_waits_for_a_form_keeps_what_he_typed(console, page):
    console.submit(page, "setting_rollout", "typing", PATIENT)
    comment = page.get_by_label("Comment")
    expect(comment).to_be_visible(timeout=20_000)
    comment.fill("half a sen")
    before = page.locator("#about").inner_text()
    console.cancel("typing")
    expect(page.locator("#state")).to_contain_text("cancelled", timeout=20_000)
    expect(comment).to_have_value("half a sen")
    assert before


def test_a_flood_of_events_leaves_a_page_small(console, page):
    console.submit(page, "live_telemetry", "flood")
    expect(page.locator("[data-wire]").first).to_have_text("live", timeout=10_000)
    page.evaluate(FLOOD)
    expect(page.locator("[data-events] li").first).to_contain_text("noise 29999", timeout=20_000)
    assert page.locator("[data-events] li").count() <= 100
    assert page.evaluate("document.querySelectorAll('*').length") < 3000, "still bounded"
    expect(page.locator(".spark-dot")).to_have_count(0)
    console.cancel("flood")


FLOOD = """async () => {
  const lines = [];
  for (let n = 0; n < 30000; n += 1) {
    const record = { seq: 1000000 + n, type: "agent_message_received", agent_id: "board",
      ts: "2026-01-01T00:00:00Z", payload: { type: "noise " + n, from: "watcher" } };
    lines.push(`id: ${record.seq}\\nevent: ${record.type}\\ndata: ${JSON.stringify(record)}\\n\\n`);
  }
  const { Stream } = await import("/static/stream.js");
  const live = await import("/static/live.js");
  const stream = new Stream("", "", { told: live.take, state: () => {} });
  for (const line of lines) stream.take(line.trimEnd());
}"""
HIDE = """hidden => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
SEQS = "items => items.map(item => item.dataset.seq === 'undefined' ? '' : item.dataset.seq)"
PATIENT = '{"human_control": {"timeout_seconds": 600}}'
