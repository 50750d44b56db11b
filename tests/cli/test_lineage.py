import json

import pytest


@pytest.fixture
def ran(mnedge):
    mnedge("blueprint", "run", "tide_table")
    return mnedge


@pytest.mark.drives("mnedge run lineage")
def test_every_file_says_where_it_came_from(ran):
    told = ran("run", "lineage", "last").out
    assert "result.json" in told
    assert "sha256:" in told
    assert "written by mnedge from the manifest" in told
    found = json.loads(ran("run", "lineage", "last", "--json").out)
    assert found["complete"] is True
    assert found["code"]["bundle"].startswith("sha256:")
    (result,) = [one for one in found["artifacts"] if one["path"] == "result.json"]
    assert result["digest"].startswith("sha256:")
    assert len(result["made_by"]["attempts"]) == 4
    lines = ran("run", "lineage", "last", "--output", "ndjson").out.splitlines()
    assert [json.loads(line)["path"] for line in lines] == [
        one["path"] for one in found["artifacts"]
    ]


def test_one_file_can_be_asked_for(ran):
    told = ran("run", "lineage", "last", "--artifact", "result.json", "--down").out
    assert "result.json" in told
    assert "inputs.json" not in told.split("\n\n", 1)[1]
    wrong = ran("run", "lineage", "last", "--artifact", "resul.json", code=2).err
    assert "result.json" in wrong


def test_open_lineage_is_one_event(ran):
    event = json.loads(ran("run", "lineage", "last", "--form", "openlineage", "--json").out)
    assert event["eventType"] == "COMPLETE"
    assert event["job"]["name"] == "tide_table"


def test_a_run_that_is_not_there_is_told(mnedge):
    assert "nothing" in mnedge("run", "lineage", "nothing", code=2).err
