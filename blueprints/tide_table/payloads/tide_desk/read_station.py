"""Find the station's constituents and its mean level in the table that comes along."""

import json
import sys

from step import begin, finish


def main():
    body, _ = begin()
    with open("stations.json", encoding="utf-8") as file:
        stations = json.load(file)
    if body["station"] not in stations:
        sys.exit(f"no such station: {body['station']}; there are: {', '.join(sorted(stations))}")
    found = {"station": body["station"], "first_hour": body["first_hour"], "hours": body["hours"]}
    finish(found | stations[body["station"]], "station_read")


main()
