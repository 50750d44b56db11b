import pytest

from mnedge.runtime import jobs
from tests.gateway.console.consoles import a_browser, words
from tests.house.tree import ROOT


async def a_definition(browser):
    root = ROOT / "blueprints" / "clock_source"
    import json

    manifest = json.loads((root / "manifest.json").read_text())
    payloads = {
        str(file.relative_to(root / "payloads")): file.read_bytes()
        for file in (root / "payloads").rglob("*")
        if file.is_file()
    }
    return await browser.backend.definitions.create(manifest, payloads, definition_id="kept")


@pytest.mark.drives("GET /approvals")
@pytest.mark.drives("GET /dead-letters")
@pytest.mark.drives("GET /definitions")
async def test_where_nothing_waits_the_pages_say_so(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        assert "Nobody is waited for." in words(await browser.get("/approvals"))
        assert "Every message has reached" in words(await browser.get("/dead-letters"))
        assert "There are no definitions." in words(await browser.get("/definitions"))


@pytest.mark.drives("GET /definitions/{definition_id}")
@pytest.mark.drives("POST /definitions/{definition_id}/run")
@pytest.mark.drives("POST /definitions/{definition_id}/archive")
async def test_a_definition_is_run_and_archived(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        await a_definition(browser)
        assert "kept" in words(await browser.get("/definitions"))
        assert "It has not been run." in words(await browser.get("/definitions/kept"))
        await browser.post("/definitions/kept/run")
        (record,) = await jobs.list_jobs(browser.rig.store)
        assert record.definition_id == "kept"
        assert record.job_id in await browser.get("/definitions/kept")
        await browser.post("/definitions/kept/archive")
        assert (await browser.backend.definitions.get("kept")).archived_at is not None
