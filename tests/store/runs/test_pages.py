"""All streams of a run together: full files, crashes between them, workers between them."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnedge import faults
from mnedge.faults import InjectedFaultError
from mnedge.model.events import Event
from mnedge.model.redaction import Redactor
from mnedge.store.runs.derived import Deriver
from mnedge.store.runs.lines import Block, Identity, Renderer
from mnedge.store.runs.pages import Pages
from mnedge.store.runs.readers import read_events
from mnedge.store.runs.stream import SEGMENTS
from tests.store.runs.world import (
    AT,
    JOB,
    assert_whole,
    beginning,
    files_of,
    finish,
    folder,
    middle,
    records,
    whole_run,
)

SMALL = 3000
IDENTITY = Identity(job_id=JOB, blueprint_id="bp", trace_id="trc_t")
RENDERER = Renderer(IDENTITY, Redactor())


@pytest.fixture(autouse=True)
def small_files(monkeypatch):
    monkeypatch.setattr("mnedge.store.runs.stream.SEGMENT_BYTES", SMALL)


@pytest.fixture
def pages(tmp_path):
    opened = new_pages(tmp_path)
    opened.load()
    yield opened
    opened.close()


def new_pages(place: Path) -> Pages:
    deriver = Deriver(JOB, "bp", "trc_t", log_level=20)
    return Pages(place / "data", place / "run", IDENTITY, Redactor(), deriver, now=lambda: AT)


def add(pages: Pages, events: list[Event]) -> None:
    pages.add(RENDERER.blocks(events, started=bool(pages.tally.started_ts)))


def seqs(run_dir: Path) -> list[int]:
    paths = [*sorted(run_dir.glob("events.0*.jsonl")), run_dir / "events.jsonl"]
    return [one["seq"] for path in paths for one in records(path) if "seq" in one]


def test_a_file_is_full_before_the_line_that_would_cross_its_bound(pages, tmp_path):
    add(pages, middle(1, 40))
    run = tmp_path / "run"
    full = sorted(run.glob("events.0*.jsonl"))
    assert 1 < len(full) <= SEGMENTS
    for path, following in zip(full, [*full[1:], run / "events.jsonl"], strict=True):
        size_bytes = path.stat().st_size
        assert size_bytes <= SMALL
        first = following.read_bytes().split(b"\n")[0]
        assert size_bytes + len(first) + 1 > SMALL
    assert (run / "events.jsonl").stat().st_size <= SMALL


@settings(max_examples=15)
@given(st.lists(st.integers(1, 40), max_size=6))
def test_where_files_end_does_not_depend_on_batches(tmp_path_factory, cuts):
    events, found = middle(1, 40), []
    for division in ([], cuts):
        place = tmp_path_factory.mktemp("pages")
        pages = new_pages(place)
        pages.load()
        start = 0
        for cut in [*sorted(division), len(events)]:
            if events[start:cut]:
                add(pages, events[start:cut])
            start = max(start, cut)
        pages.close()
        found.append(files_of(place))
    assert found[0] == found[1]


def test_the_index_tells_what_the_full_files_hold(pages, tmp_path):
    add(pages, middle(1, 40))
    run = tmp_path / "run"
    index = json.loads((run / "events.index.json").read_text())
    assert (index["stream"], index["current"]) == ("events", "events.jsonl")
    for segment in index["segments"]:
        content = (run / segment["path"]).read_bytes()
        lines = [json.loads(line) for line in content.splitlines()]
        number = segment["path"].split(".")[1]
        assert segment == {
            "path": f"events.{number}.jsonl",
            "artifact_id": f"events_jsonl_{number}",
            "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "records": len(lines),
            "first_ts": lines[0]["ts"],
            "last_ts": lines[-1]["ts"],
        }


def test_only_the_newest_full_files_are_kept_and_the_numbers_of_events_go_on(pages, tmp_path):
    add(pages, middle(1, 300))
    run = tmp_path / "run"
    assert len(list(run.glob("events.0*.jsonl"))) == SEGMENTS
    found = seqs(run)
    assert found == list(range(found[0], 301))
    assert found[0] > 1
    assert pages.counts.events == 300
    assert len(list(run.glob("errors.0*.jsonl"))) == SEGMENTS
    assert not list(run.glob("timeline.0*.jsonl"))
    index = json.loads((run / "errors.index.json").read_text())
    assert len(index["segments"]) == SEGMENTS


def test_reading_again_counts_from_the_newest_full_file(pages, tmp_path):
    add(pages, beginning())
    add(pages, middle(6, 300))
    tally, counts = pages.tally, pages.counts
    pages.close()
    again = new_pages(tmp_path)
    again.load()
    assert again.tally == tally
    assert again.counts == counts
    again.close()


@pytest.mark.parametrize("point", ["publish.during", "runs.rename.before", "runs.rename.after"])
def test_a_crash_while_files_become_full_loses_and_doubles_nothing(tmp_path, point):
    events = middle(1, 24)
    whole = new_pages(tmp_path / "whole")
    whole.load()
    add(whole, events)
    whole.close()
    visit = 0
    while True:
        visit += 1
        place = tmp_path / str(visit)
        crashed = False
        with faults.armed(f"{point}:{visit}:raise"):
            while True:
                pages = new_pages(place)
                try:
                    pages.load()
                    rest = events[pages.tally.last_seq :]
                    if rest:
                        add(pages, rest)
                    break
                except InjectedFaultError:
                    crashed = True
                finally:
                    pages.close()
        assert files_of(place) == files_of(tmp_path / "whole"), visit
        if not crashed:
            break
    assert visit > 3


@settings(max_examples=10)
@given(st.data())
def test_full_files_that_a_power_cut_shortened_are_made_whole_again(tmp_path_factory, data):
    place, events = tmp_path_factory.mktemp("cut"), middle(1, 60)
    pages = new_pages(place)
    pages.load()
    add(pages, events)
    pages.close()
    whole = files_of(place)
    files = sorted((place / "data").glob("events*.jsonl"))
    for file in data.draw(st.lists(st.sampled_from(files), unique=True, max_size=2)):
        os.truncate(file, data.draw(st.integers(0, file.stat().st_size)))
    pages = new_pages(place)
    pages.load()
    add(pages, events[pages.tally.last_seq :]) if pages.tally.last_seq < 60 else None
    pages.close()
    found = files_of(place)
    kept = seqs(place / "run")
    assert kept == list(range(kept[0], 61))
    assert found["run/timeline.jsonl"].count(b"\n") == whole["run/timeline.jsonl"].count(b"\n")
    assert found["run/events.jsonl"] == found["data/events.jsonl"]


def test_full_files_that_a_worker_spoilt_are_shown_again_by_the_next_owner(pages, tmp_path):
    add(pages, middle(1, 40))
    pages.close()
    run = tmp_path / "run"
    before = files_of(tmp_path)
    first, second, *_ = sorted(run.glob("events.0*.jsonl"))
    first.unlink()
    second.write_bytes(b"x\n")
    (run / "events.index.json").write_text("{}")
    again = new_pages(tmp_path)
    again.load()
    again.close()
    assert files_of(tmp_path) == before


def test_a_worker_that_cuts_the_file_while_it_becomes_full_costs_nothing(pages, tmp_path):
    run = tmp_path / "run"
    for start in range(1, 61, 4):
        if start % 8 == 1:
            with open(run / "events.jsonl", "w" if start % 16 == 1 else "a") as file:
                file.write(json.dumps({"type": "mine", "event_id": f"evt_{start}"}) + "\n")
        add(pages, middle(start, 4))
    pages.merge(thoroughly=True)
    found = read_events(run)
    assert [one["seq"] for one in found if "seq" in one] == seqs(run)
    kept = seqs(run)
    assert kept == list(range(kept[0], 61))
    mine = [one["event_id"] for one in found if one["type"] == "mine"]
    assert len(mine) == len(set(mine))
    assert pages.counts.events == 60 + 8
    truth = tmp_path / "data"
    for path in truth.glob("events*.jsonl"):
        assert (run / path.name).read_bytes() == path.read_bytes()


def test_many_lines_of_a_worker_fill_files_like_ours(pages, tmp_path):
    run = tmp_path / "run"
    with open(run / "events.jsonl", "a") as file:
        for number in range(200):
            file.write(json.dumps({"type": "mine", "event_id": f"evt_{number}"}) + "\n")
    with open(run / "errors.jsonl", "a") as file:
        for number in range(200):
            file.write(json.dumps({"type": "mine_failed", "event_id": f"evt_{number}"}) + "\n")
    pages.merge()
    add(pages, middle(1, 2))
    assert pages.counts.events == 202
    assert pages.counts.errors == 201
    for name in ("events", "errors"):
        for path in [*run.glob(f"{name}.0*.jsonl"), run / f"{name}.jsonl"]:
            assert 0 < path.stat().st_size <= SMALL
            assert path.read_bytes() == (tmp_path / "data" / path.name).read_bytes()


def test_a_cut_reaches_back_into_full_files(pages, tmp_path):
    add(pages, middle(1, 60))
    pages.cut(40)
    assert pages.tally.last_seq == 40
    assert seqs(tmp_path / "run")[-1] == 40
    add(pages, middle(41, 20))
    whole = new_pages(tmp_path / "whole")
    whole.load()
    add(whole, middle(1, 60))
    whole.close()
    for name in ("events.jsonl", "timeline.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (
            tmp_path / "whole" / "run" / name
        ).read_bytes()


def test_a_block_that_is_no_event_of_the_job_moves_no_watermark(pages):
    add(pages, middle(1, 3))
    line = RENDERER.ending("cancelled", "2026-01-01T00:00:00.000Z", {}, started=False)
    pages.add([Block(0, line, pages.tally.last_ts, True)])
    assert pages.tally.last_seq == 3
    assert pages.tally.ended_type == "run_cancelled"
    tally = pages.tally
    pages.load()
    assert pages.tally == tally


def test_a_whole_run_with_small_files_ends_as_it_should(tmp_path):
    run = folder(tmp_path)
    run.open()
    for event in whole_run(9):
        run.publish([event])
    finish(run)
    run.close()
    assert_whole(run.path, whole_run(9))
    summary = json.loads((run.path / "observability_summary.json").read_text())
    ids = [one["artifact_id"] for one in summary["artifacts"]]
    assert {"events_jsonl", "events_jsonl_001", "events_index_json"} <= set(ids)
