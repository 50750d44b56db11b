"""Find the sections that lose pressure; replace the way to the repair plan by their inspections."""

import json

from step import begin

REGION = "suspects"
DIRECT = "test_pressure_to_plan_repair"


def patch(suspects, network, revision):
    """Return the change of the graph: one inspection per suspect, between this step and the plan.

    The same network gives the same patch under the same id, so a patch that was applied before a
    crash is recognised.
    """
    operations = [{"op": "remove_edge", "id": DIRECT}]
    for name, section in suspects.items():
        step = f"inspect_{name}"
        given = {"section": name, **section}
        operations += [
            {"op": "add_step", "id": step, "template": "inspect_section", "with": given},
            {"op": "add_edge", "id": f"to_{step}", "from": "test_pressure", "to": step},
            {"op": "add_edge", "id": f"from_{step}", "from": step, "to": "plan_repair"},
        ]
    return {
        "patch_id": f"suspects-of-{network}",
        "region_id": REGION,
        "base_revision": revision,
        "operations": operations,
    }


def main():
    network, context = begin()
    limit = network["drop_limit_bar"]
    found = {name: one for name, one in network["sections"].items() if one["drop_bar"] > limit}
    events = []
    if found:
        change = patch(found, network["network"], context["workflow"]["graph_revision"])
        events = [{"type": "workflow_graph_patch", "payload": change}]
    tested = {
        "network": network["network"],
        "suspects": sorted(found),
        "clear": sorted(set(network["sections"]) - set(found)),
    }
    print(json.dumps({"events": events, "complete_step": tested}))


main()
