"""Many runs at once on a disk whose fsync takes 5 ms: do their commits share it?

A step is one attempt of a run: its answer is a fact of its own, committed before the next attempt
starts. The attempts take no time, so what is left is what the durable run itself costs: engine,
journal, run folder. The floor commits the same number of facts in groups of the same size, with
nothing else.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parent.parent), str(HERE.parent.parent / "plugins")]

import trio  # noqa: E402
from rows import Row  # noqa: E402
from workloads import Instant, node, ring, scratch, spread  # noqa: E402

from mnedge.daemon.clock import wall_clock  # noqa: E402
from mnedge.model.states import AgentKind  # noqa: E402
from mnedge.part import running  # noqa: E402
from mnedge.ports import Epoch  # noqa: E402
from mnedge.runtime.submission import submit_spec  # noqa: E402
from mnedge.store.sqlite import SqliteStore  # noqa: E402

FSYNC_MS = 5
RUNS = 64
STEPS = 60
REPEATS = 3
FACT_BYTES = 250


def main() -> list[Row]:
    """Return steps per second, measured in a process that has the slow disk."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return []  # the slow disk is a shared object of ten lines
    with tempfile.TemporaryDirectory() as folder:
        slow = Path(folder) / "slow_fsync.so"
        source = HERE / "slow_fsync.c"
        subprocess.run(
            [compiler, "-O2", "-shared", "-fPIC", "-o", slow, source, "-ldl", "-lpthread"],
            check=True,
        )
        environ = {**os.environ, "LD_PRELOAD": str(slow), "SLOW_FSYNC_MS": str(FSYNC_MS)}
        said = subprocess.run(
            [sys.executable, __file__], env=environ, stdout=subprocess.PIPE, check=True
        )
    measured = json.loads(said.stdout)
    steps, whole = measured["steps"], measured["whole"]
    disk = f"an fsync took {measured['fsync_ms']:.1f} ms"
    return [
        Row(
            f"steps of {RUNS} runs at once, fsync takes {FSYNC_MS} ms",
            median(steps),
            "/s",
            median(measured["floor"]),
            budget=3000,
            note=f"min/median/max {spread(steps)}; {disk}; floor: their facts alone",
        ),
        Row(
            "the same, from the first claim to the last complete run folder",
            median(whole),
            "/s",
            median(measured["floor"]),
            note=f"{STEPS} steps a run; min/median/max {spread(whole)}",
        ),
    ]


def _inside() -> None:
    """Measure in this process and print what came out."""
    floor, steps, whole = [], [], []
    for _ in range(REPEATS):
        floor.append(trio.run(_facts_alone))
        under_way, complete = trio.run(_steps)
        steps.append(under_way)
        whole.append(complete)
    measured = {"floor": floor, "steps": steps, "whole": whole, "fsync_ms": _fsync_ms()}
    sys.stdout.write(json.dumps(measured))


async def _steps() -> tuple[float, float]:
    """Return steps per second: while all runs are under way, and from the first claim on."""
    work = Instant(STEPS)
    with scratch() as folder:
        async with node(folder, work) as here:
            spec = ring(AgentKind.EXECUTOR, 4, command=["true"], output_message_type="done")
            names = [f"run-{number}" for number in range(RUNS)]
            async with trio.open_nursery() as nursery:
                for name in names:
                    submit = partial(
                        submit_spec, here.store, here.config, spec, job_id=name, now=wall_clock
                    )
                    nursery.start_soon(submit)
            began = time.perf_counter()
            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(here.host.start_job, name)
            records = [await here.host.finished(name) for name in names]
            took_s = time.perf_counter() - began
    assert all(record.status == "completed" for record in records), records
    return work.rate(), RUNS * STEPS / took_s


async def _facts_alone() -> float:
    """Return facts per second if as many writers do nothing but wait for their own commit."""
    with scratch() as folder:
        async with running(SqliteStore(folder)) as store:
            began = time.perf_counter()

            async def write(name: str) -> None:
                for seq in range(1, STEPS + 1):
                    await store.journal.append(name, Epoch(0, 1), seq, [bytes(FACT_BYTES)])

            async with trio.open_nursery() as nursery:
                for number in range(RUNS):
                    nursery.start_soon(write, f"run-{number}")
            took_s = time.perf_counter() - began
    return RUNS * STEPS / took_s


def _fsync_ms() -> float:
    """Return how long the disk really takes."""
    with scratch() as folder, open(folder / "probe", "wb", buffering=0) as file:
        began = time.perf_counter()
        for _ in range(10):
            file.write(b"x")
            os.fsync(file.fileno())
        return (time.perf_counter() - began) * 100


if __name__ == "__main__":
    _inside()
