import io
import json
import zipfile

import pytest

from mnedge.bundle.load import open_bundle
from mnedge.gateway.console.forms import Form
from mnedge.gateway.console.start_pages import (
    FieldInvalidError,
    field_text,
    field_value,
    fields_of,
    given_of,
)
from mnedge.runtime import jobs
from tests.gateway.console.consoles import ORIGIN, a_browser, words
from tests.house.tree import ROOT

BLUEPRINTS = ROOT / "blueprints"


@pytest.mark.drives("GET /blueprints")
@pytest.mark.drives("GET /blueprints/{blueprint_id}")
async def test_the_catalogue_is_searched_and_a_blueprint_is_drawn(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        text = await browser.get("/blueprints")
        assert text.count('class="card pick"') >= 15
        assert (await browser.get("/blueprints?q=PRIMES")).count('class="card pick"') == 1
        assert "No blueprint is like that." in words(await browser.get("/blueprints?q=zzz"))
        text = await browser.get("/blueprints/setting_rollout")
        assert text.count('class="mnedge-graph"') == 2
        assert 'name="input.canary"' in text
        await browser.get("/blueprints/nothing", 404)


@pytest.mark.parametrize(
    "folder", sorted(p.parent.name for p in BLUEPRINTS.glob("*/manifest.json"))
)
async def test_every_blueprint_has_a_page(tmp_path, autojump_clock, folder):
    async with a_browser(tmp_path) as browser:
        assert "Run it" in words(await browser.get(f"/blueprints/{folder}"))


@pytest.mark.drives("POST /blueprints/{blueprint_id}/run")
async def test_a_blueprint_runs_with_the_inputs_of_the_form(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        fields = {"input.first": "2000000", "input.width": "10", "run_id": "by-form"}
        answer = await browser.post("/blueprints/prime_range_scan/run", **fields)
        assert answer.headers["location"] == "/jobs/by-form?done=submitted"
        spec = await jobs.read_spec(browser.rig.store, "by-form")
        assert spec.inputs["first"] == 2_000_000


async def test_a_form_that_is_refused_comes_back_as_it_was(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        path = "/blueprints/prime_range_scan/run"
        answer = await browser.post(path, 400, **{"input.first": "77", "config": "[1]"})
        assert "must be a JSON object" in words(answer.text)
        assert 'name="input.first" value="77"' in answer.text
        answer = await browser.post(path, 400, **{"input.first": "-5"})
        assert "first must be a whole number" in words(answer.text)
        assert await jobs.list_jobs(browser.rig.store) == []


@pytest.mark.drives("GET /submit")
@pytest.mark.drives("POST /submit")
async def test_a_zip_is_submitted_and_a_manifest_is_explained(tmp_path, autojump_clock):
    packed = io.BytesIO()
    root = BLUEPRINTS / "text_report_pipeline"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in root.rglob("*"):
            archive.write(file, f"{root.name}/{file.relative_to(root)}")
    async with a_browser(tmp_path) as browser:
        await browser.get("/submit")
        files = {"bundle": ("mine.zip", packed.getvalue(), "application/zip")}
        headers = {"origin": ORIGIN}
        answer = await browser.http.post("/submit", files=files, headers=headers)
        assert answer.status_code == 303, answer.text
        (record,) = await jobs.list_jobs(browser.rig.store)
        assert answer.headers["location"] == f"/jobs/{record.job_id}?done=submitted"
        bad = json.dumps({"manifest_version": "1.0", "nodes": []})
        answer = await browser.post("/submit", 400, manifest=bad)
        assert "nodes must not be empty" in words(answer.text)
        answer = await browser.post("/submit", 400, manifest="{")
        assert "is no JSON" in words(answer.text)
        answer = await browser.post("/submit", 400, manifest="")
        assert "choose a zip" in words(answer.text)


def test_fields_say_what_they_are_for_and_what_they_hold():
    with open_bundle(BLUEPRINTS / "setting_rollout", run_code=False) as bundle:
        fields = {one["name"]: one for one in fields_of(bundle)}
    assert fields["setting"]["required"]
    assert fields["setting"]["text"] == '{"sample_interval_s": 5}'
    assert fields["canary"]["text"] == "box-1"


@pytest.mark.parametrize("value", ["plain", "5", "true", '{"a"', 5, [1, {"b": None}], "", " x"])
def test_what_a_field_shows_means_the_same_again(value):
    assert field_value(field_text(value)) == value


def test_a_form_becomes_inputs_config_and_an_id():
    form = Form(
        fields={"input.a": "1", "input.b": "x", "input.c": "", "more": '{"d": [2]}', "config": "{}"}
    )
    payload = {"a": 1, "b": "x", "d": [2]}
    assert given_of(form) == {"config": {"inputs": {"adapter": "json", "payload": payload}}}
    with pytest.raises(FieldInvalidError):
        given_of(Form(fields={"more": "{"}))
