"""Records: what stands inside bodies survives, what is damaged is named."""

import pytest

from mnedge.model.body import BlobRef, Gathered, WideInt
from mnedge.model.codec import (
    RecordUnreadableError,
    decode_fact,
    decode_spec,
    encode_fact,
    encode_spec,
    sealed,
)
from mnedge.model.facts import Note, Noted, Submitted, TimerFired
from mnedge.model.manifest import JobSpec


def noted(tree):
    return Noted(at=1.0, notes=[Note(at=1.0, type="t", payload={"x": tree})])


def read_back(tree):
    return decode_fact(encode_fact(noted(tree))).notes[0].payload["x"]


def test_a_reference_survives_with_its_values():
    ref = BlobRef("sha256:1", 9, encoding="text", values={"a.b": [1, None]})
    back = read_back({"deep": [ref]})["deep"][0]
    assert back == ref
    assert (back.size_bytes, back.encoding, back.values) == (9, "text", {"a.b": [1, None]})


def test_a_reference_inside_the_values_of_another_survives():
    inner = BlobRef("sha256:2", 1)
    assert read_back(BlobRef("sha256:1", 9, values={"a": inner})).values == {"a": inner}


def test_outside_a_state_a_gathering_is_written_out():
    assert read_back(Gathered([1, 2, 3], 2, owner=0)) == [1, 2]


def test_wide_integers_survive():
    assert read_back([WideInt(10**40), WideInt(-(10**40))]) == [10**40, -(10**40)]


@pytest.mark.parametrize(
    "tree, reads",
    [
        ("a\ud800", "a\ufffd"),
        (10**40, 10**40),
        ({1}, [1]),
        (object, str(object)),
        ({"\udc00": (10**40,)}, {"\ufffd": [10**40]}),
    ],
)
def test_what_msgpack_cannot_hold_is_cleaned_on_the_way(tree, reads):
    assert read_back(tree) == reads


def test_a_sealed_fact_is_the_one_that_a_replay_reads():
    fact, record = sealed(noted("a\ud800"))
    assert fact == decode_fact(record)
    assert fact.notes[0].payload == {"x": "a\ufffd"}


@pytest.mark.parametrize("record", [b"", b"\xc1", b"\x01", encode_fact(Submitted(at=1.0))[:-3]])
def test_damaged_records_are_named(record):
    with pytest.raises(RecordUnreadableError, match="this is no fact"):
        decode_fact(record)
    with pytest.raises(RecordUnreadableError, match="this is no spec"):
        decode_spec(record)


def test_a_fact_is_no_spec():
    with pytest.raises(RecordUnreadableError):
        decode_spec(encode_fact(TimerFired(at=1.0, timer_id="t")))


def test_a_spec_with_strange_strings_is_cleaned():
    spec = JobSpec(
        blueprint_id="b\ud800",
        graph_id="g",
        job_name="j",
        agents=[],
        edges=[],
        entrypoints=[],
        seeds={"a": [{"n": 10**40}]},
    )
    back = decode_spec(encode_spec(spec))
    assert back.blueprint_id == "b\ufffd"
    assert back.seeds == {"a": [{"n": 10**40}]}
