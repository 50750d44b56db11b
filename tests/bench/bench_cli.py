"""How long the smallest commands take, each in a new process, beside a bare interpreter."""

import subprocess
import sys
import time
from collections.abc import Sequence
from statistics import median

from programs import MNEDGE, environment
from rows import Row
from workloads import scratch, spread

ROUNDS = 15
BARE = [sys.executable, "-I", "-S", "-c", "pass"]
PLAIN = [sys.executable, "-c", "pass"]
COMMANDS = {
    "CLI --version": [*MNEDGE, "--version"],
    "CLI --help": [*MNEDGE, "--help"],
    "CLI job --help": [*MNEDGE, "job", "--help"],
    "CLI job list": [*MNEDGE, "job", "list"],
}


def main() -> list[Row]:
    """Return milliseconds from a source tree; the budget is meant for the frozen executable."""
    programs = {"bare": BARE, "plain": PLAIN, **COMMANDS}
    took: dict[str, list[float]] = {name: [] for name in programs}
    with scratch() as folder:
        environ = environment(folder)
        for _ in range(ROUNDS):  # in turns, so that all meet the same neighbours
            for name, arguments in programs.items():
                took[name].append(_ms(arguments, environ))
    plain = median(took["plain"])
    return [
        Row(
            f"{name}, a new process",
            median(took[name]),
            "ms",
            median(took["bare"]),
            budget=80 if name in ("CLI --version", "CLI --help") else None,
            less_is_better=True,
            note=f"min/median/max {spread(took[name])}; floor: python -I -S -c pass; "
            f"python -c pass takes {plain:.0f} ms",
        )
        for name in COMMANDS
    ]


def _ms(arguments: Sequence[str], environ: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(arguments, env=environ, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - began) * 1e3
