import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from mnedge import faults
from mnedge.execution.processes import Processes
from mnedge.execution.procfs import running_tokens, stat_of
from mnedge.faults import InjectedFaultError
from mnedge.hot import native
from mnedge.hot.spawn import spawn_native, spawn_plain

pytestmark = pytest.mark.live

MINE, DEAD = f"mine-{os.getpid()}", f"dead-{os.getpid()}"
"""Tests that run beside these have other jobs."""

SPAWNS = [
    pytest.param(
        spawn_native,
        marks=pytest.mark.skipif(not native.available()[0], reason=native.available()[1]),
    ),
    spawn_plain,
]


@pytest.fixture(params=SPAWNS, ids=["native", "plain"])
def processes(request):
    return Processes(request.param)


def start(processes, line, token=f"{MINE}/a/1", **more):
    return processes.start(
        ["sh", "-c", line],
        token=token,
        environment={"PATH": os.environ["PATH"]},
        directory="/",
        **more,
    )


async def read_line(fd):
    said = b""
    with trio.fail_after(5):
        while not said.endswith(b"\n"):
            await trio.lowlevel.wait_readable(fd)
            said += os.read(fd, 1)
    return said.decode().strip()


async def until(true, seconds=5):
    with trio.fail_after(seconds):
        while not true():
            await trio.sleep(0.01)


def is_running(pid):
    stat = stat_of(pid)
    return stat is not None and stat.state != "Z"


async def test_a_command_runs_to_its_end(processes):
    process = start(processes, "echo $MNEDGE_LAUNCH; echo err >&2; exit 3")
    assert await read_line(process.stdout) == f"{MINE}/a/1"
    assert await read_line(process.stderr) == "err"
    await process.exited()
    ended = await process.end()
    assert (ended.code, ended.signal) == (3, None)
    assert await process.end() == ended
    process.signal(signal.SIGTERM)


async def test_a_worker_goes_before_the_node_when_memory_runs_out(processes):
    process = start(processes, "sleep 60")
    assert place_of(process.pid) == "500"
    assert int(place_of(os.getpid())) < 500
    await process.end()


async def test_who_goes_early_anyhow_goes_no_later(processes):
    before = place_of(os.getpid())
    Path("/proc/self/oom_score_adj").write_text("700")
    try:
        process = start(processes, "sleep 60")
        assert place_of(process.pid) == "700"
        await process.end()
    finally:
        Path("/proc/self/oom_score_adj").write_text(before)


def place_of(pid):
    return Path(f"/proc/{pid}/oom_score_adj").read_text().strip()


async def test_a_command_killed_by_a_signal_ends_as_shells_say_it(processes):
    process = start(processes, "kill -TERM $$")
    await process.exited()
    assert (await process.end())[:2] == (143, 15)


async def test_what_it_used_is_known(processes):
    process = start(processes, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
    await process.exited()
    assert (await process.end()).user_s > 0


async def test_stdin_is_empty_unless_asked_for(processes):
    process = start(processes, "cat; echo end")
    assert process.stdin is None
    assert await read_line(process.stdout) == "end"
    await process.end()
    process = start(processes, "read line; echo got $line", with_stdin=True)
    os.write(process.stdin, b"this\n")
    assert await read_line(process.stdout) == "got this"
    await process.end()


@pytest.mark.parametrize("arguments,directory", [(["no-such-program"], "/"), (["sh"], "/nowhere")])
async def test_what_cannot_be_started_leaves_nothing_open(processes, arguments, directory):
    before = set(os.listdir("/proc/self/fd"))
    environment = {"PATH": os.environ["PATH"]}
    start(processes, "true")  # opens what is opened once
    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            processes.start(arguments, token="t", environment=environment, directory=directory)
    for tree in list(processes._trees.values()):
        await tree.end()
    assert len(set(os.listdir("/proc/self/fd")) - before) <= 1


FLIGHTS = {
    "in its group": "sleep 300 & echo $!; exec sleep 300",
    "in a session of its own": "setsid sleep 300 & echo $!; exec sleep 300",
    "as a daemon": "(setsid sleep 300 >/dev/null 2>&1 & echo $!); exec sleep 300",
    "without our environment": "env -i setsid sleep 300 & echo $!; exec sleep 300",
    "deaf to SIGTERM": "(trap '' TERM; sleep 300) & echo $!; trap '' TERM; sleep 300",
}


@pytest.mark.parametrize("line", FLIGHTS.values(), ids=FLIGHTS)
async def test_ending_a_process_ends_all_that_descends_from_it(processes, line):
    process = start(processes, line)
    other = start(processes, "echo up; exec sleep 300", token=f"{MINE}/other/1")
    await read_line(other.stdout)
    child = int(await read_line(process.stdout))
    with trio.fail_after(5):
        ended = await process.end()
    assert ended.signal == signal.SIGKILL
    assert not is_running(child)
    assert is_running(other.pid), "nobody else is hurt"
    await other.end()


@pytest.mark.parametrize("name", sorted(FLIGHTS.keys() - {"without our environment"}))
async def test_what_a_command_leaves_behind_ends_with_it(processes, name):
    """But for what cleared its environment and detached itself: the one way out."""
    line = FLIGHTS[name].replace("exec sleep 300", "exit 0").replace("; sleep 300", "; exit 0")
    process = start(processes, line)
    child = int(await read_line(process.stdout))
    await process.exited()
    with trio.fail_after(5):
        ended = await process.end()
    assert ended.code == 0
    assert not is_running(child)


async def test_an_orphan_of_a_running_command_is_left_alone(processes):
    process = start(processes, "(setsid sleep 300 >/dev/null 2>&1 & echo $!); exec sleep 300")
    orphan = int(await read_line(process.stdout))
    other = start(processes, "exit 0", token=f"{MINE}/b/1")
    await other.exited()
    await other.end()
    assert is_running(orphan)
    await process.end()
    assert not is_running(orphan)


async def test_children_of_other_code_in_this_process_are_left_alone(processes):
    detached = subprocess.Popen(["sleep", "300"], start_new_session=True)
    attached = subprocess.Popen(["sleep", "300"])
    process = start(processes, "sleep 300 & exit 0")
    await process.exited()
    await process.end()
    assert detached.poll() is None
    assert attached.poll() is None
    for one in (detached, attached):
        one.kill()
        assert one.wait() == -9, "its exit code was left to its owner"


async def test_ending_is_not_cancelled_half_way(processes):
    process = start(processes, "trap '' TERM; sleep 300 & echo $!; sleep 300")
    child = int(await read_line(process.stdout))
    with trio.move_on_after(0):
        await process.end()
    assert not is_running(child)
    assert not is_running(process.pid)


OWNER = r"""
import os, sys, trio
from mnedge.execution.processes import Processes
from mnedge.hot import spawn
processes = Processes(getattr(spawn, sys.argv[1]))
started = [
    processes.start(["sh", "-c", line], token=f"{sys.argv[2]}/{number}/1", directory="/",
                    environment={"PATH": os.environ["PATH"]})
    for number, line in enumerate(["echo up; exec sleep 300",
                                   "sleep 300 & echo up; exec sleep 300",
                                   "setsid sleep 300 & echo up; sleep 300"])
]
for process in started:
    os.set_blocking(process.stdout, True)
    assert os.read(process.stdout, 3) == b"up\n"
print(*(process.pid for process in started), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def dead_owner(request):
    """An owner of three commands that was killed; what it leaves are the process ids it knew."""
    spawn = request.node.callspec.params["processes"]
    name = getattr(spawn, "__name__", "")
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, name, DEAD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    ) as owner:
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        owner.kill()
    assert len(pids) == 3
    yield pids
    for pid, token in running_tokens():
        if token.startswith(f"{DEAD}/"):
            os.kill(pid, signal.SIGKILL)


async def test_a_command_dies_with_its_owner(processes, dead_owner):
    await until(lambda: not any(map(is_running, dead_owner)))


async def test_what_outlived_a_dead_owner_is_found_by_its_token(processes, dead_owner):
    def left():
        return [token for _, token in running_tokens() if token.startswith(f"{DEAD}/")]

    await until(lambda: not any(map(is_running, dead_owner)))
    assert set(left()) == {f"{DEAD}/1/1", f"{DEAD}/2/1"}
    assert await processes.sweep({f"{DEAD}/0/1", f"{DEAD}/1/1", "other/1/1"}) == 1
    assert set(left()) == {f"{DEAD}/2/1"}
    assert await processes.sweep({f"{DEAD}/"}) >= 1
    assert left() == []
    assert await processes.sweep({f"{DEAD}/"}) == 0


async def test_a_sweep_spares_what_is_ours(processes):
    process = start(processes, "echo up; exec sleep 300", token=f"{MINE}/1/1")
    await read_line(process.stdout)
    assert await processes.sweep({f"{MINE}/"}) == 0
    assert is_running(process.pid)
    await process.end()


async def test_many_at_once_all_end(processes):
    async def one(number):
        process = start(
            processes, f"setsid sleep 300 & exit {number % 7}", token=f"{MINE}/{number}/1"
        )
        await process.exited()
        assert (await process.end()).code == number % 7

    async with trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(one, number)
    assert not [token for _, token in running_tokens() if token.startswith(f"{MINE}/")]


@pytest.mark.parametrize("point", ["spawn.before", "spawn.after"])
@pytest.mark.parametrize("action", ["raise", "enospc"])
async def test_a_start_that_fails_half_way_leaves_nothing(processes, point, action):
    start(processes, "true")  # opens what is opened once
    for tree in list(processes._trees.values()):
        await tree.end()
    before = os.listdir("/proc/self/fd")
    with faults.armed(f"{point}:1:{action}"), pytest.raises((OSError, InjectedFaultError)):
        start(processes, "exec sleep 300")
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert not [token for _, token in running_tokens() if token == f"{MINE}/a/1"]


async def test_sweeps_at_the_same_time_share_a_look_and_a_later_one_looks_anew(monkeypatch):
    looks = []

    def look():
        looks.append(trio.current_time())
        return iter(())

    monkeypatch.setattr("mnedge.execution.processes.running_tokens", look)
    processes = Processes()
    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(processes.sweep, {f"job-{number}/"})
    assert len(looks) == 1
    assert await processes.sweep({"job-1/"}) == 0
    assert len(looks) == 2


async def test_a_sweep_that_is_cancelled_keeps_nobody_waiting(monkeypatch):
    monkeypatch.setattr("mnedge.execution.processes.running_tokens", lambda: iter(()))
    processes = Processes()
    async with trio.open_nursery() as nursery:
        first = trio.CancelScope()

        async def cancelled():
            with first:
                await processes.sweep({"a/"})

        nursery.start_soon(cancelled)
        nursery.start_soon(processes.sweep, {"b/"})
        first.cancel()
    with trio.fail_after(5):
        await processes.sweep({"c/"})
