import json
import os

import pytest

from mnedge.store.runs.places import BEGINNING, START, Mark, Place, Places, head_of, mark_of


def write(folder, name, *numbers):
    """Write records; 0 is one without a number."""
    lines = [json.dumps({"type": "t", **({"seq": one} if one else {})}) for one in numbers]
    (folder / name).write_text("".join(f"{line}\n" for line in lines))


def every(places, **more):
    place, mark, found = BEGINNING, START, []
    while told := places.read(place, mark, **more):
        place, mark = told[-1].end, told[-1].mark
        found += [str(one.mark) for one in told]
    return found


@pytest.fixture
def places(tmp_path):
    write(tmp_path, "events.001.jsonl", 1, 0, 2)
    write(tmp_path, "events.002.jsonl", 0, 3, 0, 0)
    write(tmp_path, "events.jsonl", 0, 4, 5)
    return Places(tmp_path, "events")


MARKS = ["1", "1.1", "2", "2.1", "3", "3.1", "3.2", "3.3", "4", "5"]


@pytest.mark.parametrize("limit_bytes", [1, 20, 40, 1000])
def test_all_files_are_read_in_order_whatever_fits_at_once(places, limit_bytes):
    assert every(places, limit_bytes=limit_bytes) == MARKS


def test_from_any_mark_the_records_behind_it_follow(places):
    for at, text in enumerate(MARKS):
        after = mark_of(text)
        place, mark = places.find(after)
        found = []
        while told := places.read(place, mark):
            place, mark = told[-1].end, told[-1].mark
            found += [str(one.mark) for one in told if one.mark > after]
        assert found == MARKS[at + 1 :]


def test_a_mark_that_no_record_has_is_as_good_as_the_one_before(places):
    assert places.find(Mark(99)) == (Place(3, os.stat(places._current).st_size), Mark(5))
    assert places.find(START) == (BEGINNING, START)


def test_what_a_full_stream_has_forgotten_is_skipped(places, tmp_path):
    (tmp_path / "events.001.jsonl").unlink()
    assert every(places)[-6:] == MARKS[-6:]


def test_a_file_that_becomes_full_keeps_its_number(tmp_path):
    places = Places(tmp_path, "events")
    assert places.read(BEGINNING, START) == []
    write(tmp_path, "events.jsonl", 1, 2)
    told = places.read(BEGINNING, START)
    os.rename(tmp_path / "events.jsonl", tmp_path / "events.001.jsonl")
    write(tmp_path, "events.jsonl", 3)
    assert [one.seq for one in places.read(told[-1].end, told[-1].mark)] == [3]


def test_half_a_line_is_not_there_yet(tmp_path):
    write(tmp_path, "events.jsonl", 1)
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"seq": 2')
    assert every(Places(tmp_path, "events")) == ["1"]


def test_the_newest_come_from_as_many_files_as_it_takes(places):
    assert [one.seq for one in places.newest(5)] == [0, 0, 0, 4, 5]
    assert places.newest(0) == []


def test_what_is_no_record_of_ours_has_a_plain_head():
    assert head_of(b"[").type == "unparseable_event"
    assert head_of(b'{"type":"x","seq":"no"}').seq == 0


def test_a_link_is_no_stream(tmp_path):
    (tmp_path / "real").write_text('{"seq": 1}\n')
    (tmp_path / "events.jsonl").symlink_to(tmp_path / "real")
    assert every(Places(tmp_path, "events")) == []
