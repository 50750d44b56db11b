"""What a daemon takes to start, and what it takes while nothing happens."""

import select
import sys
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil
from programs import MNEDGE, Running, environment, program
from rows import Row
from workloads import scratch, spread

STARTS = 7
SETTLE_S = 3.0
IDLE_S = 12.0
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
    wakeups: int
    written_bytes: int
    said_bytes: int


def main() -> list[Row]:
    """Return the figures of both: the daemon, and the smallest program on the same libraries."""
    starts: dict[str, list[float]] = {"daemon": [], "floor": []}
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
        with (
            program(programs["daemon"], environ) as daemon,
            program(programs["floor"], environ) as floor,
        ):
            return [*_starts(starts), *_idle(daemon, floor)]


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
        )
    ]


def _idle(daemon: Running, floor: Running) -> list[Row]:
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
        (late.wakeups - early.wakeups) / span
        for early, late, span in zip(before, after, spans, strict=True)
    ]
    written = [
        max(late.written_bytes - early.written_bytes, late.said_bytes - early.said_bytes)
        * 3600
        / span
        for early, late, span in zip(before, after, spans, strict=True)
    ]
    return [
        Row("daemon: idle RSS", memory[0], "MB", memory[1], budget=60, less_is_better=True),
        Row("daemon: idle CPU", shares[0], "%", shares[1], budget=0.1, less_is_better=True),
        Row("daemon: wakeups", wakeups[0], "/s", wakeups[1], budget=2, less_is_better=True),
        Row(
            "daemon: bytes written per idle hour",
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
    switches = sum(
        int(line.split()[1])
        for status in Path(f"/proc/{pid}/task").glob("*/status")
        for line in status.read_text().splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )
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
