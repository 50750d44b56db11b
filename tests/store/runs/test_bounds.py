"""Records stay within their bounds, whatever is in them."""

import json

from hypothesis import given
from hypothesis import strategies as st

from mnedge.model.body import BlobRef, Gathered, WideInt
from mnedge.store.runs.bounds import (
    ENVELOPE_BYTES,
    RECORD_BYTES,
    bounded_envelope,
    bounded_line,
    bounded_text,
    encode,
)

trees = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_json_is_compact_and_sorted_and_describes_references():
    gathered = Gathered([1, 2, 3], 2, owner=0)
    found = json.loads(encode({"b": gathered, "a": BlobRef("sha256:ab", 7)}))
    assert found["b"] == [1, 2]
    assert (found["a"]["sha256"], found["a"]["size_bytes"]) == ("ab", 7)
    assert encode({"b": 1, "a": [1, 2]}) == b'{"a":[1,2],"b":1}'


def test_what_json_does_not_know_becomes_something_it_knows():
    odd = {"half": "\ud800", "wide": WideInt(2**70), "set": {1}, "o": object, 3: b"\xff"}
    found = json.loads(encode(odd))
    assert found["wide"] == 2**70
    assert found["half"] == "�"
    assert found["3"]


def test_endless_nesting_is_cut():
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    assert b"nested too deeply" in encode({"deep": deep})


def test_a_long_text_tells_its_length_and_how_it_begins():
    text = "a  b\n" * 1000
    assert bounded_text(text, 5000) == text
    assert bounded_text(text, 200) == {
        "truncated": True,
        "chars": 5000,
        "preview": " ".join(text[:72].split()),
    }


def test_a_record_that_fits_is_left_alone():
    record = {"payload": {"x": "y" * 60_000}, "type": "t"}
    assert json.loads(bounded_line(record)) == record


def test_members_are_cut_in_turn_until_the_record_fits():
    record = {
        "payload": {"x": "p" * 70_000, "n": 1},
        "message": "m" * 20_000,
        "error": {"code": "c"},
    }
    found = json.loads(bounded_line(record))
    assert found["payload"] == {
        "n": 1,
        "x": {"truncated": True, "chars": 70_000, "preview": "p" * 1920},
    }
    assert (found["message"], found["error"]) == ("m" * 20_000, {"code": "c"})


def test_what_nothing_makes_small_keeps_what_identifies_it():
    record = {
        "type": "t", "ts": "now", "run_id": "r", "blueprint_id": "b", "event_id": "e", "seq": 3,
        "odd": "o" * 100_000, "error": {"code": "c"},
    }  # fmt: skip
    found = json.loads(bounded_line(record))
    assert found.pop("preview").startswith('{"blueprint_id":"b"')
    assert found == {
        "type": "t", "ts": "now", "run_id": "r", "blueprint_id": "b", "event_id": "e", "seq": 3,
        "error": {"code": "c"}, "truncated": True,
    }  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(["payload", "details", "message", "error", "type", "odd", "ts"]),
        trees | st.sampled_from(["é" * 70_000, {"k": ["x" * 9_000] * 40}]),
    )
)
def test_no_record_is_ever_too_long(record):
    line = bounded_line(record)
    assert len(line) <= RECORD_BYTES
    assert isinstance(json.loads(line), dict)


def test_an_envelope_keeps_its_bounds_and_its_links():
    links = [{"rel": "errors", "artifact_id": "errors_jsonl"}]
    envelope = {
        "schema_version": "mn.error.v1",
        "code": "c" * 200,
        "desc": "d" * 200,
        "remediation": "r" * 2000,
        "details": {"message": "m" * 5000, **{f"k{n}": "x" * 1000 for n in range(60)}},
        "links": links,
    }
    found = bounded_envelope(envelope)
    assert [len(found[name]) for name in ("code", "desc", "remediation")] == [128, 160, 1024]
    assert found["details"].keys() == {"message", "truncated"}
    assert found["details"]["message"]["chars"] == 5000
    assert found["links"] == links
    assert len(encode(found)) <= ENVELOPE_BYTES


def test_an_envelope_with_huge_odd_members_loses_them():
    envelope = {"code": "c", "links": [{"rel": "x" * 9000}] * 99, "odd": "o" * 99_000, "details": 7}
    found = bounded_envelope(envelope)
    assert found["code"] == "c"
    assert found["details"] == {"message": "", "truncated": True}
    assert len(encode(found)) <= 2 * ENVELOPE_BYTES
    assert "odd" not in found
