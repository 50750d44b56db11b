"""The voltage must stay within a tenth of 230."""

from step import begin, finish


def main():
    reading, _ = begin()
    lowest, highest = min(reading["volts"]), max(reading["volts"])
    finish(
        {
            "store": reading["store"],
            "good": lowest >= 207 and highest <= 253,
            "lowest_v": lowest,
            "highest_v": highest,
        },
        "supply_checked",
    )


main()
