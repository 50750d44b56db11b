"""Put all plots together, in the order of the plan."""

import json
import os

from step import begin, finish, outputs


def main():
    _, context = begin()
    field = json.loads(os.environ["MN_BLUEPRINT_CONFIG_JSON"])["inputs"]["payload"]["field"]
    plots = sorted(outputs(context).values(), key=lambda plot: plot["number"])
    water = [plot["plot"] for plot in plots if plot["dry"]]
    drawn = {
        "type": "field_map",
        "executive_summary": f"{field}: {len(water)} of {len(plots)} plots need water.",
        "field": field,
        "plots": {plot["plot"]: plot["mean"] for plot in plots},
        "water": water,
    }
    finish(drawn, "map_drawn")


main()
