"""Find high and low water: where a height is no lower, or no higher, than both neighbours."""

from step import begin, finish


def turns(heights):
    for (_, before), (hour, here), (_, after) in zip(
        heights, heights[1:], heights[2:], strict=False
    ):
        if before < here >= after:
            yield {"water": "high", "hour": hour, "height_m": here}
        elif before > here <= after:
            yield {"water": "low", "hour": hour, "height_m": here}


def main():
    predicted, _ = begin()
    found = list(turns(predicted["heights"]))
    finish({"station": predicted["station"], "turns": found}, "turns_found")


main()
