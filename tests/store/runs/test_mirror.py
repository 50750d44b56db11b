"""The file in the run folder shows the stream, and hands over what others wrote."""

import os

import pytest

from mnedge.store.runs.mirror import LEFTOVERS, Mirror
from mnedge.store.runs.stream import Stream


@pytest.fixture
def mirror(tmp_path):
    stream = Stream(tmp_path / "data", "events")
    stream.load()
    shown = Mirror(stream, tmp_path / "run")
    shown.load()
    yield shown
    shown.close()


def add(mirror: Mirror, lines: bytes) -> None:
    mirror.stream.append(lines)
    mirror.append(lines)


def write(mirror: Mirror, lines: bytes, mode: str = "ab") -> None:
    with open(mirror.path, mode) as file:
        file.write(lines)


def test_what_is_added_to_the_stream_is_shown(mirror):
    add(mirror, b"1\n2\n")
    add(mirror, b"3\n")
    assert mirror.path.read_bytes() == b"1\n2\n3\n"
    assert mirror.undisturbed
    assert mirror.quiet


def test_nothing_is_added_to_a_file_that_somebody_touched(mirror):
    add(mirror, b"1\n")
    write(mirror, b"{}\n")
    assert not mirror.undisturbed
    add(mirror, b"2\n")
    assert mirror.path.read_bytes() == b"1\n{}\n"


def test_a_line_with_a_hole_is_nobody_s_after_a_crash(mirror):
    add(mirror, b"1\n")
    write(mirror, b'{"a":1}\n{"b"\0\0\0}\n{"c":1}\n')
    assert mirror.foreign(halves=False).lines == [b'{"a":1}', b'{"c":1}']


def test_lines_behind_ours_are_told_in_place(mirror):
    add(mirror, b"1\n")
    write(mirror, b'{"a":1}\n{"b":2}\n')
    foreign = mirror.foreign()
    assert foreign.lines == [b'{"a":1}', b'{"b":2}']
    assert foreign.in_place
    assert not foreign.replaced
    mirror.stream.append(b'{"a":1}\n{"b":2}\n')
    mirror.accept(16)
    assert mirror.undisturbed
    add(mirror, b"2\n")
    assert mirror.path.read_bytes() == mirror.stream.read()


@pytest.mark.parametrize("content", [b"", b"x\n", b"1\n0\n3\nxxxxxxxxxxxx\n"])
def test_another_content_is_told_whole(mirror, content):
    add(mirror, b"1\n2\n3\n")
    write(mirror, content, "wb")
    foreign = mirror.foreign()
    assert foreign.lines == content.split(b"\n")[:-1]
    assert foreign.replaced
    mirror.rebuild()
    assert mirror.path.read_bytes() == b"1\n2\n3\n"
    assert mirror.foreign().lines == []


def test_a_file_of_the_same_beginning_by_another_name_is_told_whole_too(mirror):
    add(mirror, b"1\n")
    other = mirror.path.with_name("other")
    other.write_bytes(b"1\nx\n")
    os.replace(other, mirror.path)
    assert mirror.foreign().replaced


def test_a_missing_file_is_shown_again(mirror):
    add(mirror, b"1\n")
    mirror.path.unlink()
    assert mirror.foreign().lines == []
    mirror.rebuild()
    assert mirror.path.read_bytes() == b"1\n"


def test_an_unfinished_line_waits_until_it_is_finished_or_nobody_writes(mirror):
    add(mirror, b"1\n")
    write(mirror, b'{"a":')
    assert mirror.foreign().lines == []
    mirror.rebuild()
    assert mirror.foreign().lines == []
    with open(f"/proc/self/fd/{mirror._leftovers[0].file}", "ab") as file:
        file.write(b"1}\n{")
    assert mirror.foreign().lines == [b'{"a":1}']
    assert mirror.foreign(thoroughly=True).lines == [b"{"]


def test_an_unfinished_line_that_is_whole_json_counts_at_once(mirror):
    write(mirror, b'{"a":1}')
    foreign = mirror.foreign()
    assert foreign.lines == [b'{"a":1}']
    assert not foreign.in_place


def test_after_a_crash_half_lines_do_not_count(mirror):
    add(mirror, b"1\n")
    write(mirror, b'{"a":1}\n{"agent')
    assert mirror.foreign(thoroughly=True, halves=False).lines == [b'{"a":1}']


def test_only_so_many_replaced_files_are_kept_open(mirror):
    add(mirror, b"0" * 100 + b"\n")
    for number in range(LEFTOVERS + 5):
        write(mirror, b'{"n":%d}\n' % number, "wb")
        assert mirror.foreign().lines == [b'{"n":%d}' % number]
        mirror.rebuild()
    assert len(mirror._leftovers) == LEFTOVERS
    mirror.close()
    assert mirror._leftovers == []


@pytest.mark.parametrize("shown", [b"", b"1", b"1\n", b"1\n2\n3"])
def test_a_mirror_that_a_crash_left_behind_catches_up(mirror, shown):
    mirror.stream.append(b"1\n2\n3\n")
    mirror.path.write_bytes(shown)
    mirror.load()
    assert mirror.path.read_bytes() == b"1\n2\n3\n"
    assert mirror.undisturbed


def test_an_optional_file_appears_with_its_first_line(tmp_path):
    stream = Stream(tmp_path / "data", "human")
    stream.load()
    mirror = Mirror(stream, tmp_path / "run", optional=True)
    mirror.load()
    assert mirror.quiet
    assert not mirror.path.exists()
    mirror.rebuild()
    assert not mirror.path.exists()
    add(mirror, b"1\n")
    assert mirror.path.read_bytes() == b"1\n"


def rotate(mirror: Mirror) -> None:
    mirror.stream.rotate(first_ts="", last_ts="", checkpoint={})
    mirror.begin_next(mirror.stream.segments[-1])


def test_a_full_file_is_renamed_with_the_stream(mirror):
    add(mirror, b"1\n")
    inode = mirror.path.stat().st_ino
    rotate(mirror)
    add(mirror, b"2\n")
    full = mirror.path.with_name("events.001.jsonl")
    assert (full.read_bytes(), full.stat().st_ino) == (b"1\n", inode)
    assert mirror.path.read_bytes() == b"2\n"


def test_a_full_file_that_somebody_touched_is_written_anew(mirror):
    add(mirror, b"1\n")
    write(mirror, b"x\n", "wb")
    rotate(mirror)
    assert mirror.path.with_name("events.001.jsonl").read_bytes() == b"1\n"
    assert mirror.path.read_bytes() == b"x\n"


def test_old_full_files_go_and_files_of_workers_stay(mirror):
    mirror.path.with_name("events.1.jsonl").write_bytes(b"mine\n")
    for number in range(8):
        add(mirror, b"%d\n" % number)
        rotate(mirror)
    names = sorted(path.name for path in mirror.path.parent.glob("events.*.jsonl"))
    assert names == ["events.004.jsonl", "events.005.jsonl", "events.006.jsonl",
                     "events.007.jsonl", "events.008.jsonl", "events.1.jsonl"]  # fmt: skip
    mirror.withdraw(7)
    assert not mirror.path.with_name("events.007.jsonl").exists()
    mirror.load()
    assert mirror.path.with_name("events.007.jsonl").read_bytes() == b"6\n"


def test_a_full_disk_takes_back_what_was_half_shown(mirror, monkeypatch):
    add(mirror, b"1\n")
    shown = os.write

    def fail(file: int, content: bytes) -> int:
        if len(content) < 4:
            raise OSError(28, "full")
        return shown(file, bytes(content)[:2])

    mirror.stream.append(b"2222\n")
    with monkeypatch.context() as full:
        full.setattr("os.write", fail)
        with pytest.raises(OSError, match="full"):
            mirror.append(b"2222\n")
    assert mirror.path.read_bytes() == b"1\n"
    mirror.load()
    assert mirror.path.read_bytes() == b"1\n2222\n"
