"""How deep and how wide a JSON text is, while it arrives in pieces."""

import json

from hypothesis import given
from hypothesis import strategies as st

from mnedge.gateway.json_shape import DEEPEST, MOST_KEYS, JsonShape


def takes(text: bytes, piece: int = 7, **more) -> bool:
    shape = JsonShape(**more)
    return all(shape.takes(text[at : at + piece]) for at in range(0, len(text), piece))


def test_depth_is_bounded():
    assert takes(b"[" * DEEPEST + b"]" * DEEPEST)
    assert not takes(b"[" * (DEEPEST + 1))
    assert not takes(b'{"a":' * (DEEPEST + 1))


def test_many_shallow_containers_are_fine():
    assert takes(json.dumps([{"a": [1]}] * 1000).encode(), 4096)


def test_brackets_in_strings_do_not_count():
    assert takes(json.dumps("[" * 5000 + '"\\' + "{" * 5000).encode(), 100)


def test_keys_are_bounded_unless_told_otherwise():
    wide = json.dumps({str(n): n for n in range(MOST_KEYS + 1)}).encode()
    assert not takes(wide, 4096)
    assert takes(wide, 4096, count_keys=False)
    assert takes(json.dumps({str(n): ":" for n in range(MOST_KEYS)}).encode(), 4096)


def test_what_is_far_behind_is_left_to_the_reader():
    assert takes(b"[" + b" " * (1 << 20) + b"[" * 100, 1 << 16)


def test_why_it_was_not_taken_is_told():
    shape = JsonShape()
    assert not shape.takes(b"[" * 100)
    assert "64 deep" in shape.why


values = st.recursive(
    st.none() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=60,
)


@given(values, st.integers(1, 50))
def test_what_json_writes_is_taken_however_it_is_cut(value, piece):
    assert takes(json.dumps(value).encode(), piece)
