"""Copy the new pictures; here: their names and checksums."""

from step import begin, finish


def main():
    found, _ = begin()
    finish({**found, "copies": dict(found["new"])}, "copies_made")


main()
