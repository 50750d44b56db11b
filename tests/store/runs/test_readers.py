"""Run folders are read back whoever wrote them, and followed while they are written."""

import gzip
import json
import shutil

import pytest

from mnedge.store.runs.readers import (
    Follower,
    RunNotFoundError,
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


def told(follower) -> list[object]:
    return [one.get("seq") or one.get("event_id") or one["type"] for one in follower.look()]


def add(path, *records) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def events(tmp_path):
    return tmp_path / "events.jsonl"


@pytest.fixture
def follower(tmp_path):
    with Follower(tmp_path) as opened:
        yield opened


def test_a_follower_tells_each_line_once_across_full_files(tmp_path, monkeypatch):
    monkeypatch.setattr("mnedge.store.runs.stream.SEGMENT_BYTES", 3000)
    run = folder(tmp_path)
    follower = Follower(run.path)
    assert told(follower) == []
    run.open()
    found = told(follower)
    run.publish(beginning())
    found += told(follower)
    for start in range(6, 46, 10):
        run.publish(middle(start, 10))
        found += told(follower)
    assert told(follower) == []
    assert [one for one in found if isinstance(one, int)] == list(range(1, 46))
    assert len(found) == 45 + len(["run_started", "inputs_loaded"])
    follower.close()
    run.close()
    with Follower(run.path) as late:
        kept = told(late)
        assert kept == found[-len(kept) :]
        assert len(kept) > 20
        assert told(late) == []
    with Follower(run.path, after=41) as late:
        assert told(late) == [42, 43, 44, 45]


def test_a_follower_tells_each_line_once_when_a_worker_cuts_the_file(tmp_path):
    run = folder(tmp_path)
    run.open()
    run.publish(beginning())
    follower = Follower(run.path)
    found = list(follower.look())
    (run.path / "events.jsonl").write_text('{"type":"mine"}\n')
    found += follower.look()
    run.publish(middle(6, 3))
    run.merge_worker_files()
    found += follower.look()
    assert sorted(str(one.get("seq") or one["type"]) for one in found) == sorted(
        map(str, [*range(1, 9), "run_started", "inputs_loaded", "mine"])
    )
    shutil.rmtree(run.path)
    assert told(follower) == []
    follower.close()
    run.close()
    assert run.path.name == JOB


def test_a_follower_waits_for_the_end_of_a_line(events, follower):
    events.write_text('{"seq": 1}\n{"se')
    assert told(follower) == [1]
    with open(events, "a") as file:
        file.write('q": 2}\n')
    assert told(follower) == [2]


def test_lines_that_are_alike_are_told_as_often_as_they_were_written(events, follower):
    add(events, {"type": "tick"}, {"type": "tick"})
    assert told(follower) == ["tick", "tick"]
    add(events, {"type": "tick"})
    assert told(follower) == ["tick"]
    follower.close()
    add(events, {"type": "tick"})
    assert told(follower) == ["tick"]


def test_a_file_that_became_full_is_read_to_its_end(events, follower):
    add(events, {"seq": 1})
    assert told(follower) == [1]
    add(events, {"seq": 2})
    events.rename(events.with_name("events.001.jsonl"))
    add(events.with_name("events.002.jsonl"), {"seq": 3})
    add(events, {"seq": 4})
    assert told(follower) == [2, 3, 4]


def test_a_replaced_file_tells_only_what_is_new(events, follower):
    add(events, {"seq": 1}, {"event_id": "w1"})
    assert told(follower) == [1, "w1"]
    other = events.with_name("other")
    add(other, {"event_id": "w1"}, {"event_id": "w2"}, {"seq": 1}, {"seq": 2})
    other.replace(events)
    assert told(follower) == ["w2", 2]


def test_a_cut_file_is_read_again(events, follower):
    add(events, {"seq": 1}, {"seq": 2})
    assert told(follower) == [1, 2]
    events.write_text('{"seq": 1}\n')
    assert told(follower) == []
    events.write_text("")
    assert told(follower) == []
    add(events, {"seq": 1}, {"seq": 2}, {"seq": 3})
    assert told(follower) == [3]


def test_a_file_that_went_away_may_come_back(events, follower):
    add(events, {"seq": 1})
    assert told(follower) == [1]
    events.unlink()
    assert told(follower) == []
    add(events, {"seq": 1}, {"seq": 2})
    assert told(follower) == [2]


def test_following_may_begin_behind_an_event(events, tmp_path):
    add(events, {"seq": 1}, {"type": "early"}, {"seq": 2}, {"type": "mine"}, {"seq": 3})
    with Follower(tmp_path, after=2) as follower:
        assert told(follower) == ["mine", 3]
        add(events, {"seq": 4})
        assert told(follower) == [4]
