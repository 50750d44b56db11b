"""Run every `bench_*.py` beside this file, or those that are named, and print one table."""

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent), str(HERE.parent.parent / "plugins")]

from rows import Row, table  # noqa: E402  (the path comes first)


def main(wanted: list[str]) -> int:
    """Print the figures; a missed budget is said, not an error: the machine may be busy."""
    rows: list[Row] = []
    for path in sorted(HERE.glob("bench_*.py")):
        name = path.stem.removeprefix("bench_")
        if wanted and name not in wanted:
            continue
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        rows += importlib.import_module(path.stem).main()
    print(table(rows))
    missed = [row.name for row in rows if row.kept is False]
    print(f"\n{len(rows)} figures, {len(missed)} over budget", *missed, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
