"""Streams of events, cut anywhere."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.cli.sse import Frame, Parser

WHOLE = (
    b"\xef\xbb\xbfretry: 1000\n\n: heartbeat\n\nid: 1\nevent: a\ndata: {}\n\n"
    b"id: 2\r\ndata: one\r\ndata: two\r\n\r\nevent: none\n\ndata:x\rid: 3\r\rnever: heard\n"
)
FRAMES = [Frame("a", b"{}", "1"), Frame("message", b"one\ntwo", "2"), Frame("message", b"x", "3")]


def test_events_have_type_data_and_mark():
    assert Parser().feed(WHOLE) == FRAMES


@given(st.lists(st.integers(0, len(WHOLE)), max_size=12))
def test_it_does_not_matter_where_the_bytes_are_cut(cuts):
    places = [0, *sorted(cuts), len(WHOLE)]
    parser = Parser()
    found = [frame for start, end in pairwise(places) for frame in parser.feed(WHOLE[start:end])]
    assert found == FRAMES


def test_what_is_not_whole_waits():
    parser = Parser("7")
    assert parser.feed(b"id: 8\ndata: half") == []
    assert parser.feed(b" way\n\n") == [Frame("message", b"half way", "8")]


@pytest.mark.parametrize("line", [b"id: a\0b", b"other: 1", b"nothing"])
def test_what_is_not_understood_changes_nothing(line):
    parser = Parser("7")
    assert parser.feed(line + b"\ndata: x\n\n") == [Frame("message", b"x", "7")]
