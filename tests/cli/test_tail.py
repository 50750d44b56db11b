"""A file read while it grows, is rotated, and is replaced."""

import json
import os

from mnedge.cli.tail import Tail, parsed


def add(path, *records):
    with path.open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def seqs(tail):
    return [record.get("seq", record.get("event_id")) for record in tail.look()]


def test_what_is_added_is_told_once(tmp_path):
    path = tmp_path / "events.jsonl"
    with Tail(path) as tail:
        assert seqs(tail) == []
        add(path, {"seq": 1}, {"seq": 2})
        assert seqs(tail) == [1, 2]
        assert seqs(tail) == []
        add(path, {"seq": 3})
        assert seqs(tail) == [3]


def test_half_a_line_waits_for_its_other_half(tmp_path):
    path = tmp_path / "events.jsonl"
    with Tail(path) as tail:
        path.write_text('{"seq": 1}\n{"se')
        assert seqs(tail) == [1]
        with path.open("a") as file:
            file.write('q": 2}\n')
        assert seqs(tail) == [2]


def test_a_rotated_file_is_read_to_its_end(tmp_path):
    path = tmp_path / "events.jsonl"
    add(path, {"seq": 1})
    with Tail(path) as tail:
        assert seqs(tail) == [1]
        add(path, {"seq": 2})
        path.rename(tmp_path / "events.001.jsonl")
        add(path, {"seq": 3})
        assert seqs(tail) == [2, 3]


def test_a_replaced_file_tells_only_what_is_new(tmp_path):
    path = tmp_path / "events.jsonl"
    add(path, {"seq": 1}, {"event_id": "w1"})
    with Tail(path) as tail:
        assert seqs(tail) == [1, "w1"]
        other = tmp_path / "other"
        add(other, {"event_id": "w1"}, {"event_id": "w2"}, {"seq": 1}, {"seq": 2})
        os.replace(other, path)
        assert seqs(tail) == ["w2", 2]


def test_a_cut_file_is_read_again(tmp_path):
    path = tmp_path / "events.jsonl"
    add(path, {"seq": 1}, {"seq": 2})
    with Tail(path) as tail:
        assert seqs(tail) == [1, 2]
        path.write_text('{"seq": 1}\n')
        assert seqs(tail) == []
        add(path, {"seq": 2}, {"seq": 3})
        assert seqs(tail) == [3]


def test_a_file_that_went_away_may_come_back(tmp_path):
    path = tmp_path / "events.jsonl"
    add(path, {"seq": 1})
    with Tail(path) as tail:
        assert seqs(tail) == [1]
        path.unlink()
        assert seqs(tail) == []
        add(path, {"seq": 2})
        assert seqs(tail) == [2]


def test_reading_may_begin_later(tmp_path):
    path = tmp_path / "events.jsonl"
    add(path, {"seq": 1}, {"seq": 2}, {"seq": 3})
    with Tail(path, after=2) as tail:
        assert seqs(tail) == [3]


def test_a_line_that_is_no_record_is_told_as_such():
    assert parsed(b"  ") is None
    assert parsed(b"{oops") == {"type": "unparseable_event", "payload": {"line": "{oops"}}
    assert parsed(b"[1]")["type"] == "unparseable_event"
