"""What workers wrote is kept as it is, unless it cannot stay so."""

import json

import pytest

from mnedge.model.events import event_id
from mnedge.model.redaction import REDACTED, Redactor
from mnedge.store.runs.foreign import Adopter
from mnedge.store.runs.lines import Identity
from mnedge.store.runs.mirror import Foreign
from mnedge.store.runs.stream import Stream

IDENTITY = Identity(job_id="j", blueprint_id="b", trace_id="trc_t")


@pytest.fixture
def stream(tmp_path):
    opened = Stream(tmp_path, "events")
    opened.load()
    return opened


def adopt(stream: Stream, *lines: bytes, replaced: bool = False) -> list[bytes]:
    adopter = Adopter(IDENTITY, Redactor(["hunter22"]))
    return adopter.adopted(Foreign(list(lines), replaced=replaced), stream, "then")


@pytest.mark.parametrize(
    "line",
    [b'{"type":"x"}', b'{ "type" : "x", "event_id": "evt_1" }', b'{"seq_no":1,"b":[1,"\xc3\xa9"]}'],
)
def test_a_valid_line_stays_byte_for_byte(stream, line):
    assert adopt(stream, line) == [line]
    assert adopt(stream, b" \t" + line + b"\r\0") == [line]


def test_blank_lines_are_nothing(stream):
    assert adopt(stream, b"", b" \r", b"\0\0") == []


def test_a_line_with_a_secret_loses_it(stream):
    (line,) = adopt(stream, b'{"token": "t", "note": "hunter22", "n": 1}')
    assert json.loads(line) == {"token": REDACTED, "note": REDACTED, "n": 1}


def test_a_number_is_renamed(stream):
    assert json.loads(adopt(stream, b'{"seq": 4, "type": "x"}')[0]) == {
        "worker_seq": 4,
        "type": "x",
    }


def test_a_line_that_is_too_long_is_bounded(stream):
    (line,) = adopt(stream, json.dumps({"payload": {"x": "y" * 100_000}}).encode())
    assert len(line) <= 64 * 1024


@pytest.mark.parametrize("line", [b"no json hunter22", b"[1]", b'"x"', b"\xff", b"{" * 5000])
def test_garbage_becomes_an_event_that_says_so_once(stream, line):
    (found,) = adopt(stream, line)
    record = json.loads(found)
    assert (record["type"], record["ts"], record["run_id"]) == ("unparseable_event", "then", "j")
    assert b"hunter22" not in found
    assert len(record["payload"]["line"]) <= 2000
    stream.append(found + b"\n")
    assert adopt(stream, line) == []


def test_an_event_that_is_there_is_not_taken_again(stream):
    stream.append(b'{"event_id":"evt_1"}\n{"event_id": "evt_2"}\n')
    assert adopt(
        stream, b'{"event_id":"evt_1","x":1}', b'{"event_id":"evt_2"}', b'{"event_id":"evt_3"}',
        b'{"event_id":"evt_3"}',
    ) == [b'{"event_id":"evt_3"}']  # fmt: skip


def test_a_line_without_an_id_is_taken_again_only_from_a_file_that_was_replaced(stream):
    stream.append(b'{"type":"x"}\n')
    assert adopt(stream, b'{"type":"x"}') == [b'{"type":"x"}']
    assert adopt(stream, b'{"type":"x"}', b'{"type":"y"}', b'{"type":"y"}', replaced=True) == [
        b'{"type":"y"}'
    ]


def test_a_copy_of_ours_is_known_by_its_number_also_from_a_full_file(stream):
    ours = {"event_id": event_id("j", 7), "seq": 7}
    assert adopt(stream, json.dumps(ours).encode()) == []
    assert len(adopt(stream, json.dumps({**ours, "seq": 8}).encode())) == 1


def test_what_a_power_cut_took_is_known_by_its_id(stream):
    adopter = Adopter(IDENTITY, Redactor())
    line = b'{"event_id":"evt_later","trace_id":"trc_t"}'
    foreign = Foreign([line])
    assert adopter.adopted(foreign, stream, "") == [line]
    adopter.later = lambda: frozenset({"evt_later"})
    assert adopter.adopted(foreign, stream, "") == []
