"""`mnedge blueprint`, as far as it goes without running anything."""

import pytest


def test_blueprints_are_listed_for_people_and_programs(mnedge):
    people = mnedge("blueprint", "list").out
    assert "message_routing_trace  messaging" in people
    assert people.rstrip().endswith("mnedge blueprint run NAME")
    entries = mnedge("blueprint", "list", "--json").value
    assert {"blueprint_id", "folder", "description"} <= set(entries[0])
    lines = mnedge("blueprint", "list", "-o", "ndjson").out.splitlines()
    assert len(lines) == len(entries)


def test_where_nothing_is_found_the_way_on_is_told(mnedge, monkeypatch):
    monkeypatch.setattr("mnedge.bundle.catalogue.places", lambda environ: [])
    assert "--folder PATH" in mnedge("blueprint", "list").out


def test_a_bundled_blueprint_is_validated_by_name(mnedge):
    assert "is valid." in mnedge("blueprint", "validate", "message_routing_trace").out
    assert mnedge("blueprint", "validate", "message_routing_trace", "--json").value["valid"]


def test_what_is_not_there_cannot_be_validated(mnedge):
    told = mnedge("blueprint", "validate", "./nowhere", code=2)
    assert "no bundle at" in told.err


@pytest.mark.parametrize("words", [[], ["prime_range_scan", "--folder", "."]])
def test_a_run_needs_a_name_or_a_folder_and_not_both(mnedge, words):
    told = mnedge("blueprint", "run", *words, code=2)
    assert "--folder, one of the two" in told.err
    assert "see mnedge blueprint run --help" in told.err
