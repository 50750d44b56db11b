"""Messages: normal form, flat form, what the outside sees."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.model.body import json_bytes
from mnedge.model.ids import derived_id
from mnedge.model.message import (
    MessageInvalidError,
    from_ndjson,
    iso_ms,
    iso_ms_or_none,
    normalise,
    output_id,
    summary,
    to_ndjson,
    wire,
)
from tests.model.test_body import ANYTHING

AT = 1_767_225_600.5


def normal(value, **more):
    return wire(normalise(value, at=AT, seed="job:seed:a:0", **more), "job")


def test_an_empty_object_gets_every_default():
    assert normal({}) == {
        "envelope": {
            "spec_version": "mn-msg/1",
            "message_id": derived_id("job:seed:a:0", size_bytes=10),
            "job_id": "job",
            "from": "runtime",
            "type": "command",
            "class": "event",
            "timestamp": "2026-01-01T00:00:00.500Z",
            "correlation_id": derived_id("job:seed:a:0:correlation", size_bytes=10),
            "attempt": 1,
            "priority": 100,
            "content_type": "application/json",
            "content_encoding": "identity",
        },
        "headers": {},
        "body": {},
        "artifacts": [],
        "stream": None,
    }


def test_what_the_envelope_says_wins_over_what_the_caller_would_fill():
    envelope = {"message_id": "m", "from": "f", "to": "t", "type": "ty", "class": "stream"}
    envelope |= {"spec_version": "mn-msg/9", "unknown": 1, "ttl_ms": 5, "priority": 7}
    got = normal({"envelope": envelope, "body": [1]}, to="x", sender="y", type="z", class_="c")
    assert got["envelope"]["spec_version"] == "mn-msg/1"
    assert got["envelope"]["message_id"] == "m"
    assert (got["envelope"]["from"], got["envelope"]["to"]) == ("f", "t")
    assert (got["envelope"]["type"], got["envelope"]["class"]) == ("ty", "stream")
    assert (got["envelope"]["ttl_ms"], got["envelope"]["priority"]) == (5, 7)
    assert "unknown" not in got["envelope"]
    assert got["body"] == [1]


def test_null_counts_as_absent():
    envelope = {"message_id": None, "type": None, "attempt": None, "to": None, "correlation_id": ""}
    got = normal({"envelope": envelope}, to="a")
    assert got["envelope"]["message_id"] == derived_id("job:seed:a:0", size_bytes=10)
    assert got["envelope"]["type"] == "command"
    assert got["envelope"]["to"] == "a"
    assert len(got["envelope"]["correlation_id"]) == 14
    assert got["body"] is None


@pytest.mark.parametrize(
    "value, body",
    [
        ({"text": "x", "topic": "y"}, {"text": "x", "topic": "y"}),
        ({"body": 1, "payload": 2, "x": 3}, 1),
        ({"payload": 2, "x": 3}, 2),
        ({"body": None, "payload": 2}, None),
        ({"x": 3, "priority": 1, "headers": {}, "stream": {}}, {"x": 3}),
        ({"envelope": {}, "x": 3}, None),
    ],
)
def test_the_body_of_a_flat_message(value, body):
    assert normal(value)["body"] == body


def test_a_domain_field_with_a_reserved_name_changes_the_envelope():
    got = normal({"type": "alarm", "from": "door", "value": 1})
    assert got["envelope"]["type"] == "alarm"
    assert got["envelope"]["from"] == "door"
    assert got["body"] == {"value": 1}


def test_an_envelope_that_is_no_object_is_an_empty_one():
    assert normal({"envelope": 5, "body": 1})["envelope"]["type"] == "command"


@pytest.mark.parametrize(
    "given, shown",
    [
        ({"headers": []}, {"headers": {}}),
        ({"artifacts": {}}, {"artifacts": []}),
        ({"stream": 1}, {"stream": None}),
    ],
)
def test_members_of_a_wrong_kind_are_empty(given, shown):
    assert normal({"envelope": {}, **given}).items() >= shown.items()


@pytest.mark.parametrize("attempt", ["3", -1, 0, 2.5, True, [1]])
def test_numbers_that_are_none_get_their_default(attempt):
    assert normal({"attempt": attempt})["envelope"]["attempt"] == 1
    assert "ttl_ms" not in normal({"ttl_ms": attempt})["envelope"]


@pytest.mark.parametrize("value", [None, [], "text", 5, True])
def test_what_is_no_object_is_refused(value):
    with pytest.raises(MessageInvalidError, match=r"^message must be a map$"):
        normalise(value, at=AT, seed="s")


@given(st.dictionaries(st.text(), ANYTHING) | st.fixed_dictionaries({"envelope": ANYTHING}))
def test_normalising_twice_is_a_no_op_and_the_form_always_encodes(value):
    once = normal(value)
    assert normal(once) == once
    assert msgspec.json.decode(json_bytes(once))


def test_ids_follow_from_the_seed_and_only_from_it():
    one, two = (normalise({"n": n}, at=n, seed="s") for n in (1.0, 2.0))
    other = normalise({}, at=1.0, seed="t")
    assert one.message_id == two.message_id != other.message_id
    assert one.message_id != one.correlation_id


def test_the_id_of_an_output_is_the_documented_hash():
    assert output_id("m", "a", "b", "0:e") == derived_id("m:a:b:0:e")


def test_the_summary_has_the_eight_members_of_the_contract_and_the_ids_of_its_chain():
    message = normalise({"stream": {"id": "s"}}, at=AT, seed="s")
    assert summary(message) == {
        "message_id": message.message_id,
        "correlation_id": message.correlation_id,
        "causation_id": None,
        "from": "runtime",
        "to": None,
        "type": "command",
        "class": "event",
        "content_type": "application/json",
        "content_encoding": "identity",
        "stream": {"id": "s"},
    }


@pytest.mark.parametrize(
    "at, text",
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1.9999, "1970-01-01T00:00:02.000Z"),
        (1_767_225_600.123, "2026-01-01T00:00:00.123Z"),
        (-5, "1970-01-01T00:00:00.000Z"),
        (1e30, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_moment_as_text(at, text):
    assert iso_ms(at) == text


def test_lines_hold_one_message_each():
    messages = [normalise({"n": n}, at=AT, seed=f"s{n}") for n in range(3)]
    content = to_ndjson(messages, "job")
    assert content.count(b"\n") == 3
    again = from_ndjson(b"\n" + content + b"  \n", at=AT, seed="other")
    assert to_ndjson(again, "job") == content
    assert to_ndjson([], "job") == b"\n"


def test_a_line_that_is_no_message_is_named():
    with pytest.raises(MessageInvalidError, match=r"^line 2 is no JSON"):
        from_ndjson(b'{"a":1}\n{broken\n', at=AT, seed="s")
    with pytest.raises(MessageInvalidError, match="map"):
        from_ndjson(b"[1]\n", at=AT, seed="s")


def test_a_moment_that_was_none_is_shown_as_none():
    assert iso_ms_or_none(None) is None
    assert iso_ms_or_none(1.5) == iso_ms(1.5)
