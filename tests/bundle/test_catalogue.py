"""Blueprints by name."""

import json
from pathlib import Path

import pytest

from mnedge.bundle import catalogue


@pytest.fixture
def own(tmp_path):
    """A folder of blueprints with a catalogue that knows one of two."""
    for name in ("second", "first"):
        (tmp_path / name).mkdir()
        manifest = {"name": name.title(), "job_name": f"{name}-job", "description": "From itself."}
        (tmp_path / name / "manifest.json").write_text(json.dumps(manifest))
    rows = [{"id": "the-second", "path": "second", "description": "From the catalogue."}, "noise"]
    (tmp_path / "index.json").write_text(json.dumps({"blueprints": rows}))
    (tmp_path / "no-blueprint").mkdir()
    return {"MN_BUNDLES_DIR": str(tmp_path)}


def test_the_bundled_blueprints_are_found_by_name():
    found = {entry.blueprint_id: entry for entry in catalogue.listed({})}
    assert {"message_routing_trace", "prime_range_scan"} <= set(found)
    entry = found["prime_range_scan"]
    assert catalogue.find("prime_range_scan", {}) == entry.folder
    assert catalogue.find(entry.job_name, {}) == entry.folder
    assert (entry.folder / "manifest.json").is_file()
    assert entry.description


def test_a_catalogue_gives_order_and_words_the_manifest_what_it_lacks(own):
    first, second = catalogue.listed(own)[:2]
    assert (first.blueprint_id, first.description) == ("the-second", "From the catalogue.")
    assert (second.blueprint_id, second.description) == ("first", "From itself.")


def test_an_unreadable_catalogue_hides_nothing(own):
    folder = Path(own["MN_BUNDLES_DIR"])
    (folder / "index.json").write_text("{")
    (folder / "second" / "manifest.json").write_text("[]")
    assert [entry.blueprint_id for entry in catalogue.listed(own)][:2] == ["first", "second"]


def test_a_path_is_itself(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "manifest.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert catalogue.find("mine", {}) == Path("mine")
    assert catalogue.find("./elsewhere", {}) == Path("elsewhere")


def test_an_unknown_name_is_answered_with_near_ones():
    with pytest.raises(catalogue.BlueprintNotFoundError) as refused:
        catalogue.find("mesage_routing", {})
    assert "did you mean message_routing_trace" in refused.value.hint
    with pytest.raises(catalogue.BlueprintNotFoundError, match="no blueprint is called 'qqqq'"):
        catalogue.find("qqqq", {})


def test_a_record_is_plain_json():
    record = catalogue.listed({})[0].record()
    assert json.loads(json.dumps(record))["folder"] == record["folder"]
