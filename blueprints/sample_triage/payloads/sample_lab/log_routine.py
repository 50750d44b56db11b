"""The note of a sample that is as it should be."""

from step import begin, finish


def main():
    found, _ = begin()
    finish({**found, "note": "routine; next sample in a week"}, "note_written")


main()
