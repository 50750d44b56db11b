import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.gateway.llm import events

STREAM = b'data: {"a": 1}\n\n: ping\n\nevent: x\r\ndata: one\r\ndata: two\r\n\r\ndata: [DONE]\n\n'


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_however_the_bytes_come_the_events_are_the_same(cuts):
    splitter = events.Splitter()
    places = sorted({0, *cuts, len(STREAM)})
    found = [
        event
        for start, end in itertools.pairwise(places)
        for event in splitter.feed(STREAM[start:end])
    ]
    assert b"".join(found) == STREAM
    assert splitter.rest == b""
    assert [events.content(event) for event in found] == [
        b'{"a": 1}', b"", b"one\ntwo", events.DONE,
    ]  # fmt: skip


def test_an_endless_event_is_refused():
    splitter = events.Splitter()
    with pytest.raises(events.EventTooLargeError):
        list(splitter.feed(b"data: " + b"x" * events.MOST_EVENT_BYTES))


def test_what_is_no_object_says_nothing():
    assert events.as_json(b"[1]") == {} == events.as_json(b"{")
    assert events.as_json(b"[" * 50_000) == {}
    assert events.as_json(b'{"a":1}') == {"a": 1}


def test_a_piece_with_usage_and_no_choice_only_tells_usage():
    assert events.is_usage_alone({"choices": [], "usage": {"prompt_tokens": 1}})
    assert not events.is_usage_alone({"choices": [{}], "usage": {"prompt_tokens": 1}})
    assert not events.is_usage_alone({"choices": [], "usage": None})
    assert events.event_of({"a": 1}) == b'data: {"a":1}\n\n'
