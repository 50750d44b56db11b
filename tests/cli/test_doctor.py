"""`mnedge doctor`."""

import json

import pytest

pytestmark = pytest.mark.live


@pytest.mark.drives("mnedge doctor")
def test_a_person_reads_groups_and_a_verdict(mnedge):
    told = mnedge("doctor", code=None).out
    for word in (
        "configuration\n",
        "daemon\n",
        "mnedge\n",
        "folders\n",
        "payloads\n",
        "runners\n",
        "neighbours\n",
    ):
        assert word in told


def test_a_program_reads_findings(mnedge):
    told = mnedge("doctor", "--json", code=None)
    assert told.value["healthy"] is (told.code == 0)
    lines = mnedge("doctor", "-o", "ndjson", code=None).out.splitlines()
    assert {"group", "name", "status", "found", "mend"} == set(json.loads(lines[0]))


def test_what_is_broken_ends_with_one(mnedge, home):
    home.write_text("a file where the home should be")
    assert mnedge("doctor", "--json", code=1).value["healthy"] is False
