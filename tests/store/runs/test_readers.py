"""Run folders are read back whoever wrote them, and followed while they are written."""

import gzip
import json
import shutil

import pytest

from mnedge.store.runs.files import RunIdInvalidError
from mnedge.store.runs.readers import (
    Follower,
    RunNotFoundError,
    find_run,
    list_runs,
    read_events,
    read_run,
    read_stream,
)
from tests.store.runs.world import JOB, beginning, finish, folder, middle, whole_run


def test_any_subset_of_members_makes_a_run(tmp_path):
    for name, content in (
        ("demo", '{"schema_version":"mn.run.v1","run_id":"x","status":"completed"}'),
        ("old", '{"blueprint_id":"b","finished_at":"2026","error":"boom","status":7}'),
        ("broken", "{"),
        ("empty", None),
    ):
        (tmp_path / name).mkdir()
        if content is not None:
            (tmp_path / name / "run.json").write_text(content)
    assert read_run(tmp_path / "demo")["run_id"] == "x"
    old = read_run(tmp_path / "old")
    assert (old["run_id"], old["status"], old["ended_at"]) == ("old", "unknown", "2026")
    for name in ("broken", "empty"):
        assert read_run(tmp_path / name) == {
            "run_id": name,
            "blueprint_id": "",
            "status": "unknown",
            "ended_at": None,
            "run_dir": str(tmp_path / name),
        }
    with pytest.raises(RunNotFoundError):
        read_run(tmp_path / "absent")


def test_runs_are_listed_newest_first(tmp_path):
    for name, members in (
        ("a", {"updated_at": "2026-01-02", "blueprint_id": "x"}),
        ("b", {"ended_at": "2026-01-03", "blueprint_id": "y"}),
        ("c", {"started_at": "2026-01-01", "blueprint_id": "x"}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps(members))
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert [one["run_id"] for one in list_runs(tmp_path)] == ["b", "a", "c"]
    assert [one["run_id"] for one in list_runs(tmp_path, blueprint_id="x", limit=1)] == ["a"]
    assert list_runs(tmp_path / "absent") == []
    assert find_run(tmp_path, "a") == tmp_path / "a"
    with pytest.raises(RunNotFoundError):
        find_run(tmp_path, "z")
    with pytest.raises(RunIdInvalidError):
        find_run(tmp_path, "../a")


def test_lines_of_any_kind_become_records(tmp_path):
    (tmp_path / "events.jsonl").write_bytes(
        b'{"type":"a","timestamp":"2026-01-01","payload":{}}\n'
        b"no json \xff\n\n[1]\n"
        b'{"type":"b","ts":"2025-01-01","run_id":"mine"}\n' + b'{"type":"half"'
    )
    found = read_events(tmp_path)
    assert [one["type"] for one in found] == [
        "b", "unparseable_event", "a", "unparseable_event", "unparseable_event",
    ]  # fmt: skip
    assert (found[0]["run_id"], found[2]["run_id"]) == ("mine", tmp_path.name)
    assert found[2]["ts"] == "2026-01-01"
    assert found[1]["payload"] == {"line": '{"type":"half"'}
    assert found[3]["payload"] == {"line": "no json �"}


def test_full_files_come_first_also_when_they_are_packed(tmp_path):
    index = {"segments": [{"path": "events.003.jsonl"}, {"path": "../x"}, 7, {"path": "gone"}]}
    (tmp_path / "events.index.json").write_text(json.dumps(index))
    with gzip.open(tmp_path / "events.003.jsonl.gz", "wb") as packed:
        packed.write(b'{"type":"old","ts":"1"}\n')
    (tmp_path / "gone.gz").write_bytes(b"no gzip")
    (tmp_path / "events.jsonl").write_text('{"type":"new","ts":"2"}\n')
    assert [one["type"] for one in read_events(tmp_path)] == ["old", "new"]


def test_archived_logs_are_read_where_there_is_no_index(tmp_path):
    (tmp_path / "logs" / "archive").mkdir(parents=True)
    (tmp_path / "logs" / "archive" / "1.logs.jsonl").write_text('{"message":"old","ts":"1"}\n')
    (tmp_path / "logs.jsonl").write_text('{"message":"new","ts":"2"}\n')
    assert [one["message"] for one in read_stream(tmp_path, "logs")] == ["old", "new"]


def test_after_and_limit_choose_the_newest(tmp_path, monkeypatch):
    monkeypatch.setattr("mnedge.store.runs.stream.SEGMENT_BYTES", 3000)
    run = folder(tmp_path)
    run.open()
    run.publish(whole_run(9))
    with open(run.path / "events.jsonl", "a") as file:
        file.write('{"type":"mine"}\n')
    finish(run)
    run.close()
    assert [one.get("seq") for one in read_events(run.path, after=13)] == [14, 15, None, None]
    assert [one.get("seq") for one in read_events(run.path, limit=3)] == [15, None, None]
    assert [one["seq"] for one in read_events(run.path) if "seq" in one] == list(range(1, 16))
    assert read_events(run.path, limit=0) == []
    assert [one.get("seq") for one in read_events(run.path, after=99)] == [None, None]
    assert read_stream(run.path, "timeline", limit=1)[0]["type"] == "run_completed"


def told(found) -> list[object]:
    return [one.get("seq") or one["type"] for one in found]


def test_a_follower_tells_each_line_once_across_full_files(tmp_path, monkeypatch):
    monkeypatch.setattr("mnedge.store.runs.stream.SEGMENT_BYTES", 3000)
    run = folder(tmp_path)
    follower = Follower(run.path)
    assert follower.look() == []
    run.open()
    found = follower.look()
    run.publish(beginning())
    found += follower.look()
    for start in range(6, 46, 10):
        run.publish(middle(start, 10))
        found += follower.look()
    assert follower.look() == []
    assert [one["seq"] for one in found if "seq" in one] == list(range(1, 46))
    assert [one["type"] for one in found if "seq" not in one] == ["run_started", "inputs_loaded"]
    follower.close()
    run.close()


def test_a_follower_tells_each_line_once_when_a_worker_cuts_the_file(tmp_path):
    run = folder(tmp_path)
    run.open()
    run.publish(beginning())
    follower = Follower(run.path)
    found = follower.look()
    (run.path / "events.jsonl").write_text('{"type":"mine"}\n')
    found += follower.look()
    run.publish(middle(6, 3))
    run.merge_worker_files()
    found += follower.look()
    assert sorted(map(str, told(found))) == sorted(
        map(str, [*range(1, 9), "run_started", "inputs_loaded", "mine"])
    )
    shutil.rmtree(run.path)
    assert follower.look() == []
    follower.close()
    run.close()
    assert run.path.name == JOB


def test_a_follower_waits_for_the_end_of_a_line(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"type":')
    follower = Follower(tmp_path)
    assert follower.look() == []
    with open(path, "a") as file:
        file.write('"a"}\n')
    assert told(follower.look()) == ["a"]
    follower.close()
