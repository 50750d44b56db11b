"""Compare the checksums of the copies with those on the camera."""

import sys

from step import begin, finish


def main():
    made, _ = begin()
    if bad := [name for name, sum_ in made["new"].items() if made["copies"].get(name) != sum_]:
        sys.exit(f"copies differ: {', '.join(bad)}")
    report = {
        "type": "sync_report",
        "executive_summary": f"{made['camera']}: {len(made['new'])} new among {made['seen']}.",
        "camera": made["camera"],
        "seen": made["seen"],
        "copied": sorted(made["copies"]),
    }
    finish(report, "copies_verified")


main()
