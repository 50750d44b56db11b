"""From SIGKILL of the daemon to all its work running again under another one."""

import time
from pathlib import Path
from statistics import median, quantiles

import trio
from programs import Letters, config_of, daemon, environment, letters
from rows import Row
from workloads import scratch, spread, worker_job

from mnedge.daemon.clock import wall_clock
from mnedge.part import running
from mnedge.runtime.submission import submit_spec
from mnedge.store.sqlite import SqliteStore

WORKERS = 8
ROUNDS = 15


def main() -> list[Row]:
    """Return p50 and p99 over some kills, beside the start of a daemon with nothing to do."""
    with scratch() as folder, letters(folder) as box:
        took, floor = trio.run(_measure, folder, box)
    return [
        Row(
            f"kill -9 → all {WORKERS} attempts running again, p50",
            median(took),
            "s",
            median(floor),
            budget=0.5,
            less_is_better=True,
            note=f"min/median/max {spread(took, 2)}; floor: a daemon with nothing to do starts",
        ),
        Row(
            f"kill -9 → all {WORKERS} attempts running again, p99",
            quantiles(took, n=100, method="inclusive")[-1],
            "s",
            max(floor),
            budget=2.0,
            less_is_better=True,
            note="floor: the slowest of its starts",
        ),
    ]


async def _measure(folder: Path, box: Letters) -> tuple[list[float], list[float]]:
    """Return seconds of each kill, and of as many starts with nothing to do; they take turns."""
    took: list[float] = []
    floor: list[float] = []
    idle = folder / "idle"
    idle.mkdir()
    environ = environment(folder, MN_EXECUTOR_MAX_CONCURRENCY=str(2 * WORKERS))
    await _submit(environ, box)
    killed_at = 0.0
    for number in range(ROUNDS + 1):
        with daemon(environ) as owner:
            running_at = await _all_run(box)
            if number:
                took.append(running_at - killed_at)
            with daemon(environment(idle)) as started:
                floor.append(started.ready_s)
            killed_at = time.perf_counter()
            owner.kill()
    return took, floor


async def _submit(environ: dict[str, str], box: Letters) -> None:
    config = config_of(environ)
    command = f'echo "$MNEDGE_LAUNCH" > {box.path}; exec sleep 3600'
    async with running(SqliteStore(config.data_dir)) as store:
        spec = worker_job([["sh", "-c", command]] * WORKERS)
        await submit_spec(store, config, spec, job_id="long-1", now=wall_clock)


async def _all_run(box: Letters) -> float:
    """Return when the last of all attempts said that it runs."""
    told: set[str] = set()
    with trio.fail_after(60):
        while True:
            told.update(box.read())
            if len(told) >= WORKERS:
                return time.perf_counter()
            await trio.lowlevel.wait_readable(box.fd)
