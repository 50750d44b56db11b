"""Try the setting on one box, and report how the box bears it."""

from step import begin, finish


def main():
    change, _ = begin()
    load = change["canary_load"]
    measured = {"mean_load": round(sum(load) / len(load), 3), "highest_load": max(load)}
    finish({**change, "measured": measured}, "canary_measured")


main()
