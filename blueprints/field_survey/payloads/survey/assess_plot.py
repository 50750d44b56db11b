"""Assess the plot of this instance: the body is `{item, map_index}`."""

from step import begin, finish


def main():
    body, _ = begin()
    plot = body["item"]
    mean = round(sum(plot["moisture"]) / len(plot["moisture"]), 3)
    assessed = {"number": body["map_index"], "plot": plot["plot"], "mean": mean}
    finish({**assessed, "dry": mean < plot["dry_below"]}, "plot_assessed")


main()
