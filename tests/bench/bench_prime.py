"""A hundred worker processes as a durable run, beside `xargs -P` on the same commands.

Each worker of xargs leads a session of its own too: some kernels share a busy machine out among
sessions.
"""

import json
import shutil
import subprocess
import time
from pathlib import Path
from statistics import median

from programs import MNEDGE, REPOSITORY, environment
from rows import Row
from workloads import scratch, spread

from tests.live.leases import peak_slots

SLOTS = (4,)
ROUNDS = 3
PAYLOAD = REPOSITORY / "blueprints" / "prime_range_scan" / "payloads" / "range_scanner"


def main() -> list[Row]:
    """Return seconds of a whole `mnedge blueprint run`, and how many slots it used at once."""
    if not all(map(shutil.which, ("xargs", "setsid"))):
        return []
    return [row for slots in SLOTS for row in _rows(slots)]


def _rows(slots: int) -> list[Row]:
    ours, floor, peaks = [], [], []
    for number in range(ROUNDS):
        with scratch() as folder:
            environ = environment(folder, MN_EXECUTOR_MAX_CONCURRENCY=str(slots))
            pair = (_xargs, floor), (_run, ours)
            for measure, took in pair if number % 2 else reversed(pair):
                took.append(measure(environ, slots))
            peaks.append(_peak(folder / "runs"))
    return [
        Row(
            f"prime_range_scan, 100 workers, {slots} slots",
            median(ours),
            "s",
            median(floor),
            budget_ratio=2.0,
            less_is_better=True,
            note=f"min/median/max {spread(ours, 2)}; floor: xargs -P {slots}, {spread(floor, 2)}",
        ),
        Row(
            f"prime_range_scan, {slots} slots: most leases at once",
            max(peaks),
            "",
            budget=slots,
            less_is_better=True,
        ),
    ]


def _run(environ: dict[str, str], slots: int) -> float:
    arguments = [*MNEDGE, "blueprint", "run", "prime_range_scan", "--quiet"]
    began = time.perf_counter()
    subprocess.run(arguments, env=environ, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def _xargs(environ: dict[str, str], slots: int) -> float:
    numbers = "\n".join(map(str, range(100))).encode()
    arguments = ["xargs", "-P", str(slots), "-n", "1", "setsid", "python3", "scan_range.py"]
    began = time.perf_counter()
    subprocess.run(
        arguments, input=numbers, env=environ, cwd=PAYLOAD, stdout=subprocess.DEVNULL, check=True
    )
    return time.perf_counter() - began


def _peak(runs: Path) -> int:
    [events] = runs.glob("*/events.jsonl")
    return peak_slots(json.loads(line) for line in events.read_text().splitlines())
