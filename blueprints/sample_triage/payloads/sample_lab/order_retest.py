"""The note of a sample that is not."""

from step import begin, finish


def main():
    found, _ = begin()
    above = round(found["turbidity_ntu"] - found["limit_ntu"], 3)
    finish({**found, "note": f"second test ordered; {above} NTU above the limit"}, "note_written")


main()
