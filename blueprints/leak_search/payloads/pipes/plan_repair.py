"""Plan the repair from what the inspections found."""

import json
import os

from step import begin, finish, outputs


def main():
    _, context = begin()
    network = json.loads(os.environ["MN_BLUEPRINT_CONFIG_JSON"])["inputs"]["payload"]["network"]
    inspected = [one for one in outputs(context).values() if "section" in one]
    worst_first = sorted(inspected, key=lambda one: (-one["drop_bar"], one["section"]))
    leaks = [one["section"] for one in worst_first if one["leaks"]]
    silent = [one["section"] for one in worst_first if not one["leaks"]]
    plan = {
        "type": "repair_plan",
        "executive_summary": f"{network}: {len(leaks)} of {len(inspected)} suspects leak.",
        "network": network,
        "leaks": leaks,
        "silent": silent,
        "recommended_action": f"dig at {', '.join(leaks)}" if leaks else "nothing to dig",
    }
    finish(plan, "repair_planned")


main()
