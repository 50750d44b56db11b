"""What a daemon takes to start, and what it takes while nothing happens."""

import re
import select
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil
import trio
from programs import MNEDGE, Running, config_of, environment, program
from rows import Row
from workloads import scratch, spread, worker_job

from mnedge.daemon.clock import wall_clock
from mnedge.part import running
from mnedge.runtime.submission import submit_spec
from mnedge.store.sqlite import SqliteStore

STARTS = 7
JOBS = 100
KILLS = 5
SETTLE_S = 3.0
IDLE_S = 12.0
READERS = 100
FLOOR = """
import sqlite3, sys, trio
async def main():
    store = sqlite3.connect(sys.argv[1])
    store.execute("PRAGMA journal_mode = WAL")
    sys.stderr.write("ready\\n")
    await trio.sleep_forever()
trio.run(main)
"""


class Used(NamedTuple):
    """What a process had used at one moment."""

    at: float
    cpu_s: float
    wakeups: dict[str, int]
    """By thread: the counts of those that end go with them."""
    written_bytes: int
    said_bytes: int


def main() -> list[Row]:
    """Return the figures of both: the daemon, and the smallest program on the same libraries."""
    starts: dict[str, list[float]] = {"daemon": [], "floor": [], "answers": []}
    with scratch() as folder:
        environ = environment(folder)
        programs = {
            "daemon": [*MNEDGE, "daemon"],
            "floor": [sys.executable, "-c", FLOOR, str(folder / "floor.db")],
        }
        for _ in range(STARTS):
            for name, arguments in programs.items():
                with program(arguments, environ) as started:
                    starts[name].append(started.ready_s * 1e3)
                    if name == "daemon":
                        _answered(environ, "/api/v1/health")
                        took_s = time.perf_counter() - started.began
                        starts["answers"].append(took_s * 1e3)
        with (
            program(programs["daemon"], environ) as daemon,
            program(programs["floor"], environ) as floor,
        ):
            _answered(environ, "/api/v1/health")
            _answered(environ, "/api/v1/jobs")
            idle = _idle(daemon, floor)
            _answered(environ, "/jobs", "accept: text/html\r\n")
            with _readers(environ):
                idle += _idle(daemon, floor, f" with {READERS} readers of events, console used")
    return [*_starts(starts), *idle, *_adoption(median(starts["answers"]) / 1e3)]


def _starts(starts: dict[str, list[float]]) -> list[Row]:
    return [
        Row(
            "daemon: start to ready",
            median(starts["daemon"]),
            "ms",
            median(starts["floor"]),
            budget=400,
            less_is_better=True,
            note=f"min/median/max {spread(starts['daemon'])}; floor: trio and sqlite alone",
        ),
        Row(
            "daemon: start to health answered",
            median(starts["answers"]),
            "ms",
            median(starts["floor"]),
            budget=400,
            less_is_better=True,
            note=f"min/median/max {spread(starts['answers'])}",
        ),
    ]


def _adoption(floor_s: float) -> list[Row]:
    """Kill a daemon with a hundred unfinished jobs, and see how soon the next one carries them."""
    took = []
    with scratch() as folder:
        environ = environment(folder)
        trio.run(_submit, environ)
        began = time.perf_counter()
        for number in range(KILLS + 1):
            with program([*MNEDGE, "daemon"], environ) as owner:
                figure = "mnedge_jobs_recovered_total" if number else "mnedge_submissions_total"
                while _figure(environ, figure) < JOBS:
                    _pass(0.01)
                if number:
                    took.append(time.perf_counter() - began)
                began = time.perf_counter()
                owner.kill()
    return [
        Row(
            f"kill -9 → {JOBS} unfinished jobs adopted",
            median(took),
            "s",
            floor_s,
            budget=2.0,
            less_is_better=True,
            note=f"min/median/max {spread(took, 2)}; floor: start to health answered without jobs",
        )
    ]


async def _submit(environ: dict[str, str]) -> None:
    config = config_of(environ)
    async with running(SqliteStore(config.data_dir)) as store:
        for number in range(JOBS):
            spec = worker_job([["sleep", "3600"]])
            await submit_spec(store, config, spec, job_id=f"job-{number}", now=wall_clock)


def _figure(environ: dict[str, str], name: str) -> float:
    match = re.search(rf"^{name} ([0-9.]+)$", _answered(environ, "/metrics"), re.MULTILINE)
    return float(match[1]) if match else 0.0


def _answered(environ: dict[str, str], path: str, headers: str = "") -> str:
    """Return what the daemon answers on its socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(config_of(environ).socket))
        request = f"GET {path} HTTP/1.1\r\nhost: node\r\n{headers}connection: close\r\n\r\n"
        client.sendall(request.encode())
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()


@contextmanager
def _readers(environ: dict[str, str]) -> Iterator[None]:
    """Have many who wait for events while none come."""
    with ExitStack() as open_:
        for _ in range(READERS):
            client = open_.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(config_of(environ).socket))
            client.sendall(b"GET /api/v1/events HTTP/1.1\r\nhost: n\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
        yield


def _idle(daemon: Running, floor: Running, while_: str = "") -> list[Row]:
    pids = daemon.pid, floor.pid
    _pass(SETTLE_S)
    before = [_used(pid) for pid in pids]
    _pass(IDLE_S)
    after = [_used(pid) for pid in pids]
    memory = [psutil.Process(pid).memory_info().rss / 1e6 for pid in pids]
    spans = [late.at - early.at for early, late in zip(before, after, strict=True)]
    shares = [
        100 * (late.cpu_s - early.cpu_s) / span
        for early, late, span in zip(before, after, spans, strict=True)
    ]
    wakeups = [
        sum(late.wakeups[one] - early.wakeups.get(one, 0) for one in late.wakeups) / span
        for early, late, span in zip(before, after, spans, strict=True)
    ]
    written = [
        max(late.written_bytes - early.written_bytes, late.said_bytes - early.said_bytes)
        * 3600
        / span
        for early, late, span in zip(before, after, spans, strict=True)
    ]
    return [
        Row(
            f"daemon: idle RSS{while_}", memory[0], "MB", memory[1], budget=60, less_is_better=True
        ),
        Row(
            f"daemon: idle CPU{while_}", shares[0], "%", shares[1], budget=0.1, less_is_better=True
        ),
        Row(
            f"daemon: wakeups{while_}", wakeups[0], "/s", wakeups[1], budget=2, less_is_better=True
        ),
        Row(
            f"daemon: bytes written per idle hour{while_}",
            written[0],
            "B",
            written[1],
            budget=0,
            less_is_better=True,
            note=f"counted for {spans[0]:.0f} s",
        ),
    ]


def _used(pid: int) -> Used:
    """Return what all threads of the process have used so far."""
    times = psutil.Process(pid).cpu_times()
    counts = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    switches = {
        status.parent.name: int(line.split()[1])
        for status in Path(f"/proc/{pid}/task").glob("*/status")
        for line in status.read_text().splitlines()
        if line.startswith("voluntary_ctxt_switches")
    }
    return Used(
        time.perf_counter(),
        times.user + times.system,
        switches,
        int(counts["write_bytes"]),
        int(counts["wchar"]),
    )


def _pass(seconds: float) -> None:
    """Let the time pass."""
    select.select([], [], [], seconds)
