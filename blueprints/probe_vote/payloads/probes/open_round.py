"""Ask all probes: hand the round to each of them."""

from step import begin, finish


def main():
    asked, _ = begin()
    finish(asked, "round_opened")


main()
