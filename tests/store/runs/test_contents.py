"""What lies in a finished run folder."""

import hashlib
import os

from mnedge.store.runs import contents
from mnedge.store.runs.contents import (
    artifact_paths,
    artifact_records,
    resources_of,
    timeline_json,
)


def test_artifacts_are_the_plain_files_by_their_relative_paths(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.md").write_text("x")
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / ".a.json.part").write_text("{")
    (tmp_path / "link").symlink_to(tmp_path / "a.json")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / os.fsdecode(b"no text \xff")).write_text("JSON cannot say this name")
    assert artifact_paths(tmp_path) == ["a.json", "b/x.md"]


def test_a_record_tells_size_hash_and_type_but_of_what_still_changes(tmp_path):
    (tmp_path / "a.md").write_text("text")
    assert artifact_records(tmp_path, changing=frozenset({"run.json"})) == [
        {
            "artifact_id": "a_md",
            "path": "a.md",
            "relative_path": "a.md",
            "content_type": "text/markdown",
            "size_bytes": 4,
            "sha256": hashlib.sha256(b"text").hexdigest(),
        },
        {
            "artifact_id": "run_json",
            "path": "run.json",
            "relative_path": "run.json",
            "content_type": "application/json",
        },
    ]


def test_large_files_are_listed_without_a_hash_and_not_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr("mnedge.store.runs.contents.HASHED_BYTES", 3)
    monkeypatch.setattr("mnedge.store.runs.contents.ARTIFACTS", 2)
    for number in range(5):
        (tmp_path / f"{number}.bin").write_bytes(b"1234")
    found = artifact_records(tmp_path, changing=frozenset())
    assert [one["path"] for one in found] == ["0.bin", "1.bin"]
    assert found[0]["size_bytes"] == 4
    assert "sha256" not in found[0]


def test_a_timeline_is_ordered_by_time_and_cut_to_the_newest(monkeypatch):
    lines = b'{"ts":"2"}\n{"ts":"1"}\n{}\n{"ts":"3"}\n'
    whole = timeline_json("r", lines, whole=True)
    assert [one.get("ts") for one in whole["records"]] == [None, "1", "2", "3"]
    assert "truncated" not in whole
    assert timeline_json("r", lines, whole=False)["truncated"] is True
    monkeypatch.setattr("mnedge.store.runs.contents.TIMELINE_RECORDS", 2)
    cut = timeline_json("r", lines, whole=True)
    assert [one.get("ts") for one in cut["records"]] == [None, "3"]
    assert cut["truncated"] is True
    assert timeline_json("r", b"", whole=True)["records"] == []


def test_resources_give_peaks_and_totals_whatever_else_is_in_the_file(tmp_path):
    (tmp_path / "resources.jsonl").write_text(
        '{"cpu_pct":null,"memory_rss_mb":10,"llm":{"input_tokens":2,"calls":1}}\n'
        'no json\n[1]\n{"cpu_pct":50.5,"memory_rss_mb":7,"llm":{"input_tokens":3,"calls":"x"}}\n'
        '{"cpu_pct":true,"llm":7}\n'
    )
    assert resources_of(tmp_path) == {
        "resource_peaks": {"cpu_pct": 50.5, "memory_rss_mb": 10},
        "token_totals": {"input_tokens": 5, "output_tokens": 0, "total_tokens": 0, "calls": 1},
    }
    assert resources_of(tmp_path / "absent")["resource_peaks"] == {}


def test_a_ledger_with_very_many_messages_is_kept_without_them(monkeypatch):
    monkeypatch.setattr(contents, "LEDGER_MESSAGES", 2)
    small = {"steps": {"s": {}}, "messages": {"a": {}, "b": {}}}
    assert contents.bounded_ledger(small) is small
    large = {"steps": {"s": {}}, "messages": {name: {} for name in "abc"}}
    assert contents.bounded_ledger(large) == {
        "steps": {"s": {}},
        "messages": {},
        "truncated": True,
    }
