import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.gateway.grpc.frames import FrameError, Frames, TooLargeError, framed
from mnedge.gateway.grpc.status import NotOfferedError


@given(st.binary(max_size=200), st.lists(st.integers(0, 210), max_size=6))
def test_a_message_comes_whole_however_it_is_cut(message, cuts):
    frames, whole = Frames(200), framed(message)
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    for start, end in pairwise(edges):
        frames.feed(whole[start:end])
    assert frames.only() == message


@given(st.binary(min_size=1, max_size=50), st.data())
def test_a_request_that_ends_too_early_is_refused(message, data):
    frames, whole = Frames(200), framed(message)
    frames.feed(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(FrameError):
        frames.only()


@pytest.mark.parametrize(
    "body, kind, words",
    [
        (b"\x01\0\0\0\x01x", NotOfferedError, "compressed"),
        (b"\x02\0\0\0\x01x", FrameError, "begins with 2"),
        (struct.pack(">BI", 0, 201), TooLargeError, "201 bytes"),
        (b"\0\xff\xff\xff\xff", TooLargeError, "4294967295"),
        (framed(b"a") + framed(b"b"), FrameError, "one message"),
    ],
)
def test_what_is_no_single_plain_message_is_refused(body, kind, words):
    with pytest.raises(kind, match=words):
        Frames(200).feed(body)
