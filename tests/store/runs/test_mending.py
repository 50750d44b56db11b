"""Streams read again: what is missing, what is ahead, what to cut."""

import json

import pytest

from mnedge.model.redaction import Redactor
from mnedge.store.runs.derived import Deriver
from mnedge.store.runs.lines import Identity, Renderer
from mnedge.store.runs.mending import (
    counted_again,
    drop_ahead,
    later_ids,
    not_in,
    rewrite,
    split_at,
    ts_of_ends,
    whole_lines,
    without,
)
from mnedge.store.runs.stream import Stream
from tests.store.runs.world import JOB, beginning, ending, middle

IDENTITY = Identity(job_id=JOB, blueprint_id="bp", trace_id="trc_t")
RENDERER = Renderer(IDENTITY, Redactor())
DERIVER = Deriver(JOB, "bp", "trc_t", log_level=20)


@pytest.fixture
def events(tmp_path):
    opened = Stream(tmp_path, "events")
    opened.load()
    return opened


@pytest.fixture
def timeline(tmp_path):
    opened = Stream(tmp_path, "timeline", rotates=False)
    opened.load()
    return opened


def lines_of(found) -> bytes:
    return b"".join(block.lines for block in RENDERER.blocks(found, started=False))


def test_lines_keep_their_newlines_and_a_torn_one_is_left_out():
    assert whole_lines(b"a\n\r\nb") == [b"a\n", b"\r\n"]
    assert whole_lines(b"") == []


def test_counting_again_finds_watermark_status_and_what_follows(events):
    events.append(lines_of([*beginning(), *middle(6, 3)]))
    tally, derived = counted_again(events, DERIVER, JOB)
    assert (tally.last_seq, tally.status) == (8, "running")
    assert tally.started_ts
    timelines = [one for one in derived if one.timeline is not None]
    assert len(timelines) == 4 + 2 + 2


@pytest.mark.parametrize("kept", range(1, 3))
def test_an_event_without_all_of_its_lines_is_cut(events, kept):
    whole = lines_of(beginning())
    before = len(lines_of(beginning()[:-1]))
    lines = whole_lines(whole)
    events.append(b"".join(lines[: len(beginning()) - 1 + kept]))
    tally, _ = counted_again(events, DERIVER, JOB)
    assert tally.last_seq == 4
    assert events.size_bytes == before


def test_a_hole_ends_what_counts(events):
    events.append(lines_of(middle(1, 2)) + b"\0\0\0\n" + lines_of(middle(3, 2)))
    tally, _ = counted_again(events, DERIVER, JOB)
    assert tally.last_seq == 2
    assert events.read() == lines_of(middle(1, 2))


def test_a_workers_line_is_not_a_part_of_the_runs_own(events):
    events.append(lines_of(beginning()) + b'{"type":"run_completed","ts":"x"}\n')
    tally, _ = counted_again(events, DERIVER, JOB)
    assert tally.ended_type == ""
    events.append(b"".join(block.lines for block in RENDERER.blocks(ending(6), started=True)))
    tally, _ = counted_again(events, DERIVER, JOB)
    assert tally.ended_type == "run_completed"


def test_only_what_is_missing_is_written_again(events, timeline):
    events.append(lines_of(beginning()))
    _, derived = counted_again(events, DERIVER, JOB)
    found = [one for one in derived if one.timeline is not None]
    assert not_in(timeline, found) == found
    timeline.append(b"".join((one.timeline or b"") + b"\n" for one in found[:2]))
    assert not_in(timeline, found) == found[2:]


def test_what_follows_from_events_that_are_gone_is_dropped(events, timeline):
    events.append(lines_of(beginning()))
    tally, derived = counted_again(events, DERIVER, JOB)
    timeline.append(b"".join((one.timeline or b"") + b"\n" for one in derived if one.timeline))
    before = timeline.read()
    drop_ahead(events, [timeline], JOB, tally)
    assert timeline.read() == before
    events.cut(len(lines_of(beginning()[:2])))
    tally, _ = counted_again(events, DERIVER, JOB)
    drop_ahead(events, [timeline], JOB, tally)
    assert [json.loads(line)["type"] for line in whole_lines(timeline.read())] == [
        "job_pending",
        "job_validated",
    ]


def test_later_ids_are_those_of_events_to_come():
    ids = later_ids(JOB, 5)
    lines = whole_lines(lines_of([*beginning()[:4], *ending(6)]))
    found = [json.loads(line) for line in lines]
    assert [one["event_id"] in ids for one in found] == [False] * 4 + [True] * 4
    assert [one["span_id"] in ids for one in found] == [False] * 4 + [True] * 4


def test_a_cut_takes_the_runs_own_lines_along_and_leaves_workers_theirs():
    mine = b'{"type":"mine","span_id":"spn_mine"}\n'
    content = lines_of(beginning()) + mine
    kept, gone = split_at(content, 4)
    assert b"".join(kept) == lines_of(beginning()[:4]) + mine
    assert len(gone) == 3
    assert split_at(content, 5) == (whole_lines(content), [])
    assert without(content, gone) == kept


@pytest.mark.parametrize("kept", [[b"1\n", b"2\n"], [b"1\n"], [b"2\n"], [], [b"1\n", b"3\n"]])
def test_rewriting_leaves_what_is_kept(events, kept):
    events.append(b"1\n2\n")
    rewrite(events, b"1\n2\n", kept)
    assert events.read() == b"".join(kept)
    assert events.records == len(kept)


def test_the_ends_of_a_file_tell_its_times(events):
    events.append(b'{"ts":"a"}\n{"ts":"b"}\nno json\n{"ts":"c"}\n')
    assert ts_of_ends(events) == ("a", "c")
    events.append(b'{"ts":7}\n')
    assert ts_of_ends(events) == ("a", "")
    events.append(b"no json\n")
    assert ts_of_ends(events) == ("a", "")
