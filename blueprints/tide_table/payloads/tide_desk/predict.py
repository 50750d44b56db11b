"""Add the constituents up: one height for every quarter of an hour."""

import math

from step import begin, finish

QUARTER_H = 0.25


def wave_at(wave, hour):
    angle = math.radians(wave["degrees_per_hour"] * hour - wave["phase"])
    return wave["amplitude_m"] * math.cos(angle)


def height(station, hour):
    return round(
        station["mean_level_m"] + sum(wave_at(w, hour) for w in station["constituents"]), 3
    )


def main():
    station, _ = begin()
    count = int(station["hours"] / QUARTER_H) + 1
    hours = [station["first_hour"] + number * QUARTER_H for number in range(count)]
    heights = [[hour, height(station, hour)] for hour in hours]
    finish({"station": station["station"], "heights": heights}, "heights_predicted")


main()
