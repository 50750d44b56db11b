"""What `token` and `audit` do without a daemon; with one: tests/live/test_security.py."""

import pytest

from mnedge.cli.access import list_records
from mnedge.cli.verbs import Asked


def test_a_torn_line_is_no_alarm(mnedge, home):
    mnedge("token", "create", "--name", "one")
    mnedge("token", "create", "--name", "two")
    [path] = (home / "mnedge" / "audit").glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-5])
    told = mnedge("audit", "verify").out
    assert "1 record" in told
    assert "cut off" in told


@pytest.mark.usefixtures("home")
def test_no_records_are_no_error(capsys):
    list_records(Asked(output="json"), 20, None, None)
    assert capsys.readouterr().out == "[]\n"


def test_the_record_of_another_node_is_not_mistaken_for_ours(mnedge):
    told = mnedge("--host", "edge", "audit", "list", code=2).err
    assert "this machine only, not on edge" in told
