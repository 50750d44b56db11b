"""ask.py CLOCK: what one clock answers; one that does not answer fails."""

import sys

from step import begin, finish

ERROR_S = {"satellite": 0.001, "network": 0.05, "neighbour": 2}


def main(clock):
    given, _ = begin()
    if given[clock] is None:
        sys.exit(f"the {clock} clock does not answer")
    finish({"time": given[clock], "clock": clock, "error_s": ERROR_S[clock]}, "clock_answered")


main(sys.argv[1])
