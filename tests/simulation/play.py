"""Replay seeds: `python -m tests.simulation.play FIRST [LAST]`; without LAST, tell all of one."""

import re
import sys
import time
from collections import Counter

from tests.simulation.world import Report, play

LAST = 60
"""Lines of the story that are shown."""
KINDS = re.compile(
    r"crash at \S+|(?:die_\w+|full|broken) at \w+|dies of a power cut|dies|freezes|thaws"
    r"|told \w+|cannot start|late:|letter|line:|asked: \w+|is (?:completed|failed|cancelled)"
)
"""What can happen; a simulation that never gets there proves nothing about it."""


def told(report: Report) -> str:
    """Return what went wrong, how it came to that, and how to see it again."""
    return "\n".join(
        [
            f"seed {report.seed}: {report.broken[0]}",
            *report.broken[1:5],
            *(f"  {line}" for line in report.log[-LAST:]),
            f"replay: python -m tests.simulation.play {report.seed}",
        ]
    )


def main(arguments: list[str]) -> int:
    """Play the seeds, tell of those that fail, and say what happened how often."""
    first, last = int(arguments[0]), int(arguments[-1])
    began = time.perf_counter()
    failed = 0
    happened: Counter[str] = Counter()
    for seed in range(first, last + 1):
        report = play(seed)
        happened.update(kind for line in report.log for kind in KINDS.findall(line))
        if report.broken:
            failed += 1
            print(told(report), flush=True)
        elif first == last:
            print("\n".join(report.log))
    for kind in sorted(happened):
        print(f"happened {happened[kind]:6} {kind}")
    took_s = time.perf_counter() - began
    print(f"{last - first + 1} seeds, {failed} failed, {took_s:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
