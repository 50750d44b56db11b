"""A store must stay at or below -17 degrees on average, and below -15 always."""

from step import begin, finish


def main():
    reading, _ = begin()
    degrees = reading["degrees_c"]
    average, worst = round(sum(degrees) / len(degrees), 2), max(degrees)
    good = average <= -17 and worst < -15
    finish(
        {"store": reading["store"], "good": good, "average_c": average, "worst_c": worst},
        "temperature_checked",
    )


main()
