"""Lines of others in human.jsonl wait until they are confirmed."""

import json

import pytest

from mnedge.model.events import Event
from mnedge.store.runs import spoken as spoken_module
from mnedge.store.runs.spoken import Spool, understood
from tests.store.runs.world import AT, beginning, folder, records

REQUEST = {"type": "human_input_requested", "payload": {"request_id": "r", "prompt": "Go?"}}
ANSWER = {"type": "human_input_received", "payload": {"request_id": "r", "decision": "approve"}}


def line(record):
    return json.dumps(record).encode()


def loaded(place):
    spool = Spool(place, "j")
    spool.load()
    return spool


def test_an_id_is_the_records_own_or_follows_from_what_it_says():
    assert understood(line({**ANSWER, "event_id": "evt_1"}), "j").line_id == "evt_1"
    plain = understood(line(ANSWER), "j")
    assert plain.line_id.startswith("line_")
    turned = {"payload": dict(reversed(ANSWER["payload"].items())), "type": ANSWER["type"]}
    assert understood(line(turned), "j") == plain
    assert understood(line(ANSWER), "other").line_id != plain.line_id


def test_a_speaker_is_found_where_tools_write_it():
    assert understood(line(ANSWER), "j").by == "human.jsonl"
    assert understood(line({**ANSWER, "by": "bob"}), "j").by == "bob"
    signed = {**ANSWER, "payload": {**ANSWER["payload"], "submitted_by": "eve"}}
    assert understood(line(signed), "j").by == "eve"


def test_records_about_nobody_are_nothing():
    assert understood(line({"type": "news", "payload": {}}), "j") is None
    assert understood(b"{}", "j") is None


def test_a_record_without_a_payload_is_told_as_broken():
    told = understood(line({"type": "human_notice", "payload": "x"}), "j")
    assert not told.is_for_people
    assert told.payload["reason"] == "human_notice needs a payload"


def test_what_is_not_confirmed_is_there_again(tmp_path):
    spool = loaded(tmp_path)
    spool.add([line(REQUEST), line(ANSWER), line(ANSWER)])
    first, second = spool.new()
    assert (first.type, second.type) == (REQUEST["type"], ANSWER["type"])
    assert spool.new() == []
    spool.confirm([first.line_id])
    assert loaded(tmp_path).new() == [second]
    spool.confirm([second.line_id, "unknown"])
    assert loaded(tmp_path).new() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damaged", [b'[{"line_id": 7}', b'[{"payload":' + b'{"a":' * 50_000])
def test_a_damaged_file_is_an_empty_one(tmp_path, damaged):
    (tmp_path / "human.heard.json").write_bytes(damaged)
    assert loaded(tmp_path).new() == []


def test_a_flood_is_not_listened_to_and_that_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(spoken_module, "AT_MOST", 2)
    spool = loaded(tmp_path)
    spool.add([line({**ANSWER, "n": number}) for number in range(5)])
    *told, over = spool.new()
    assert len(told) == 2
    assert (over.type, over.payload) == ("human_lines_dropped", {"count": 3})
    assert spool.new() == []


# ---- in a run folder ----


@pytest.fixture
def run(tmp_path):
    opened = folder(tmp_path)
    opened.open()
    opened.publish(beginning())
    yield opened
    opened.close()


def asked(seq=6):
    payload = {**REQUEST["payload"], "status": "pending"}
    return Event(seq, AT + 1, "human_input_requested", "w", payload)


def test_our_own_lines_are_not_heard_however_they_are_written_again(run):
    run.publish([asked()])
    path = run.path / "human.jsonl"
    (ours,) = records(path)
    path.write_text(json.dumps(ours, indent=None, sort_keys=True) + "\n" + json.dumps(ANSWER))
    [heard] = run.listen()
    assert heard.type == "human_input_received"
    assert [one["type"] for one in records(path)] == [
        "human_input_requested",
        "human_input_received",
    ]
    assert json.loads(path.read_text().splitlines()[0])["seq"] == 6


@pytest.mark.parametrize("spoil", ["unlink", "empty"])
def test_a_file_that_a_worker_spoils_is_written_again(run, spoil):
    run.publish([asked()])
    path = run.path / "human.jsonl"
    before = path.read_bytes()
    path.unlink() if spoil == "unlink" else path.write_bytes(b"")
    assert run.listen() == []
    assert path.read_bytes() == before


def test_an_unfinished_line_waits_for_its_end(run):
    path = run.path / "human.jsonl"
    text = json.dumps(ANSWER)
    with path.open("a") as file:
        file.write(text[:20])
        file.flush()
        assert run.listen() == []
        file.write(text[20:] + "\n")
        file.flush()
    assert [one.type for one in run.listen()] == ["human_input_received"]


def test_a_secret_in_an_answer_is_hidden_before_anybody_hears_it(run):
    answer = {**ANSWER, "payload": {**ANSWER["payload"], "token": "s3cr3t"}}
    (run.path / "human.jsonl").write_text(json.dumps(answer) + "\n")
    [heard] = run.listen()
    assert heard.payload["token"] != "s3cr3t"
    assert "s3cr3t" not in (run.path / "human.jsonl").read_text()


def test_lines_appended_while_nobody_ran_are_heard_at_the_next_opening(tmp_path):
    first = folder(tmp_path)
    first.open()
    first.publish([*beginning(), asked()])
    first.close()
    with (first.path / "human.jsonl").open("a") as file:
        file.write(json.dumps(ANSWER) + "\n")
    second = folder(tmp_path)
    second.open()
    [heard] = second.listen()
    assert heard.payload == ANSWER["payload"]
    second.close()
    third = folder(tmp_path)
    third.open()
    assert third.listen() == [heard]
    third.confirm([heard.line_id])
    assert (third.path / "human.jsonl").read_text().count("human_input_received") == 1
    third.close()


def test_a_run_waits_for_a_person_and_goes_on(run):
    run.publish([asked()])
    assert json.loads((run.path / "run.json").read_text())["status"] == "waiting_for_human"
