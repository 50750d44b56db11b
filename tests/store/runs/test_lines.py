"""Put together from pieces or the long way: the same line."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mnedge.model.events import Event, event_id
from mnedge.model.message import Message, iso_ms
from mnedge.model.redaction import REDACTED, Redactor
from mnedge.store.runs.bounds import encode
from mnedge.store.runs.kinds import kind_of
from mnedge.store.runs.lines import Identity, Renderer, event_ids, extra_ids

IDENTITY = Identity(job_id="jöb", blueprint_id='b"p', trace_id="trc_t", adapter="mock")
texts = st.text(max_size=6) | st.sampled_from(["token", "hunter22", "\ud800", "http://a:b@c"])
moments = st.floats(allow_nan=False, min_value=-10.0, max_value=4e9) | st.sampled_from(
    [0.0, 1e15, -1e15, 1_764_000_000.9995, 1_764_000_000.9994]
)
messages = st.builds(
    Message,
    message_id=texts,
    type=texts,
    to=texts,
    sender=texts,
    class_=texts,
    correlation_id=texts,
    at=moments,
    stream=st.none() | st.dictionaries(texts, texts, max_size=2),
)
payloads = st.dictionaries(texts, texts | st.integers() | messages, max_size=3)
events = st.lists(
    st.builds(
        Event,
        seq=st.just(0),
        at=moments,
        type=texts.filter(lambda text: kind_of(text).bounds_run is False),
        agent_id=st.none() | texts,
        payload=payloads | messages,
        step_id=st.none() | texts,
    ),
    min_size=1,
    max_size=5,
).map(lambda found: [msgspec.structs.replace(one, seq=at) for at, one in enumerate(found, 3)])


def renderer(*secrets: str) -> Renderer:
    return Renderer(IDENTITY, Redactor(secrets))


@given(events)
def test_a_line_from_pieces_is_the_line_of_the_record(found):
    made = renderer("hunter22")
    lines = b"".join(block.lines for block in made.blocks(found, started=True))
    long_way = [encode(made.record(event, kind_of(event.type))) for event in found]
    assert lines.split(b"\n")[:-1] == long_way


@given(events)
def test_no_event_is_lost_between_blocks(found):
    blocks = renderer("hunter22").blocks(found, started=True)
    assert blocks[-1].seq == found[-1].seq
    lines = b"".join(block.lines for block in blocks).split(b"\n")[:-1]
    assert [json.loads(line)["seq"] for line in lines] == [event.seq for event in found]
    for block in blocks:
        last = json.loads(block.lines.split(b"\n")[-2])
        assert (block.seq, block.ts) == (last["seq"], last["ts"])


@given(st.lists(moments, max_size=20))
def test_the_quick_calendar_is_the_calendar(found):
    made = renderer()
    assert [made._ts_of(at) for at in found] == [iso_ms(at) for at in found]


def test_ids_are_those_of_the_model_and_differ():
    assert event_ids("j", 5)[0] == event_id("j", 5)
    assert extra_ids("j", "5", "run_started") != extra_ids("j", "5", "run_failed")
    (block,) = renderer().blocks([Event(5, 1.0, "x", "a", {})], started=True)
    line = json.loads(block.lines)
    assert (line["event_id"], line["span_id"]) == event_ids("jöb", 5)


def test_a_secret_in_one_event_costs_the_others_nothing():
    plain = Event(1, 1.0, "x", "a", {"n": 1})
    secret = Event(2, 1.0, "x", "hunter22", {"n": "hunter22", "token": "t"}, "hunter22")
    (block,) = renderer("hunter22").blocks([plain, secret], started=True)
    first, second = map(json.loads, block.lines.splitlines())
    assert first["payload"] == {"n": 1}
    assert second["payload"] == {"n": REDACTED, "token": REDACTED}
    assert (second["agent_id"], second["step_id"]) == (REDACTED, REDACTED)
    assert second["run_id"] == "jöb"


def test_a_secret_that_is_a_part_of_the_run_id_leaves_the_run_id_alone():
    (block,) = renderer("jöb").blocks([Event(1, 1.0, "x", "a", {"t": "jöb"})], started=True)
    line = json.loads(block.lines)
    assert (line["run_id"], line["payload"]) == ("jöb", {"t": REDACTED})


def test_the_run_begins_once_and_ends_with_its_job():
    found = [
        Event(1, 1.0, "job_running", None, {}),
        Event(2, 2.0, "job_running", None, {}),
        Event(3, 3.0, "job_completed", "a", {"agent_id": "a", "result": 1}),
    ]
    types = [
        [json.loads(line)["type"] for line in block.lines.splitlines()]
        for block in renderer().blocks(found, started=False)
    ]
    assert types == [
        ["job_running", "run_started", "inputs_loaded"],
        ["job_running"],
        ["job_completed", "run_completed"],
    ]


def test_pieces_are_not_kept_for_ever(monkeypatch):
    monkeypatch.setattr("mnedge.store.runs.lines.CACHE", 3)
    made = renderer()
    for number in range(20):
        made.blocks([Event(number, 1.0, f"t{number}", f"a{number}", {})], started=True)
    assert len(made._heads) <= 3
    assert len(made._types) <= 3
