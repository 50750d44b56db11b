"""`mnedge selftest`."""

import json
import re

import click
import pytest

from mnedge.cli.selftest import every_verb
from mnedge.cli.verbs import LazyNoun

pytestmark = pytest.mark.live


@pytest.mark.drives("mnedge selftest")
def test_a_person_reads_each_check_with_its_time(mnedge, home):
    told = mnedge("selftest").out.splitlines()
    assert told[0].startswith("✓ program")
    assert all(line.startswith("✓ ") for line in told)
    assert any("job completes" in line and " s  " in line for line in told)
    assert any(re.search(r"verbs .* \d\d+ verbs$", line) for line in told)
    assert told[-1].startswith("✓ this program works here (")
    assert not (home / "mnedge").exists(), "the node of this user is not touched"


def test_a_verb_that_is_listed_and_cannot_be_had_is_named():
    group = LazyNoun("g", children={"gone": ("mnedge.cli.verbs:WAIT_S", "Nothing.")})
    with pytest.raises(LookupError, match="gone is no command"):
        list(every_verb(group, click.Context(group)))


def test_a_program_reads_one_document(mnedge, monkeypatch):
    monkeypatch.setattr("mnedge.shipped.program", lambda: ("false",))
    told = mnedge("selftest", "--json", code=1).value
    assert told["ok"] is False
    failed = [check["name"] for check in told["checks"] if not check["ok"]]
    assert failed == ["daemon starts"]
    lines = mnedge("selftest", "-o", "ndjson", code=1).out.splitlines()
    assert set(json.loads(lines[0])) == {"name", "ok", "took_s", "found"}
