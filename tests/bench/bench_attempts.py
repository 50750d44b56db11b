"""Process attempts of a durable run: journaled, leased, told in the run folder."""

import json
import os
import shutil
import time
from pathlib import Path
from statistics import median

import trio
from programs import config_of, environment
from rows import Row
from workloads import scratch, spread, worker_job

from mnedge.daemon.app import node
from mnedge.daemon.clock import wall_clock
from mnedge.runtime.submission import submit_spec

ATTEMPTS = 400
SLOTS = 4
ROUNDS = 3


def main() -> list[Row]:
    """Return attempts per second of a whole run, beside the same loop without all that."""
    ours, floor = [], []
    for _ in range(ROUNDS):  # in turn, because a shared machine drifts
        with scratch() as folder:
            floor.append(trio.run(_loop, folder))
            ours.append(trio.run(_run, folder))
    return [
        Row(
            "process attempts of a run, journaled",
            median(ours),
            "/s",
            median(floor),
            budget_ratio=0.6,
            note=f"min/median/max {spread(ours)}, {SLOTS} at once; floor: workspace, four files, "
            "a process in a session of its own, its output",
        )
    ]


async def _run(folder: Path) -> float:
    environ = environment(folder, MN_EXECUTOR_MAX_CONCURRENCY=str(SLOTS))
    async with node(config_of(environ)) as here:
        spec = worker_job([["/bin/true"]] * ATTEMPTS)
        await submit_spec(here.store, here.config, spec, job_id="many-1", now=wall_clock)
        began = time.perf_counter()
        await here.host.start_job("many-1")
        record = await here.host.finished("many-1")
        took_s = time.perf_counter() - began
    assert record.status == "completed", record
    assert record.events > ATTEMPTS, record
    return ATTEMPTS / took_s


async def _loop(folder: Path) -> float:
    """Return attempts per second of what has to be done at least, by as many at once."""

    async def many(first: int) -> None:
        for number in range(first, ATTEMPTS, SLOTS):
            await _one(folder / "loop" / str(number))

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for first in range(SLOTS):
            nursery.start_soon(many, first)
    return ATTEMPTS / (time.perf_counter() - began)


async def _one(workspace: Path) -> None:
    workspace.mkdir(parents=True)
    for name in ("input", "message", "body", "context"):
        (workspace / f"{name}.json").write_text(json.dumps({"name": name}, indent=2))
    await trio.run_process(
        ["/bin/true"],
        cwd=workspace,
        env=dict(os.environ),
        capture_stdout=True,
        capture_stderr=True,
        start_new_session=True,
    )
    shutil.rmtree(workspace)
