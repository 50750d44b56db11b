"""A blueprint as a request."""

import os

import pytest

from mnedge.bundle.catalogue import find
from mnedge.cli import sending
from mnedge.cli.submit import Wanted, opened


def test_a_name_goes_with_what_the_options_change():
    body = sending.by_name("x", {"a": {"b": 1}}, ["a.c=2", "inputs.payload.n=3"], None)
    assert body == {
        "blueprint": "x",
        "config": {"a": {"b": 1, "c": 2}, "inputs": {"payload": {"n": 3}}},
    }
    assert sending.by_name("x", None, [], "mine") == {"blueprint": "x", "run_id": "mine"}


def test_files_go_with_the_config_as_it_is_here(tmp_path):
    folder = find("prime_range_scan", os.environ)
    with opened(folder, Wanted(settings=("logging.level=DEBUG",))) as bundle:
        body = sending.by_files(bundle, None)
        assert body["manifest"]["graph_id"] == bundle.manifest["graph_id"]
        assert body["config"]["logging"]["level"] == "DEBUG"
        paths = {str(one.relative_to(bundle.root / "payloads"))
                 for one in (bundle.root / "payloads").rglob("*.py")}  # fmt: skip
        assert paths <= set(body["payloads"])
        assert "run_id" not in body


def test_what_is_too_large_is_refused_before_it_is_sent(tmp_path, monkeypatch):
    monkeypatch.setattr(sending, "MOST_BYTES", 10)
    folder = find("prime_range_scan", os.environ)
    with opened(folder, Wanted()) as bundle, pytest.raises(sending.TooLargeError, match="larger"):
        sending.files_of(bundle)
