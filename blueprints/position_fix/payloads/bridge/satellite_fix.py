"""Ask the receiver for a position; fail when it does not answer."""

import sys

from step import begin, finish


def main():
    voyage, _ = begin()
    if not voyage["receiver_answers"]:
        sys.exit("the receiver sees no satellite")
    finish(
        {"position": voyage["true_position"], "method": "satellite", "uncertainty_m": 5},
        "fix_found",
    )


main()
