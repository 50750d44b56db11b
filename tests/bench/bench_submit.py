"""From a submission to the first process: a daemon waits, another process submits."""

import os
import time
from pathlib import Path
from statistics import median, quantiles

import trio
from programs import Letters, config_of, daemon, environment, letters
from rows import Row
from workloads import scratch, spread, worker_job

from mnedge.daemon.clock import wall_clock
from mnedge.model.states import TERMINAL
from mnedge.part import running
from mnedge.runtime.jobs import JOBS, read_job
from mnedge.runtime.submission import new_job_id, submit_spec
from mnedge.store.sqlite import SqliteStore

ROUNDS = 40
WARM = 5


def main() -> list[Row]:
    """Return p50 and p99, beside a spawn and an fsync of the same process."""
    with scratch() as folder, letters(folder) as box:
        ours, floor = trio.run(_measure, folder, box)
    return [
        Row(
            "submit → first process started, daemon warm, p50",
            median(ours) * 1e3,
            "ms",
            median(floor) * 1e3,
            budget=5.0,
            less_is_better=True,
            note=f"min/median/max {spread([took * 1e3 for took in ours], 1)}; "
            "floor: the same process by posix_spawn, after one fsync",
        ),
        Row(
            "submit → first process started, daemon warm, p99",
            quantiles(ours, n=100)[-1] * 1e3,
            "ms",
            quantiles(floor, n=100)[-1] * 1e3,
            less_is_better=True,
        ),
    ]


async def _measure(folder: Path, box: Letters) -> tuple[list[float], list[float]]:
    """Return seconds of each round; ours and the floor take turns."""
    ours: list[float] = []
    floor: list[float] = []
    environ = environment(folder)
    config = config_of(environ)
    command = f"echo started > {box.path}"
    with daemon(environ):
        async with running(SqliteStore(config.data_dir)) as store:
            for _ in range(WARM + ROUNDS):
                spec = worker_job([["sh", "-c", command]])
                began = time.perf_counter()
                job_id = new_job_id(spec.graph_id, wall_clock)
                await submit_spec(store, config, spec, job_id=job_id, now=wall_clock)
                ours.append(await _arrived(box) - began)
                await _ended(store, job_id)
                floor.append(await _spawned(folder, command, box))
    return ours[WARM:], floor[WARM:]


async def _ended(store: SqliteStore, job_id: str) -> None:
    """Return when the job is over, so that nothing but the next one is on the daemon's mind."""
    with trio.fail_after(30):
        async for _ in store.table.watch(JOBS + job_id):
            if (await read_job(store, job_id)).status in TERMINAL:
                return


async def _spawned(folder: Path, command: str, box: Letters) -> float:
    began = time.perf_counter()
    file = os.open(folder / "floor", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, bytes(1000))
    os.fsync(file)
    os.close(file)
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", command], os.environ)
    took = await _arrived(box) - began
    os.waitpid(pid, 0)
    return took


async def _arrived(box: Letters) -> float:
    """Return when the next line came."""
    with trio.fail_after(30):
        while True:
            await trio.lowlevel.wait_readable(box.fd)
            at = time.perf_counter()
            if box.read():
                return at
