"""Run folders: complete after success, failure and cancel, whatever crashes and workers do."""

import errno
import json
import os
import re
import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnedge import faults
from mnedge.errors import UnavailableError
from mnedge.faults import InjectedFaultError
from mnedge.model.events import Event
from mnedge.model.redaction import REDACTED, Redactor
from mnedge.model.states import JobStatus
from mnedge.store.runs import mirror
from mnedge.store.runs.files import (
    RunExistsError,
    RunIdInvalidError,
    RunTakenError,
    stamp_of,
)
from mnedge.store.runs.folder import RunFolder, forget_run
from mnedge.store.runs.rewrites import Rewrites
from tests.store.runs.world import (
    AT,
    JOB,
    NINE,
    RESULT,
    SPEC,
    all_events,
    assert_whole,
    beginning,
    ending,
    error,
    failing,
    files_of,
    finish,
    folder,
    message,
    middle,
    records,
    whole_run,
)

ID = re.compile(r"^(trc|spn|evt)_[A-Za-z0-9_-]+$")
ISO = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


def run_whole(place: Path, events: list[Event] | None = None) -> RunFolder:
    run = folder(place)
    run.open()
    run.publish(events or whole_run())
    finish(run)
    run.close()
    return run


# ---- a run that nothing happens to ----


def test_a_new_folder_holds_what_must_be_there_from_the_start(tmp_path):
    run = folder(tmp_path)
    assert run.open() == 0
    assert files_of(run.path).keys() == {
        "run.json", "config.json", "inputs.json", "job.json",
        "events.jsonl", "errors.jsonl", "timeline.jsonl",
    }  # fmt: skip
    assert json.loads((run.path / "run.json").read_text()) == {
        "schema_version": "mn.run.v1",
        "run_id": JOB,
        "job_id": JOB,
        "blueprint_id": "bp",
        "blueprint_revision": SPEC.fingerprint,
        "blueprint_source": "blueprints/bp",
        "graph_id": "bp_v1",
        "status": "running",
        "trace_id": (trace := json.loads((run.path / "run.json").read_text())["trace_id"]),
        "span_id": "spn_" + trace.removeprefix("trc_"),
        "started_at": "2025-11-24T16:00:00.000Z",
        "updated_at": "2025-11-24T16:00:00.000Z",
        "ended_at": None,
        "run_dir": str(run.path),
        "artifacts": {
            "config_json": "config.json",
            "errors_jsonl": "errors.jsonl",
            "events_jsonl": "events.jsonl",
            "inputs_json": "inputs.json",
            "job_json": "job.json",
            "run_json": "run.json",
            "timeline_jsonl": "timeline.jsonl",
        },
    }
    run.close()


def test_every_json_file_is_sorted_indented_and_ends_with_a_newline(tmp_path):
    run = run_whole(tmp_path)
    for file in run.path.glob("*.json"):
        text = file.read_text()
        tree = json.loads(text)
        assert text == json.dumps(tree, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_every_line_is_compact_and_sorted(tmp_path):
    run = run_whole(tmp_path)
    for file in run.path.glob("*.jsonl"):
        for line in file.read_text().splitlines():
            tree = json.loads(line)
            assert line == json.dumps(
                tree, sort_keys=True, ensure_ascii=False, separators=(",", ":")
            )


def test_a_completed_run_leaves_all_nine_files(tmp_path):
    run = run_whole(tmp_path)
    assert set(NINE) <= files_of(run.path).keys()
    assert json.loads((run.path / "run.json").read_text())["status"] == "completed"
    assert json.loads((run.path / "result.json").read_text()) == {
        "schema_version": "mn.blueprint.response.v1",
        "run_id": JOB,
        "status": "completed",
        "result": RESULT,
        "workflow": {"steps": []},
        "output_skills": [],
        "errors": [],
        "warnings": [],
    }
    assert json.loads((run.path / "final_artifact.json").read_text()) == {
        "schema_version": "mn.blueprint.final_artifact.v1",
        "type": "run_result",
        "executive_summary": "A small run was completed by sink.",
        "evidence": {"count": 3},
        "next_steps": [],
        "source_refs": ["result_json", "events_jsonl"],
    }


def test_events_say_when_what_and_of_which_run(tmp_path):
    run = run_whole(tmp_path)
    assert_whole(run.path, whole_run())
    for one in records(run.path / "events.jsonl"):
        assert ISO.match(one["ts"])
        assert (one["run_id"], one["job_id"], one["blueprint_id"]) == (JOB, JOB, "bp")
        assert isinstance(one["payload"], dict)
        assert all(ID.match(one[name]) for name in ("event_id", "span_id", "trace_id"))


def test_the_events_of_the_run_itself_follow_from_those_of_its_job(tmp_path):
    run = run_whole(tmp_path)
    found = records(run.path / "events.jsonl")
    types = [one["type"] for one in found if "seq" not in one]
    assert types == ["run_started", "inputs_loaded", "run_completed"]
    started = next(one for one in found if one["type"] == "run_started")
    job_running = next(one for one in found if one["type"] == "job_running")
    assert started["parent_span_id"] == job_running["span_id"]
    assert started["payload"] == {"trigger": "manual", "adapter": "json"}
    loaded = next(one for one in found if one["type"] == "inputs_loaded")
    assert loaded["payload"] == {"adapter": "json", "keys": ["gauge"], "real_ready": True}


def test_a_message_is_told_as_its_summary(tmp_path):
    run = folder(tmp_path)
    run.open()
    odd = message(7, type='wo"rk', to="", stream={"chunk": 1, "api_key": "k"}, class_="stream")
    run.publish([*beginning(), Event(6, AT, "agent_message_received", "sînk", odd)])
    assert records(run.path / "events.jsonl")[-1]["payload"] == {
        "message_id": "m7",
        "correlation_id": "c",
        "causation_id": None,
        "from": "source",
        "to": None,
        "type": 'wo"rk',
        "class": "stream",
        "content_type": "application/json",
        "content_encoding": "identity",
        "stream": {"chunk": 1, "api_key": REDACTED},
    }
    run.close()


def test_a_failed_run_leaves_a_failure_report(tmp_path):
    run = folder(tmp_path)
    run.open()
    run.publish([*beginning(), *failing(6)])
    run.finish(JobStatus.FAILED, {"agent_id": "w", "error": "boom"}, error(6), ended_at=AT + 9)
    run.close()
    result = json.loads((run.path / "result.json").read_text())
    assert (result["status"], result["error"], result["errors"]) == ("failed", error(6), [error(6)])
    final = json.loads((run.path / "final_artifact.json").read_text())
    assert final["type"] == "failure_report"
    assert final["evidence"] == {"error": error(6)}
    record = json.loads((run.path / "run.json").read_text())
    assert record["failure"] == error(6)
    assert record["reason"] == record["status_reason"] == "Boom"
    assert record["error"] == "boom"
    summary = json.loads((run.path / "observability_summary.json").read_text())
    assert (summary["status"], summary["failed_agent"]) == ("failed", "w")
    errors = records(run.path / "errors.jsonl")
    assert [one["type"] for one in errors] == ["job_failed", "run_failed"]
    assert all(one["error"]["schema_version"] == "mn.error.v1" for one in errors)


def test_a_cancelled_run_says_why(tmp_path):
    run = folder(tmp_path)
    run.open()
    run.publish([*beginning(), Event(6, AT + 9, "job_cancelled", None, {"reason": "enough"})])
    run.finish(JobStatus.CANCELLED, {"reason": "enough"}, None, ended_at=AT + 9)
    run.close()
    assert set(NINE) <= files_of(run.path).keys()
    record = json.loads((run.path / "run.json").read_text())
    assert (record["status"], record["reason"]) == ("cancelled", "enough")
    assert all_events(run.path)[-1]["type"] == "run_cancelled"
    final = json.loads((run.path / "final_artifact.json").read_text())
    assert final["evidence"] == {"reason": "enough"}


def test_a_run_that_no_event_has_ended_is_ended_when_it_is_finished(tmp_path):
    run = folder(tmp_path)
    run.open()
    run.finish(JobStatus.CANCELLED, {"reason": "forced"}, None)
    run.close()
    types = [one["type"] for one in all_events(run.path)]
    assert types == ["run_started", "inputs_loaded", "run_cancelled"]
    before = files_of(run.path)
    again = folder(tmp_path)
    assert again.open() == 0
    again.finish(JobStatus.CANCELLED, {"reason": "forced"}, None)
    again.close()
    assert files_of(run.path) == before


def test_the_end_of_a_job_that_never_ran_begins_the_run_first(tmp_path):
    run = folder(tmp_path)
    run.open()
    run.publish([Event(1, AT, "job_pending", None, {}), *failing(2)])
    types = [one["type"] for one in all_events(run.path)]
    assert types == ["job_pending", "job_failed", "run_started", "inputs_loaded", "run_failed"]
    run.close()


def test_run_json_follows_pauses(tmp_path):
    run = folder(tmp_path)
    run.open()
    run.publish(beginning())
    for seq, (type_, status) in enumerate(
        [
            ("job_paused", "paused"),
            ("job_resumed", "running"),
            ("human_input_requested", "waiting_for_human"),
            ("human_input_received", "running"),
        ],
        6,
    ):
        run.publish([Event(seq, AT + seq, type_, None, {"request_id": "r"})])
        record = json.loads((run.path / "run.json").read_text())
        assert record["status"] == status
        assert ISO.match(record["updated_at"])
    run.close()


def test_human_events_stand_in_both_files_alike(tmp_path):
    run = folder(tmp_path)
    run.open()
    assert not (run.path / "human.jsonl").exists()
    run.publish([*beginning(), Event(6, AT, "human_notice", "a", {"message": "look"})])
    (human,) = records(run.path / "human.jsonl")
    assert human == records(run.path / "events.jsonl")[-1]
    assert human["channel"] == "human"
    assert records(run.path / "timeline.jsonl")[-1]["phase"] == "waiting_for_human"
    run.close()


def test_failure_events_of_workers_get_an_envelope(tmp_path):
    run = folder(tmp_path)
    run.open()
    payload = {"message": "the request timed out", "attempt": 2}
    run.publish([*beginning(), Event(6, AT, "fetch_failed", "w", payload, "s1")])
    (failure,) = records(run.path / "errors.jsonl")
    assert failure["error"]["code"] == "workflow.step.timeout"
    assert failure["error"]["details"]["step_id"] == failure["step_id"] == "s1"
    assert failure["error"]["event_id"] == failure["event_id"]
    assert failure["error"] == records(run.path / "events.jsonl")[-1]["error"]
    (moment,) = [one for one in records(run.path / "timeline.jsonl") if "step_id" in one]
    assert moment["links"] == [{"rel": "errors", "artifact_id": "errors_jsonl"}]
    assert moment["summary"] == "Workflow step timed out"
    run.close()


def test_the_summary_counts_what_the_files_hold(tmp_path):
    run = run_whole(tmp_path, whole_run(30))
    summary = json.loads((run.path / "observability_summary.json").read_text())
    for name, file in (
        ("event_count", "events"),
        ("error_count", "errors"),
        ("log_count", "logs"),
        ("timeline_count", "timeline"),
    ):
        assert summary[name] == len(records(run.path / f"{file}.jsonl")), name
    assert summary["artifact_count"] == len(summary["artifacts"]) == len(files_of(run.path))
    assert summary["duration_ms"] == 9000
    assert len(summary["slowest_steps"]) == 5
    assert summary["slowest_steps"][0]["duration_ms"] == 1
    for one in summary["artifacts"]:
        if one["path"] not in ("run.json", "observability_summary.json"):
            assert one["size_bytes"] == len((run.path / one["path"]).read_bytes())


def test_timeline_json_mirrors_the_timeline_in_order_of_time(tmp_path):
    run = run_whole(tmp_path)
    mirror = json.loads((run.path / "timeline.json").read_text())
    assert mirror["records"] == sorted(
        records(run.path / "timeline.jsonl"), key=lambda one: one["ts"]
    )
    assert "truncated" not in mirror


# ---- ids and folders ----


@pytest.mark.parametrize("run_id", ["../up", "a/b", "", ".hidden", "a\0b", "-x", "x" * 300])
def test_a_run_id_never_leaves_the_root(tmp_path, run_id):
    with pytest.raises(RunIdInvalidError):
        folder(tmp_path, job_id=run_id)


def test_a_link_in_the_place_of_a_run_folder_is_refused(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs" / JOB).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunIdInvalidError):
        folder(tmp_path)


def test_a_finished_run_of_somebody_else_is_not_overwritten(tmp_path):
    run = run_whole(tmp_path)
    before = files_of(run.path)
    forget_run(tmp_path / "data", JOB)
    with pytest.raises(RunExistsError):
        folder(tmp_path).open()
    assert files_of(run.path) == before
    again = folder(tmp_path)
    again.open(resume=True)
    assert json.loads((run.path / "run.json").read_text())["status"] == "running"
    again.close()


def test_a_finished_run_of_our_own_is_opened_without_a_change(tmp_path):
    run = run_whole(tmp_path)
    before = files_of(run.path)
    again = folder(tmp_path)
    assert again.open() == len(whole_run())
    again.close()
    assert files_of(run.path) == before


# ---- publishing ----


def test_publishing_again_writes_nothing(tmp_path):
    run = folder(tmp_path)
    run.open()
    run.publish(whole_run())
    before = files_of(tmp_path)
    run.publish(whole_run())
    run.publish(whole_run()[:4])
    assert files_of(tmp_path) == before
    run.close()


@given(st.lists(st.integers(0, 18), max_size=8))
def test_any_division_into_batches_gives_the_same_files(tmp_path_factory, cuts):
    events = whole_run()
    place, other = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("a")
    run_whole(place)
    run = folder(other)
    run.open()
    start = 0
    for cut in [*sorted(cuts), len(events)]:
        run.publish(events[max(0, start - 2) : cut])  # some of them twice
        start = cut
    finish(run)
    run.close()
    assert _comparable(place) == _comparable(other)


def _comparable(place: Path) -> dict[str, bytes]:
    return {
        name: content.replace(str(place).encode(), b"PLACE")
        for name, content in files_of(place).items()
    }


def test_records_over_their_bound_say_so_and_stay_small(tmp_path):
    run = folder(tmp_path)
    run.open()
    long = {"text": "x y" * 100_000, "n": 1}
    huge = {**long, "list": ["z" * 3000] * 500}
    run.publish(
        [
            *beginning(),
            Event(6, AT, "noted", "a", long),
            Event(7, AT, "noted", "a", huge),
            Event(8, AT, "x_failed", "a", huge),
        ]
    )
    for name in ("events", "errors", "timeline", "logs"):
        for line in (run.path / f"{name}.jsonl").read_bytes().splitlines():
            assert len(line) <= 64 * 1024
    noted, worse, failed = records(run.path / "events.jsonl")[-3:]
    assert worse["payload"].keys() == {"truncated", "chars", "preview"}
    assert noted["payload"]["text"]["truncated"] is True
    assert noted["payload"]["text"]["chars"] == 300_000
    assert noted["payload"]["n"] == 1
    assert len(json.dumps(failed["error"])) <= 16 * 1024
    run.close()


def test_payloads_that_json_cannot_hold_are_told_all_the_same(tmp_path):
    run = folder(tmp_path)
    run.open()
    deep: object = 1
    for _ in range(5000):
        deep = [deep]
    odd = {"half": "\ud800", "deep": deep, "bytes": b"\xff", "nan": float("nan"), 3: {4}}
    run.publish(
        [
            *beginning(),
            Event(6, AT, "noted", "a\ud800", odd),
            Event(7, AT, "agent_message_received", "b", message(1, type="\udfff")),
        ]
    )
    assert_whole(run.path, [*beginning(), *middle(6, 2)])
    run.close()


# ---- secrets ----


def test_no_secret_value_is_in_any_file_and_numbers_are(tmp_path):
    secret = 'hunter22"\\é'
    run = folder(tmp_path, redactor=Redactor([secret], ["iban"]))
    run.open()
    run.publish(
        [
            *beginning(),
            Event(6, AT, "noted", "a", {"stdout": f"x{secret}", "iban": 12, "total_tokens": 7}),
            Event(7, AT, "agent_message_received", "b", message(1, type=f"t{secret}")),
            Event(8, AT, "fetch_failed", "w", {"reason": f"with {secret}"}),
            Event(9, AT, f"odd_{secret}", secret, {"list": [secret], secret: 1}, secret),
            Event(10, AT, "noted", "a", {"url": "http://me:pass@host/", "password": "p"}),
        ]
    )
    (run.path / "result.json").write_text(json.dumps({"status": "ok", "log": [secret]}))
    with open(run.path / "events.jsonl", "a") as file:
        file.write(json.dumps({"type": "mine", "payload": {"note": secret}}) + "\n")
        file.write(f"no json {secret}\n")
    run.merge_worker_files()
    run.finish(JobStatus.COMPLETED, {"agent_id": "a", "output": secret}, None, ended_at=AT + 9)
    run.close()
    forms = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    for name, content in files_of(tmp_path).items():
        assert not any(form.encode() in content for form in forms), name
        assert b"me:pass" not in content
    found = all_events(run.path)
    noted = next(one for one in found if one["type"] == "noted")
    assert noted["payload"] == {"stdout": f"x{REDACTED}", "iban": REDACTED, "total_tokens": 7}
    assert json.loads((run.path / "config.json").read_text())["llm"] == {"api_key": REDACTED}
    assert json.loads((run.path / "result.json").read_text())["log"] == [REDACTED]


# ---- crashes ----

POINTS = (
    "publish.before",
    "publish.during",
    "publish.after",
    "runs.rename.before",
    "runs.rename.after",
    "finish.before",
    "finish.after",
)


def write_with_crashes(place: Path, events: list[Event], fault: str) -> int:
    """Carry a run to its end; whenever it breaks, a new owner opens the folder and goes on."""
    crashes = 0
    with faults.armed(fault):
        while True:
            run = folder(place)
            try:
                watermark = run.open()
                for start in range(watermark, len(events), 4):
                    run.publish(events[start : start + 4])
                    run.merge_worker_files()
                finish(run)
                return crashes
            except InjectedFaultError:
                crashes += 1
                assert crashes < 100
            finally:
                run.close()


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_any_point_leaves_what_an_unharmed_run_leaves(tmp_path, point):
    events = whole_run(9)
    assert write_with_crashes(tmp_path / "whole", events, "finish.after:99:raise") == 0
    whole = _comparable(tmp_path / "whole")
    for visit in range(1, 40):
        place = tmp_path / str(visit)
        crashes = write_with_crashes(place, events, f"{point}:{visit}:raise")
        assert _comparable(place) == whole, visit
        if not crashes:
            assert visit > 1
            return
    pytest.fail("the point is reached for ever")


@settings(max_examples=25)
@given(st.data())
def test_a_run_torn_at_any_byte_of_any_file_is_made_whole_again(tmp_path_factory, data):
    """A kill inside a write leaves a part of what was written last, in any of the files."""
    place = tmp_path_factory.mktemp("torn")
    events = whole_run(9)
    run = folder(place)
    run.open()
    kept = data.draw(st.integers(1, len(events)))
    run.publish(events[:kept])
    run.close()
    streams = place / "data" / "events" / JOB
    names = ["events", "errors", "timeline", "logs"]
    torn = data.draw(st.integers(0, len(names)))
    for at, name in enumerate(names):
        # What is written later is missing, what was being written is torn; a stream comes first.
        ours, shown = streams / f"{name}.jsonl", run.path / f"{name}.jsonl"
        size_bytes = ours.stat().st_size
        if at == torn:
            size_bytes = data.draw(st.integers(0, size_bytes))
        elif at > torn:
            size_bytes = 0
        os.truncate(ours, size_bytes)
        if shown.exists():
            os.truncate(shown, data.draw(st.integers(0, size_bytes)))
    again = folder(place)
    watermark = again.open()
    assert watermark <= kept
    again.publish(events)
    finish(again)
    again.close()
    whole = tmp_path_factory.mktemp("whole")
    run_whole(whole, events)
    assert _comparable(place) == _comparable(whole)


@settings(max_examples=25)
@given(st.data())
def test_a_power_cut_may_take_the_end_of_any_file(tmp_path_factory, data):
    """Nothing was synced, so each file ends anywhere, whatever the others hold."""
    place = tmp_path_factory.mktemp("cut")
    events = whole_run(9)
    run = folder(place)
    run.open()
    run.publish(events[: data.draw(st.integers(5, len(events)))])
    run.close()
    for file in [*(place / "data" / "events" / JOB).glob("*.jsonl"), *run.path.glob("*.jsonl")]:
        os.truncate(file, data.draw(st.integers(0, file.stat().st_size)))
    again = folder(place)
    again.open()
    again.publish(events)
    finish(again)
    again.close()
    whole = tmp_path_factory.mktemp("whole")
    run_whole(whole, events)
    assert _comparable(place) == _comparable(whole)


def test_a_finish_that_is_repeated_changes_nothing(tmp_path):
    run = folder(tmp_path)
    run.open()
    run.publish(whole_run())
    finish(run)
    before = files_of(run.path)
    finish(run)
    assert files_of(run.path) == before
    run.close()
    again = folder(tmp_path)
    again.open()
    finish(again)
    again.close()
    assert files_of(run.path) == before


def test_events_whose_facts_were_lost_are_cut(tmp_path):
    events = whole_run(12)
    run = folder(tmp_path)
    run.open()
    run.publish(events)
    with open(run.path / "events.jsonl", "a") as file:
        file.write('{"type":"mine","event_id":"evt_mine"}\n')
    run.merge_worker_files()
    run.cut(7)
    assert run.watermark == 7
    assert_whole(run.path, events[:7])
    assert [one["type"] for one in all_events(run.path)].count("mine") == 1
    run.publish(events)
    finish(run)
    run.close()
    assert_whole(run.path, events)


# ---- workers ----


def worker_line(number: int, **more: object) -> str:
    return json.dumps({"type": "mine", "event_id": f"evt_w{number}", "payload": {}, **more}) + "\n"


def open_run(place: Path) -> RunFolder:
    run = folder(place)
    run.open()
    run.publish(beginning())
    return run


def closed(run: RunFolder, first: int = 6) -> None:
    run.publish(ending(first))
    finish(run)
    run.close()


def mine(run_dir: Path) -> list[str]:
    return [one["event_id"] for one in all_events(run_dir) if one["type"] == "mine"]


def test_lines_that_a_worker_appends_stay_where_they_are(tmp_path):
    run = open_run(tmp_path)
    with open(run.path / "events.jsonl", "a") as file:
        file.write(worker_line(1) + worker_line(2))
    inode = (run.path / "events.jsonl").stat().st_ino
    run.publish(middle(6, 3))
    run.merge_worker_files()
    assert (run.path / "events.jsonl").stat().st_ino == inode
    closed(run, 9)
    assert_whole(run.path, [*beginning(), *middle(6, 3), *ending(9)])
    assert mine(run.path) == ["evt_w1", "evt_w2"]
    types = [one["type"] for one in all_events(run.path)]
    assert types.index("mine") == len(beginning()) + 2
    assert (tmp_path / "data" / "events" / JOB / "events.jsonl").read_bytes() == (
        run.path / "events.jsonl"
    ).read_bytes()


def test_a_client_that_adds_a_line_for_each_of_ours_costs_little_and_loses_nothing(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("mnedge.store.runs.rewrites.AT_ONCE_BYTES", 20_000)
    written: list[int] = []
    replaced = mirror.replace_file
    monkeypatch.setattr(
        mirror,
        "replace_file",
        lambda path, content: written.append(len(content)) or replaced(path, content),
    )
    run = open_run(tmp_path)
    shown = run.path / "events.jsonl"
    for number in range(200):
        with open(shown, "a") as file:
            file.write(worker_line(number, seq=number))  # it cannot stay: its number is no seq
        run.publish(middle(6 + number, 1))
        if number % 20 == 0:
            run.merge_worker_files()
    assert run.is_behind
    spent_bytes = sum(written)
    closed(run, 206)
    assert spent_bytes < 2 * 20_000 < shown.stat().st_size
    assert not run.is_behind
    assert_whole(run.path, [*beginning(), *middle(6, 200), *ending(206)])
    assert sorted(mine(run.path)) == sorted(f"evt_w{number}" for number in range(200))
    assert (tmp_path / "data" / "events" / JOB / "events.jsonl").read_bytes() == shown.read_bytes()


def test_what_was_put_off_is_shown_by_the_next_owner(tmp_path, monkeypatch):
    monkeypatch.setattr("mnedge.store.runs.rewrites.AT_ONCE_BYTES", 0)
    monkeypatch.setattr(Rewrites, "affords", lambda self, size_bytes: False)
    run = open_run(tmp_path)
    with open(run.path / "events.jsonl", "a") as file:
        file.write(worker_line(1))
    run.publish(middle(6, 3))
    assert run.is_behind
    assert mine(run.path) == ["evt_w1"]
    again = folder(tmp_path)
    again.open(resume=True)
    assert_whole(again.path, [*beginning(), *middle(6, 3)])
    assert mine(again.path) == ["evt_w1"]
    again.close()


def test_a_worker_that_cuts_the_file_loses_nothing_of_ours(tmp_path):
    run = open_run(tmp_path)
    (run.path / "events.jsonl").write_text("")
    run.publish(middle(6, 3))
    with open(run.path / "events.jsonl", "w") as file:
        file.write(worker_line(1))
    run.publish(middle(9, 3))
    run.merge_worker_files()
    assert_whole(run.path, [*beginning(), *middle(6, 6)])
    closed(run, 12)
    assert mine(run.path) == ["evt_w1"]


def test_a_longer_file_in_the_place_of_ours_is_not_taken_for_ours(tmp_path):
    run = open_run(tmp_path)
    (run.path / "events.jsonl").write_text("".join(worker_line(n, pad="x" * 99) for n in range(50)))
    run.publish(middle(6, 3))
    assert len(mine(run.path)) == 50
    closed(run, 9)
    assert_whole(run.path, [*beginning(), *middle(6, 3), *ending(9)])


def test_a_worker_that_reads_all_and_writes_all_again_doubles_nothing(tmp_path):
    run = open_run(tmp_path)
    events = run.path / "events.jsonl"
    again = [json.dumps(json.loads(line)) + "\n" for line in events.read_text().splitlines()]
    fresh = tmp_path / "fresh"
    fresh.write_text("".join(again) + worker_line(1) + worker_line(1))
    os.replace(fresh, events)
    run.merge_worker_files()
    events.write_text(events.read_text() + worker_line(2))
    run.merge_worker_files()
    closed(run)
    assert_whole(run.path, [*beginning(), *ending(6)])
    assert mine(run.path) == ["evt_w1", "evt_w2"]


def test_a_second_worker_that_replaces_the_file_does_not_lose_the_first_ones_lines(tmp_path):
    run = open_run(tmp_path)
    for number in (1, 2):
        (run.path / "events.jsonl").write_text(worker_line(number))
        run.merge_worker_files()
    closed(run)
    assert mine(run.path) == ["evt_w1", "evt_w2"]


def test_a_worker_with_the_file_still_open_goes_on_writing_to_what_was_replaced(tmp_path):
    run = open_run(tmp_path)
    with open(run.path / "events.jsonl", "w") as file:
        file.write(worker_line(1) + worker_line(2)[:20])
        file.flush()
        run.publish(middle(6, 3))
        file.write(worker_line(2)[20:])
        file.flush()
        run.merge_worker_files()
        file.write(worker_line(3).rstrip("\n"))
    closed(run, 9)
    assert mine(run.path) == ["evt_w1", "evt_w2", "evt_w3"]
    assert_whole(run.path, [*beginning(), *middle(6, 3), *ending(9)])


def test_half_a_line_of_a_worker_that_goes_on_is_not_torn_by_ours(tmp_path):
    run = open_run(tmp_path)
    with open(run.path / "events.jsonl", "a") as file:
        file.write(worker_line(1)[:15])
        file.flush()
        run.publish(middle(6, 2))
        file.write(worker_line(1)[15:])
    run.merge_worker_files()
    closed(run, 8)
    assert mine(run.path) == ["evt_w1"]
    assert_whole(run.path, [*beginning(), *middle(6, 2), *ending(8)])


def test_garbage_is_kept_as_what_it_is(tmp_path):
    run = open_run(tmp_path)
    with open(run.path / "events.jsonl", "ab") as file:
        file.write(b"\xff\xfe no json\n\0\0\0\n[1]\n" + b"y" * 200_000 + b"\n{")
    run.merge_worker_files()
    closed(run)
    odd = [one for one in all_events(run.path) if one["type"] == "unparseable_event"]
    assert [one["payload"]["line"][:10] for one in odd] == ["�� no json", "[1]", "y" * 10, "{"]
    assert all(len(one["payload"]["line"]) <= 2000 for one in odd)
    assert_whole(run.path, [*beginning(), *ending(6)])


def test_a_number_that_a_worker_gives_its_event_is_not_one_of_ours(tmp_path):
    run = open_run(tmp_path)
    with open(run.path / "events.jsonl", "a") as file:
        file.write(worker_line(1, seq=99))
    run.merge_worker_files()
    assert run.watermark == 5
    assert all_events(run.path)[-1]["worker_seq"] == 99
    run.close()
    assert folder(tmp_path).open() == 5


def test_events_of_the_same_name_from_a_worker_do_not_end_the_run(tmp_path):
    run = open_run(tmp_path)
    with open(run.path / "events.jsonl", "a") as file:
        for type_ in ("run_started", "job_paused", "run_completed"):
            file.write(json.dumps({"type": type_, "timestamp": "yesterday"}) + "\n")
    run.merge_worker_files()
    run.close()
    run = folder(tmp_path)
    run.open()
    record = json.loads((run.path / "run.json").read_text())
    assert record["status"] == "running"
    assert ISO.match(record["updated_at"])
    closed(run)
    assert [one["type"] for one in all_events(run.path)].count("run_completed") == 2


def test_a_worker_that_writes_all_nine_files_keeps_its_answer_and_only_that(tmp_path):
    run = open_run(tmp_path)
    for name in NINE:
        text = json.dumps({"type": "mine", "event_id": f"evt_{name}", "by": "worker"})
        (run.path / name).write_text(text if name.endswith(".json") else text + "\n")
    (run.path / "artifacts").mkdir()
    (run.path / "artifacts" / "report.md").write_text("# report\n")
    run.merge_worker_files()
    assert json.loads((run.path / "run.json").read_text())["status"] == "running"
    assert "by" not in json.loads((run.path / "config.json").read_text())
    closed(run)
    for name in ("result.json", "final_artifact.json"):
        assert json.loads((run.path / name).read_text())["by"] == "worker"
    for name in ("run.json", "config.json", "inputs.json", "observability_summary.json"):
        assert "by" not in json.loads((run.path / name).read_text())
    assert mine(run.path) == ["evt_events.jsonl"]
    assert [one["event_id"] for one in records(run.path / "errors.jsonl")] == ["evt_errors.jsonl"]
    assert b"mine" not in (run.path / "timeline.jsonl").read_bytes()
    summary = json.loads((run.path / "observability_summary.json").read_text())
    ids = [one["artifact_id"] for one in summary["artifacts"]]
    assert "artifacts_report_md" in ids
    assert_whole(run.path, [*beginning(), *ending(6)])


def test_an_error_that_a_worker_records_itself_stands_there_once(tmp_path):
    run = open_run(tmp_path)
    with open(run.path / "events.jsonl", "a") as file:
        file.write(json.dumps({"type": "fetch_failed", "event_id": "evt_x"}) + "\n")
    with open(run.path / "errors.jsonl", "a") as file:
        file.write(json.dumps({"type": "fetch_failed", "event_id": "evt_x", "mine": 1}) + "\n")
    run.merge_worker_files()
    assert [one.get("mine") for one in records(run.path / "errors.jsonl")] == [1]
    run.close()
    again = folder(tmp_path)
    again.open()
    assert [one.get("mine") for one in records(run.path / "errors.jsonl")] == [1]
    closed(again)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'"text"', b"\xff"])
def test_an_answer_that_is_no_object_is_replaced_and_told(tmp_path, content):
    run = open_run(tmp_path)
    (run.path / "result.json").write_bytes(content)
    closed(run)
    result = json.loads((run.path / "result.json").read_text())
    assert result["warnings"] == ["result.json was no JSON object and has been replaced"]
    assert result["result"] == RESULT


def test_a_worker_that_removes_the_folder_finds_it_again(tmp_path):
    run = open_run(tmp_path)
    shutil.rmtree(run.path)
    run.merge_worker_files()
    assert_whole(run.path, beginning())
    shutil.rmtree(run.path)
    run.publish(middle(6, 2))
    closed(run, 8)
    assert set(NINE) <= files_of(run.path).keys()
    assert_whole(run.path, [*beginning(), *middle(6, 2), *ending(8)])


@pytest.mark.parametrize("what", ["link", "pipe", "folder"])
def test_nothing_odd_in_the_place_of_a_file_is_followed(tmp_path, what):
    run = open_run(tmp_path)
    outside = tmp_path / "outside"
    outside.write_text("not ours\n")
    for name in ("events.jsonl", "result.json", "run.json", "timeline.jsonl"):
        path = run.path / name
        path.unlink(missing_ok=True)
        match what:
            case "link":
                path.symlink_to(outside)
            case "pipe":
                os.mkfifo(path)
            case _:
                path.mkdir()
    run.merge_worker_files()
    closed(run)
    assert outside.read_text() == "not ours\n"
    assert_whole(run.path, [*beginning(), *ending(6)])
    assert json.loads((run.path / "run.json").read_text())["status"] == "completed"
    assert json.loads((run.path / "result.json").read_text())["result"] == RESULT


# ---- disks ----


@pytest.mark.parametrize("point", ["publish.before", "publish.during", "publish.after"])
def test_a_full_disk_is_named_and_nothing_is_lost_or_doubled(tmp_path, point):
    run = open_run(tmp_path)
    with faults.armed(f"{point}:1:enospc"):
        with pytest.raises(UnavailableError) as met:
            run.publish(middle(6, 3))
        assert met.value.code == "store.disk_full"
        run.merge_worker_files()
        run.publish(middle(6, 3))
    closed(run, 9)
    assert_whole(run.path, [*beginning(), *middle(6, 3), *ending(9)])


def test_half_a_write_is_taken_back(tmp_path, monkeypatch):
    run = open_run(tmp_path)
    write, left = os.write, [100]

    def write_until_full(file: int, content: bytes) -> int:
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "no space left on device")
        done = write(file, bytes(content)[: left[0]])
        left[0] -= done
        return done

    for room in (0, 1, 100, 1500, 4000):
        left[0] = room
        with monkeypatch.context() as full:
            full.setattr("os.write", write_until_full)
            with pytest.raises(UnavailableError):
                run.publish(middle(6, 12))
    run.publish(middle(6, 12))
    closed(run, 18)
    assert_whole(run.path, [*beginning(), *middle(6, 12), *ending(18)])


def test_a_finish_that_meets_a_full_disk_is_done_again(tmp_path):
    run = open_run(tmp_path)
    run.publish(ending(6))
    visit = 0
    while True:
        visit += 1
        with faults.armed(f"runs.rename.before:{visit}:enospc"):
            try:
                finish(run)
                break
            except UnavailableError:
                continue
    assert visit > 2
    run.close()
    other = tmp_path / "other"
    closed(open_run(other))
    assert _comparable(other) == {
        name: content.replace(str(tmp_path).encode(), b"PLACE")
        for name, content in files_of(tmp_path).items()
        if not name.startswith("other")
    }


def test_a_crash_while_a_workers_file_is_replaced_leaves_no_trace(tmp_path):
    run = open_run(tmp_path)
    (run.path / "events.jsonl").write_text(worker_line(1))
    with faults.armed("runs.rename.before:1:raise"), pytest.raises(InjectedFaultError):
        run.publish(middle(6, 3))
    run.close()
    assert (run.path / ".events.jsonl.part").exists()
    again = folder(tmp_path)
    assert again.open() == 5
    again.publish(middle(6, 3))
    closed(again, 9)
    assert not list(run.path.glob(".*"))
    assert mine(run.path) == ["evt_w1"]
    assert_whole(run.path, [*beginning(), *middle(6, 3), *ending(9)])


def test_what_was_synced_may_be_forgotten_by_the_journal(tmp_path):
    run = open_run(tmp_path)
    run.sync()
    run.publish(middle(6, 3))
    run.sync()
    closed(run, 9)
    run.sync()


def test_once_a_run_is_finished_all_that_it_shows_is_synced_with_every_name(tmp_path, monkeypatch):
    run = open_run(tmp_path)
    closed(run, 6)
    synced: set[str] = set()
    fsync = os.fsync

    def watch(file: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{file}"))
        fsync(file)

    monkeypatch.setattr("os.fsync", watch)
    run.sync()
    streams = tmp_path / "data" / "events"
    shown = {str(path) for path in run.path.iterdir() if path.is_file()}
    assert shown <= synced
    assert {str(path) for path in (run.path, run.path.parent)} <= synced
    assert {str(path) for path in (streams / JOB, streams, streams.parent)} <= synced


def test_events_that_are_cut_or_found_stay_so(tmp_path, monkeypatch):
    """Others will have their numbers, or the next ones."""
    run = open_run(tmp_path)
    run.close()
    sizes: list[int] = []
    fsync = os.fsync

    def watch(file: int) -> None:
        if os.readlink(f"/proc/self/fd/{file}").endswith("/events.jsonl"):
            sizes.append(os.fstat(file).st_size)
        fsync(file)

    monkeypatch.setattr("os.fsync", watch)
    stream = tmp_path / "data" / "events" / JOB / "events.jsonl"
    run.open()
    assert sizes == [stream.stat().st_size]
    run.cut(4)
    assert sizes[1:] == [stream.stat().st_size]
    assert sizes[1] < sizes[0]
    run.close()


def test_after_an_fsync_that_failed_all_is_written_anew_before_the_next(tmp_path, monkeypatch):
    """Another fsync of the same pages would say that all is well."""
    run = open_run(tmp_path)

    def broken(file: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", broken)
        with pytest.raises(UnavailableError):
            run.sync()
    with pytest.raises(UnavailableError, match="written anew"):
        run.sync()
    names = ("config.json", "run.json", "events.jsonl", "timeline.jsonl")
    files = [run.path / name for name in names]
    files.append(tmp_path / "data" / "events" / JOB / "events.jsonl")
    before = [stamp_of(path) for path in files]
    run.close()
    after = folder(tmp_path)
    assert after.open() == 5
    assert all(stamp_of(path) != stamp for path, stamp in zip(files, before, strict=True))
    after.sync()
    closed(after, 6)
    after.sync()


def test_who_held_the_folder_before_is_refused(tmp_path):
    run = open_run(tmp_path)
    after = folder(tmp_path)
    assert after.open() == 5
    before = files_of(run.path)
    for act in (
        lambda: run.publish(middle(6, 3)),
        run.merge_worker_files,
        lambda: run.cut(1),
        lambda: finish(run),
    ):
        with pytest.raises(RunTakenError, match="opened by another process"):
            act()
    assert files_of(run.path) == before
    after.publish(middle(6, 3))
    closed(after, 9)
    run.close()


def test_forgetting_a_run_leaves_its_folder(tmp_path):
    run = run_whole(tmp_path)
    before = files_of(run.path)
    forget_run(tmp_path / "data", JOB)
    assert not (tmp_path / "data" / "events" / JOB).exists()
    assert files_of(run.path) == before
    with pytest.raises(RunIdInvalidError):
        forget_run(tmp_path / "data", "../data")


def test_nothing_of_a_run_depends_on_anything_but_its_events(tmp_path):
    """Two owners with other clocks leave the same folder."""
    run_whole(tmp_path / "a")
    other = RunFolder(
        tmp_path / "b" / "runs",
        tmp_path / "b" / "data",
        JOB,
        SPEC,
        submitted_at=AT - 1,
        now=lambda: 5.0,
        source="blueprints/bp",
    )
    other.open()
    for event in whole_run():
        other.publish([event])
    finish(other)
    other.close()
    assert _comparable(tmp_path / "a") == _comparable(tmp_path / "b")


def test_encoded_events_decode_to_what_they_were(tmp_path):
    run = run_whole(tmp_path)
    for one in all_events(run.path):
        assert msgspec.json.decode(msgspec.json.encode(one)) == one


def test_a_ledger_is_left_without_secrets_and_its_steps_are_counted(tmp_path):
    run = folder(tmp_path, redactor=Redactor(["hunter22"]))
    run.open()
    run.publish([*beginning(), *ending(6)])
    workflow = {"steps": {"s": {"output": "hunter22"}}, "messages": {}}
    steps = [{"id": name, "status": "completed"} for name in "ab"]
    run.finish(JobStatus.COMPLETED, RESULT, steps=steps, workflow=workflow)
    run.close()
    ledger = json.loads((run.path / "workflow_state.json").read_text())
    assert ledger["steps"]["s"]["output"] == "[REDACTED]"
    summary = json.loads((run.path / "observability_summary.json").read_text())
    assert summary["step_counts"] == {"completed": 2}
    assert "workflow_state.json" in {one["path"] for one in summary["artifacts"]}
