"""Beyond the contract of its port (tests/contracts): floods, floors and fine print."""

import os
import resource
from itertools import pairwise

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from mnedge.execution.processes import Processes
from mnedge.ports import Launch
from mnedge_runners import host_local
from mnedge_runners.host_local import TRUNCATED, Captured, HostLocal


def captured(pieces, cap_bytes=1 << 20, take=None):
    stream = Captured(cap_bytes, take)
    for piece in pieces:
        stream.add(piece)
    stream.close()
    return stream.content


def test_output_stays_as_it_is():
    assert captured([b"a\nb", b"c\n\n", b"d"]) == b"a\nbc\n\nd"
    assert captured([]) == b""


def test_too_much_is_cut_and_marked_on_a_line_of_its_own():
    assert captured([b"12345", b"67890"], cap_bytes=8) == b"12345678\n" + TRUNCATED + b"\n"
    assert captured([b"1234567\n", b"x"], cap_bytes=8) == b"1234567\n" + TRUNCATED + b"\n"
    assert captured([b"12345678"], cap_bytes=8) == b"12345678"


@given(
    pieces=st.lists(st.binary(max_size=9), max_size=9),
    cap_bytes=st.integers(0, 20),
    sunk=st.booleans(),
)
def test_what_is_dropped_is_counted(pieces, cap_bytes, sunk):
    stream = Captured(cap_bytes, (lambda _: False) if sunk else None)
    for piece in pieces:
        stream.add(piece)
    stream.close()
    stream.close()
    whole = b"".join(pieces)
    assert stream.dropped_bytes == max(len(whole) - cap_bytes, 0)
    assert stream.content.startswith(whole[:cap_bytes])
    assert stream.content.count(TRUNCATED) == (stream.dropped_bytes > 0)


def test_a_sink_takes_whole_lines_however_they_arrive():
    taken = []

    def take(line):
        if line.startswith(b"@"):
            taken.append(line)
            return True
        return False

    assert captured([b"a\n@b", b"c\nd\n@", b"e"], take=take) == b"a\nd\n"
    assert taken == [b"@bc", b"@e"]


def test_lines_are_still_taken_after_the_cap():
    taken = []
    content = captured([b"x" * 100 + b"\n", b"@late\n"], cap_bytes=10, take=taken.append)
    assert taken == [b"x" * 100, b"@late"] or b"@late" in taken
    assert content.endswith(TRUNCATED + b"\n")


def test_a_line_longer_than_the_cap_is_not_held():
    offered = []
    stream = Captured(1000, lambda line: bool(offered.append(line)))
    for _ in range(100):
        stream.add(b"x" * 1000)
    assert len(stream._line) <= 2000
    stream.add(b"@\nnext\n")
    stream.close()
    assert offered == [b"next"]
    assert stream.content == b"x" * 1000 + b"\n" + TRUNCATED + b"\n"


@given(
    lines=st.lists(st.binary(max_size=8).map(lambda b: b.replace(b"\n", b"")), max_size=12),
    cuts=st.lists(st.integers(0, 60), max_size=8),
)
def test_pieces_make_no_difference(lines, cuts):
    whole = b"\n".join(lines)
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[a:b] for a, b in pairwise(places)]
    taken = []

    def take(line):
        if line[:1] == b"\x00":
            taken.append(line)
            return True
        return False

    complete = lines if lines and lines[-1] else lines[:-1]
    assert captured(pieces) == whole
    content = captured(pieces, take=take)
    assert taken == [line for line in complete if line[:1] == b"\x00"]
    assert content.count(b"\x00") == whole.count(b"\x00") - sum(t.count(b"\x00") for t in taken)


@pytest.fixture
def run(tmp_path):
    runner = HostLocal(Processes())

    async def run(command, *, path=None, **fields):
        launch = Launch(
            token=f"local-{os.getpid()}/a/1",
            name="n",
            command=command,
            workspace=str(tmp_path),
            workdir=fields.pop("workdir", str(tmp_path)),
            environment={"PATH": path or os.environ["PATH"]},
            **fields,
        )
        with trio.fail_after(30):
            return await runner.run(launch, lambda _: False)

    return run


@pytest.mark.live
async def test_a_flood_costs_no_memory(run):
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    flood = ("sh", "-c", "head -c 100000000 /dev/zero; head -c 100000000 /dev/zero >&2; echo end")
    finished = await run(flood, max_output_bytes=100_000)
    assert finished.exit_code == 0
    assert len(finished.stdout) < 100_100
    assert len(finished.stderr) < 100_100
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert grown_kib < 20_000


@pytest.mark.live
async def test_a_flood_of_lines_stops_at_its_timeout(run):
    finished = await run(("yes",), timeout_s=0.5, grace_s=0.5, max_output_bytes=1000)
    assert finished.error == "host local command timed out"
    assert finished.extra["timeout_ms"] == 500
    assert finished.stdout.endswith(TRUNCATED + b"\n")


@pytest.mark.live
async def test_a_death_by_signal_is_told(run):
    finished = await run(("sh", "-c", "kill -SEGV $$"))
    assert finished.exit_code == 139
    assert finished.extra == {"signal": 11}


@pytest.mark.live
async def test_what_it_used_is_measured(run):
    finished = await run(("sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"))
    assert finished.rusage["user_s"] > 0
    assert finished.rusage["system_s"] >= 0
    # Until it became the command, it shared our memory: only what is more than ours is known.
    ours_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    hungry = f"block = bytearray({ours_bytes} + 50_000_000); block[::4096] = block[::4096]"
    finished = await run(("python3", "-c", hungry))
    assert finished.rusage["max_rss_bytes"] > ours_bytes


@pytest.mark.live
@pytest.mark.parametrize(
    "command,fields,text",
    [
        (("nope",), {}, "failed to invoke nope: No such file or directory"),
        (("/etc/passwd",), {}, "failed to invoke /etc/passwd: Permission denied"),
        (("true",), {"workdir": "/nowhere"}, "failed to invoke true: No such file or directory: "),
        ("true", {"path": "/nowhere"}, "failed to invoke bash: No such file or directory"),
        (("a\0b",), {}, "failed to invoke a"),
        (("",), {}, "failed to invoke "),
    ],
)
async def test_what_cannot_be_started_says_why(run, command, fields, text):
    finished = await run(command, **fields)
    assert finished.exit_code is None
    assert finished.error.startswith(text)


@pytest.mark.live
async def test_a_writer_that_outlives_the_command_for_a_moment_is_heard(run):
    finished = await run(("sh", "-c", "(sleep 0.2; echo late) & echo early"))
    assert finished.stdout == b"early\nlate\n"


@pytest.mark.live
async def test_a_stopped_command_can_be_ended(run):
    finished = await run(("sh", "-c", "kill -STOP $$; echo never"), timeout_s=0.3, grace_s=0.3)
    assert "timed out" in finished.error


def test_the_hook_brings_it():
    (runner,) = host_local.runners(Processes())
    assert runner.name == "host_local"
    assert runner.modules == ("MirrorNeuron.Runner.HostLocal",)
    assert runner.available() is None
