"""read_probe.py NAME: the value of one probe; a dead one fails."""

import sys

from step import begin, finish


def main(name):
    asked, _ = begin()
    if asked[name] is None:
        sys.exit(f"{name} does not answer")
    finish({"tank": asked["tank"], "probe": name, "degrees_c": asked[name]}, "probe_read")


main(sys.argv[1])
