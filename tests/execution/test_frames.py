import os
import sys

import pytest
import trio

from mnedge.execution.frames import LENGTH, MAX_FRAME_BYTES, FrameError, Frames
from mnedge.execution.processes import Processes

pytestmark = pytest.mark.live

ECHO = """
import sys
while head := sys.stdin.buffer.read(4):
    sys.stdout.buffer.write(head + sys.stdin.buffer.read(int.from_bytes(head, "big")))
    sys.stdout.buffer.flush()
"""


@pytest.fixture
async def start():
    started = []

    def start(code):
        process = Processes().start(
            [sys.executable, "-c", code],
            token="t/f/1",
            environment={"PATH": os.environ["PATH"]},
            directory="/",
            with_stdin=True,
        )
        started.append(process)
        return Frames(process)

    yield start
    for process in started:
        await process.end()


@pytest.mark.parametrize("size_bytes", [0, 1, 100, 3_000_000])
async def test_a_frame_comes_back_whole(start, size_bytes):
    content = bytes(range(256)) * (size_bytes // 256) + bytes(size_bytes % 256)
    frames = start(ECHO)
    with trio.fail_after(10):
        assert await frames.exchange(content) == content
        assert await frames.exchange(b"again") == b"again"


@pytest.mark.parametrize(
    "code",
    [
        "",
        "import sys; sys.stdout.buffer.write(b'ab')",
        "import os; os.close(0)",
        "import sys; sys.stdin.buffer.read(4); sys.stdout.buffer.write(b'\\0\\0\\0\\5abc')",
    ],
)
async def test_a_process_that_ends_early_is_noticed(start, code):
    frames = start(code)
    with trio.fail_after(10), pytest.raises(FrameError, match="module worker ended"):
        await frames.exchange(bytes(1_000_000))


async def test_an_absurd_length_is_no_frame(start):
    frames = start("import sys; sys.stdout.buffer.write(b'GARBAGE' * 100); sys.stdout.flush()")
    with trio.fail_after(10), pytest.raises(FrameError, match="broke its protocol"):
        await frames.exchange(b"x")


async def test_a_message_that_fits_no_frame_is_refused(start, monkeypatch):
    monkeypatch.setattr("mnedge.execution.frames.MAX_FRAME_BYTES", 10)
    with pytest.raises(FrameError, match="too large"):
        await start(ECHO).exchange(b"x" * 11)


async def test_lines_are_read_apart_long_ones_in_pieces(start):
    frames = start("import sys; sys.stderr.write('one\\n\\ntwo\\n' + 'x' * 200_000 + '\\nlast')")
    with trio.fail_after(10):
        lines = [line async for line in frames.lines()]
    assert lines[:3] == [b"one", b"", b"two"]
    assert b"".join(lines[3:]) == b"x" * 200_000 + b"last"
    assert max(map(len, lines)) <= 200_000


async def test_a_goodbye_lets_the_process_end_by_itself(start):
    frames = start(ECHO)
    frames.say_goodbye()
    frames.say_goodbye()
    with trio.fail_after(10):
        await frames._process.exited()


async def test_after_closing_nothing_is_read(start, nursery):
    """The number of a closed descriptor may belong to somebody else a moment later."""
    frames = start("import sys; sys.stderr.write('now\\n'); sys.stderr.flush(); sys.stdin.read()")
    read = []

    async def reading():
        async for line in frames.lines():
            read.append(line)
            frames.close()

    with trio.fail_after(10):
        await reading()
    await frames._process.end()
    assert [line async for line in frames.lines()] == []
    assert read == [b"now"]


def test_a_length_is_four_bytes_big_endian():
    assert LENGTH.pack(5) == b"\0\0\0\5"
    assert MAX_FRAME_BYTES < 1 << 32
