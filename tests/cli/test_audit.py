"""`mnedge audit list|verify|export`."""

import json
import os

import pytest


@pytest.mark.drives("mnedge audit list")
@pytest.mark.drives("mnedge audit verify")
@pytest.mark.drives("mnedge audit export")
def test_the_record_is_listed_checked_and_exported(mnedge, home):
    assert mnedge("audit", "list").out == "no records\n"
    assert mnedge("audit", "verify").out == "no records\n"
    for name in ("one", "two", "three"):
        mnedge("token", "create", "--name", name)
    listed = mnedge("audit", "list", "--json").value
    assert [record["seq"] for record in listed] == [3, 2, 1]
    assert "token.create" in mnedge("audit", "list", "--limit", "1").out
    assert mnedge("audit", "list", "--action", "job.", "--json").value == []
    assert len(mnedge("audit", "list", "--actor", listed[0]["actor"], "--json").value) == 3
    exported = [
        json.loads(line) for line in mnedge("audit", "export", "--after", "1").out.splitlines()
    ]
    assert [record["seq"] for record in exported] == [2, 3]
    assert exported[1]["prev"] == exported[0]["hash"]
    told = mnedge("audit", "verify", "--json").value
    assert (told["good"], told["records"], told["head"]) == (True, 3, exported[-1]["hash"])

    [path] = (home / "mnedge" / "audit").glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b"token/tok_", b"token/TOK_", 1))
    told = mnedge("audit", "verify", "--json", code=1).value
    assert told["broken_seq"] == 1
    assert "record 1" in mnedge("audit", "verify", code=1).out
    mnedge("doctor", "--security", code=1)


@pytest.mark.parametrize("verb", ["list", "verify", "export"])
def test_who_may_not_look_into_the_record_is_not_told_that_it_is_empty(mnedge, monkeypatch, verb):
    def closed(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "listdir", closed)
    told = mnedge("audit", verb, code=13)
    assert "is for the user of the node and for root" in told.err
    assert "no records" not in told.out
