"""No opening may last five minutes."""

from step import begin, finish

MOST_S = 300


def main():
    reading, _ = begin()
    long = [seconds for seconds in reading["door_open_s"] if seconds >= MOST_S]
    finish(
        {
            "store": reading["store"],
            "good": not long,
            "too_long_s": long,
            "openings": len(reading["door_open_s"]),
        },
        "door_checked",
    )


main()
