"""Refuse a reading in which a series is missing; hand the rest on."""

import sys

from step import begin, finish

SERIES = ("degrees_c", "door_open_s", "volts")


def main():
    reading, _ = begin()
    if missing := [name for name in SERIES if not reading.get(name)]:
        sys.exit(f"the reading lacks {', '.join(missing)}")
    finish(reading, "reading_taken")


main()
