"""The durable copy of a run's lines: whole lines only, full files indexed, old ones forgotten."""

import hashlib
import os

import pytest

from mnedge import faults
from mnedge.faults import InjectedFaultError
from mnedge.store.runs.stream import SEGMENTS, Stream, segment_name


def line(number: int, size_bytes: int = 100) -> bytes:
    return f"{number:0{size_bytes - 1}d}\n".encode()


@pytest.fixture
def stream(tmp_path):
    opened = Stream(tmp_path / "job", "events", busy=True)
    opened.load()
    yield opened
    opened.close()


def again(stream: Stream) -> Stream:
    opened = Stream(stream.path.parent, stream.name)
    opened.load()
    return opened


def rotate(stream: Stream) -> None:
    stream.rotate(first_ts="a", last_ts="b", checkpoint={"n": stream.records})


def test_what_was_appended_is_read_again(stream):
    stream.append(line(1) + line(2))
    stream.append(line(3))
    assert (stream.size_bytes, stream.records) == (300, 3)
    other = again(stream)
    assert other.read() == line(1) + line(2) + line(3)
    assert other.read(100, 200) == line(2)
    assert (other.size_bytes, other.records) == (300, 3)


@pytest.mark.parametrize("torn", [b"x", b"x" * 3_000_000])
def test_a_torn_last_line_is_cut(stream, torn):
    stream.append(line(1))
    with open(stream.path, "ab") as file:
        file.write(torn)
    other = again(stream)
    assert (other.read(), other.records) == (line(1), 1)


def test_a_file_without_one_whole_line_is_emptied(stream):
    stream.path.write_bytes(b"x" * 10)
    assert again(stream).size_bytes == 0


@pytest.mark.parametrize("hole", [b"\0" * 100, b"\0" * 99 + b"\n", b"x\0" + line(9)])
def test_what_stands_behind_a_hole_is_cut(stream, hole):
    """After a power cut later writes may be there, and earlier ones may not."""
    stream.append(line(1))
    with open(stream.path, "ab") as file:
        file.write(hole + line(3))
    other = again(stream)
    assert (other.read(), other.records) == (line(1), 1)


def test_a_failed_write_leaves_nothing_of_itself(stream, monkeypatch):
    stream.append(line(1))
    write = os.write

    def half(file: int, content: bytes) -> int:
        if len(content) < 100:
            raise OSError(28, "full")
        return write(file, bytes(content)[:50])

    with monkeypatch.context() as full:
        full.setattr("os.write", half)
        with pytest.raises(OSError, match="full"):
            stream.append(line(2))
    assert (stream.size_bytes, stream.records, stream.read()) == (100, 1, line(1))
    stream.append(line(3))
    assert again(stream).read() == line(1) + line(3)


def test_a_full_file_gets_a_number_and_a_place_in_the_index(stream):
    stream.append(line(1) + line(2))
    rotate(stream)
    stream.append(line(3))
    (segment,) = again(stream).segments
    assert segment == stream.segments[0]
    assert (segment.number, segment.size_bytes, segment.records, segment.total) == (1, 200, 2, 2)
    assert segment.sha256 == hashlib.sha256(line(1) + line(2)).hexdigest()
    assert (segment.first_ts, segment.last_ts, segment.checkpoint) == ("a", "b", {"n": 2})
    assert stream.read_segment(segment) == line(1) + line(2)
    assert again(stream).records == 3


def test_the_oldest_full_files_are_forgotten_and_numbers_go_on(stream):
    for number in range(SEGMENTS + 3):
        stream.append(line(number))
        rotate(stream)
    assert [one.number for one in again(stream).segments] == [4, 5, 6, 7, 8]
    names = sorted(path.name for path in stream.path.parent.glob("events.0*.jsonl"))
    assert names == [segment_name("events", number) for number in range(4, 9)]
    assert again(stream).records == SEGMENTS + 3


def test_room_is_what_fits_and_endless_without_rotation(tmp_path, stream, monkeypatch):
    monkeypatch.setattr("mnedge.store.runs.stream.SEGMENT_BYTES", 250)
    stream.append(line(1))
    assert stream.room_bytes == 150
    endless = Stream(tmp_path / "job", "timeline", rotates=False)
    endless.load()
    assert endless.room_bytes is None


@pytest.mark.parametrize("point", ["runs.rename.before", "runs.rename.after"])
def test_a_rotation_that_a_crash_interrupts_is_finished_or_undone(stream, point):
    stream.append(line(1))
    with faults.armed(f"{point}:1:raise"), pytest.raises(InjectedFaultError):
        rotate(stream)
    other = again(stream)
    content = b"".join(map(other.read_segment, other.segments)) + other.read()
    assert content == line(1)
    assert other.records == 1
    rotate(other) if other.size_bytes else None
    other.append(line(2))
    assert again(other).records == 2


def test_a_power_cut_that_shortens_a_full_file_makes_it_the_current_one(stream):
    for number in (1, 2, 3):
        stream.append(line(number) + line(number))
        rotate(stream)
    os.truncate(stream.segment_path(stream.segments[1]), 150)
    other = again(stream)
    assert [one.number for one in other.segments] == [1]
    assert other.read() == line(2)
    assert other.records == 3
    assert len(list(stream.path.parent.glob("events.0*.jsonl"))) == 1


def test_a_full_file_that_is_gone_takes_what_came_later_with_it(stream):
    for number in (1, 2):
        stream.append(line(number))
        rotate(stream)
    stream.segment_path(stream.segments[0]).unlink()
    other = again(stream)
    assert (other.segments, other.size_bytes, other.records) == ([], 0, 0)


def test_full_files_can_be_taken_back(stream):
    for number in (1, 2, 3):
        stream.append(line(number))
        rotate(stream)
    stream.cut_segments(2)
    assert [one.number for one in stream.segments] == [1]
    assert stream.read() == line(2)
    assert again(stream).records == 2


def test_syncing_covers_full_files_and_goes_on_after_an_error(stream, monkeypatch):
    stream.append(line(1))
    rotate(stream)
    stream.append(line(2))
    synced = []
    fsync = os.fsync

    def watch(file: int) -> None:
        synced.append(os.fstat(file).st_ino)
        fsync(file)

    def fail(_: int) -> None:
        raise OSError(5, "broken")

    with monkeypatch.context() as bad:
        bad.setattr("os.fsync", fail)
        with pytest.raises(OSError, match="broken"):
            stream.synced()
    monkeypatch.setattr("os.fsync", watch)
    stream.synced()
    full = stream.segment_path(stream.segments[0])
    assert {full.stat().st_ino, stream.path.stat().st_ino} <= set(synced)


def test_a_stream_that_is_seldom_written_holds_no_file_open(tmp_path):
    quiet = Stream(tmp_path / "job", "errors")
    quiet.load()
    before = len(os.listdir("/proc/self/fd"))
    quiet.append(line(1))
    assert quiet.read() == line(1)
    assert len(os.listdir("/proc/self/fd")) == before
