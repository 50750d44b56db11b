"""JSON from strangers: every complaint has its place, and nothing surprising comes through."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.bundle.json_text import MAX_BYTES, MAX_DEPTH, JsonInvalidError, read

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=20,
)


def refused(content: bytes) -> tuple[str, int, int]:
    with pytest.raises(JsonInvalidError) as caught:
        read(content)
    return caught.value.message, caught.value.line, caught.value.column


@given(VALUES)
def test_good_json_comes_back_as_it_is(value):
    assert read(json.dumps(value).encode()) == (value, [])
    assert read(json.dumps(value, ensure_ascii=False, indent=1).encode()).value == value


@given(st.binary(max_size=40) | st.text(alphabet='{}[]",:\\u01e-.truefalsn \n', max_size=40))
def test_any_other_text_is_refused_and_nothing_worse(content):
    raw = content.encode() if isinstance(content, str) else content
    with suppress(JsonInvalidError):
        assert read(raw).value is not read


@pytest.mark.parametrize(
    "content, message, line, column",
    [
        (b"", "expecting value", 1, 1),
        (b'{"a": 1,}', "expecting property name enclosed in double quotes", 1, 9),
        (b'{\n  "a" 1\n}', "expecting ':' delimiter", 2, 7),
        (b"[1 2]", "expecting ',' delimiter", 1, 4),
        (b'{"a": 1} x', "extra data", 1, 10),
        (b"{'a': 1}", "expecting property name enclosed in double quotes", 1, 2),
        (b'["a\n"]', "invalid control character at", 1, 4),
        (b'{"a": NaN}', "expecting value", 1, 7),
        (b"[1,\n -Infinity]", "expecting value", 2, 2),
        (b'{"a":\n  1e999}', "number is too large", 2, 3),
        (b"[99999999999999999999]", "number does not fit 64 bits", 1, 2),
        (b"[-9223372036854775809]", "number does not fit 64 bits", 1, 2),
        (b'{"a": "\\ud800"}', "half of a surrogate pair in a string", 1, 7),
        (b'{"\\udc00": 1}', "half of a surrogate pair in a string", 1, 2),
        (b'{"a":\n "\xff"}', "not UTF-8 text", 2, 3),
        (b"\xff\xfe{\x00}\x00", "not UTF-8 text", 1, 1),
    ],
)
def test_what_is_wrong_is_told_with_its_place(content, message, line, column):
    assert refused(content) == (message, line, column)


def test_endless_digits_are_refused_quickly():
    assert refused(b"[" + b"9" * 100_000 + b"]") == ("number does not fit 64 bits", 1, 2)


def test_a_document_may_be_nested_as_deep_as_the_limit():
    assert read(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH).duplicates == []


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 5_000, 200_000])
@pytest.mark.parametrize("opener, closer", [(b"[", b"]"), (b'{"a":', b"}")])
def test_deeper_nesting_is_refused_with_its_place(depth, opener, closer):
    message, line, column = refused(opener * depth + b"1" + closer * depth)
    assert message == f"nested deeper than {MAX_DEPTH} levels"
    assert (line, column) == (1, MAX_DEPTH * len(opener) + 1)


def test_the_last_of_two_equal_keys_counts_and_the_place_is_told():
    value, duplicates = read(b'{"a": 1,\n "b": {"c": 1, "c": 2},\n "a": 3}')
    assert value == {"a": 3, "b": {"c": 2}}
    assert [(d.message, d.line, d.column) for d in duplicates] == [
        ("key 'c' stands twice", 2, 16),
        ("key 'a' stands twice", 3, 2),
    ]


def test_a_key_is_the_same_however_it_is_written():
    assert read(b'{"a": 1, "\\u0061": 2}').duplicates[0].message == "key 'a' stands twice"


def test_a_byte_order_mark_is_no_content():
    assert read(b'\xef\xbb\xbf{"a": 1}').value == {"a": 1}


def test_whole_surrogate_pairs_are_one_character():
    assert read(b'"\\ud83d\\ude00"').value == "😀"


def test_a_file_over_the_limit_is_refused_as_a_whole():
    assert refused(b" " * (MAX_BYTES + 1)) == ("larger than 16 MiB", 0, 0)
