"""Bodies: clean trees, references that answer what conditions ask, bytes that repeat."""

import gzip
import math
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.model.body import (
    CUT,
    LEVELS,
    BlobRef,
    EncodingUnsupportedError,
    Gathered,
    WideInt,
    body_bytes,
    body_of,
    cleaned,
    filled,
    json_bytes,
    refs_in,
    shown,
    staged,
    value_at,
    values_at,
    weight_of,
)
from mnedge.model.codec import decode_fact, encode_fact
from mnedge.model.facts import Note, Noted

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary(max_size=8)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner)
        | st.dictionaries(
            st.none()
            | st.booleans()
            | st.integers()
            | st.text(st.characters(exclude_categories=())),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_json_stays_what_it_is(value):
    assert cleaned(value) == value


@given(ANYTHING)
def test_whatever_comes_in_every_encoder_takes_the_cleaned_tree(value):
    tree = cleaned(value)
    assert cleaned(tree) == tree
    assert msgspec.json.decode(json_bytes(tree)) is not Ellipsis
    fact = Noted(at=1.0, notes=[Note(at=1.0, type="t", payload={"x": tree})])
    assert decode_fact(encode_fact(fact)) == fact


@pytest.mark.parametrize(
    "value, clean",
    [
        ({1: {None: True, False: 2}}, {"1": {"null": True, "false": 2}}),
        ("a\ud800b", "a\ufffdb"),
        ("\ud83d\ude00", "😀"),
        ({"\udfff": 1}, {"\ufffd": 1}),
        ((1, (2,)), [1, [2]]),
        (bytearray(b"x"), b"x"),
        (math.nan, None),
        (-math.inf, None),
        (Decimal("1.5"), "1.5"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01 00:00:00+00:00"),
    ],
)
def test_what_json_lacks_becomes_something_it_has(value, clean):
    assert cleaned(value) == clean


def test_wide_integers_keep_their_value():
    tree = cleaned({"n": 10**30, "m": -(2**63), "k": 2**64 - 1})
    assert isinstance(tree["n"], WideInt)
    assert tree == {"n": 10**30, "m": -(2**63), "k": 2**64 - 1}
    assert json_bytes(tree["n"]) == b"1000000000000000000000000000000"


def test_deep_trees_are_cut():
    tree = value = []
    for _ in range(5000):
        value.append([])
        value = value[0]
    text = json_bytes(cleaned(tree)).decode()
    assert CUT in text
    assert text.count("[[") <= LEVELS


# ---- paths ----

TREE = {"a": {"b": [10, {"c": "deep"}]}, "0": "zero", "": "empty"}


@pytest.mark.parametrize(
    "path, found",
    [
        ("a.b.0", 10),
        ("a.b.1.c", "deep"),
        ("a.b.2", None),
        ("a.b.-1", None),
        ("a.b.\u0660", None),
        ("0", "zero"),
        ("a.x.y", None),
        ("a.b.0.c", None),
        ("", "empty"),
    ],
)
def test_a_path_walks_objects_and_lists(path, found):
    assert value_at(TREE, tuple(path.split("."))) == found


def test_the_empty_path_is_the_whole():
    assert value_at(5, ()) == 5


def test_below_a_reference_only_what_it_kept_is_found():
    ref = BlobRef("sha256:1", 9, values={"b.0": 10, "c": {"d": 1}})
    assert value_at({"a": ref}, ("a", "b", "0")) == 10
    assert value_at({"a": ref}, ("a", "c")) == {"d": 1}
    assert value_at({"a": ref}, ("a", "c", "d")) is None
    assert value_at({"a": ref}, ("a",)) == ref


def test_a_path_goes_through_a_gathering():
    view = Gathered([{"x": 1}, {"x": 2}, {"x": 3}], 2, owner=0)
    assert value_at({"messages": view}, ("messages", "1", "x")) == 2
    assert value_at({"messages": view}, ("messages", "2", "x")) is None


@given(JSON, st.lists(st.sampled_from(["a", "b", "0", "1", ""]), min_size=1, max_size=4))
def test_a_reference_answers_as_the_value_itself_would(value, segments):
    path = ".".join(segments)
    ref = BlobRef("sha256:1", 9, values=values_at(value, [path]))
    assert value_at({"v": ref}, ("v", *segments)) == value_at({"v": value}, ("v", *segments))


# ---- references ----


def test_references_are_found_once_and_in_order():
    one, two, three = (BlobRef(f"sha256:{n}", n) for n in (1, 2, 3))
    buffer = [one, {"x": two}, three]
    short, long = Gathered(buffer, 1, owner=0), Gathered(buffer, 2, owner=0)
    tree = {"short": short, "list": [two, one], "long": long}
    assert refs_in(tree) == [one, two]
    assert refs_in({"long": long, "short": short}) == [one, two]
    assert refs_in("text") == []


def test_many_views_of_one_buffer_are_read_once():
    buffer = [BlobRef(f"sha256:{n}", n) for n in range(2000)]
    views = [Gathered(buffer, n, owner=0) for n in range(2000)]
    assert len(refs_in(views)) == 1999


def test_a_tree_is_filled_with_what_was_loaded():
    tree = {
        "j": BlobRef("sha256:1", 1),
        "t": BlobRef("sha256:2", 1, encoding="text"),
        "b": BlobRef("sha256:3", 1, encoding="bytes"),
        "g": Gathered([1, 2, 3], 2, owner=0),
    }
    loaded = {"sha256:1": b'{"x":[1]}', "sha256:2": b"\xc3\xa4", "sha256:3": b"\xff"}
    assert filled(tree, loaded) == {"j": {"x": [1]}, "t": "ä", "b": b"\xff", "g": [1, 2]}
    assert tree["g"].count == 2
    assert filled(tree["g"], {}, most_items=1) == [1, {"truncated": True, "items": 1}]


def test_what_was_not_loaded_is_described():
    ref = BlobRef("sha256:ab", 70_000, encoding="text")
    assert filled([ref], {}) == [staged(ref)]
    assert staged(ref)["schema_version"] == "mn.staged_artifact/v1"
    assert staged(ref)["content_type"] == "text/plain"


def test_for_a_reader_views_and_great_trees_are_cut():
    view = Gathered(list(range(10)), 8, owner=0)
    assert shown({"v": view}, most_items=3) == {"v": [0, 1, 2, {"truncated": True, "items": 5}]}
    assert shown([BlobRef("sha256:1", 5)]) == [staged(BlobRef("sha256:1", 5))]
    cut = shown([[n] for n in range(10)], most_values=5)
    assert cut == [[0], [1], {"truncated": True, "items": 1}, *cut[3:]]
    assert all(item == {"truncated": True, "items": 1} for item in cut[3:])


def test_views_of_views_are_shown_in_bounded_time():
    """Each item holds a view of all before it: written out it would double with every item."""
    buffer = []
    for number in range(200):
        buffer.append({"messages": Gathered(buffer, number, owner=0)})
    assert len(json_bytes(shown(buffer))) < 10_000_000


def test_a_gathering_equals_its_items_and_never_copies_the_buffer():
    buffer = [1, 2]
    view = Gathered(buffer, 2, owner=3)
    buffer.append(3)
    assert view == Gathered([1, 2], 2, owner=0)
    assert view.items() == [1, 2]
    assert view.buffer is buffer


@given(JSON)
def test_the_weight_is_near_the_record_and_never_far_below(value):
    fact = Noted(at=1.0, notes=[Note(at=1.0, type="t", payload={"x": cleaned(value)})])
    empty = Noted(at=1.0, notes=[Note(at=1.0, type="t", payload={"x": None})])
    taken = len(encode_fact(fact)) - len(encode_fact(empty))
    assert weight_of(cleaned(value)) >= taken * 0.6


# ---- bytes ----


@pytest.mark.parametrize(
    "content_type, body, content",
    [
        ("application/json", {"a": 1}, b'{"a":1}'),
        ("text/json", None, b"null"),
        ("application/x-ndjson", "as\nit is", b"as\nit is"),
        ("application/jsonl", [{"a": 1}, 2], b'{"a":1}\n2\n'),
        ("application/ndjson", {"a": 1}, b'{"a":1}\n'),
        ("application/octet-stream", b"\x00\xff", b"\x00\xff"),
        ("application/octet-stream", "text", b"text"),
        ("application/octet-stream", [1], b"[1]"),
        ("image/png", "x", b'"x"'),
    ],
)
def test_a_body_has_its_bytes(content_type, body, content):
    assert body_bytes(content_type, "identity", body) == content
    assert gzip.decompress(body_bytes(content_type, "gzip", body)) == content


def test_gzip_bytes_repeat():
    assert body_bytes("text/json", "gzip", [1]) == body_bytes("text/json", "gzip", [1])
    assert body_bytes("text/json", "gzip", [1])[4:8] == b"\0\0\0\0"


@pytest.mark.parametrize("encoding", ["br", "", "GZIP"])
def test_another_encoding_is_refused(encoding):
    with pytest.raises(EncodingUnsupportedError, match=r"^unsupported content_encoding"):
        body_bytes("application/json", encoding, {})
    with pytest.raises(EncodingUnsupportedError, match=r"^unsupported content_encoding"):
        body_of("application/json", encoding, b"")


@pytest.mark.parametrize(
    "content_type, body",
    [
        ("application/json", {"a": [1, "ä"]}),
        ("application/x-ndjson", '{"a":1}\n'),
        ("application/octet-stream", b"\x00\xff"),
    ],
)
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_bytes_give_their_body_back(content_type, body, encoding):
    assert body_of(content_type, encoding, body_bytes(content_type, encoding, body)) == body


@pytest.mark.parametrize(
    "content, body",
    [(b"{broken", "{broken"), (b"\xff\xfe", b"\xff\xfe"), (b"[" * 5000, "[" * 5000)],
)
def test_what_is_no_json_is_kept_as_it_came(content, body):
    assert body_of("application/json", "identity", content) == body


def test_what_is_no_gzip_is_refused():
    with pytest.raises(EncodingUnsupportedError, match="no gzip"):
        body_of("application/json", "gzip", b"plain")
