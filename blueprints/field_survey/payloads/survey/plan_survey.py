"""Scatter the plots: the ledger makes one instance of `assess_plot` for each of them."""

import json

from step import begin

MOST = 100


def main():
    field, _ = begin()
    items = [{**plot, "dry_below": field["dry_below"]} for plot in field["plots"]]
    scatter = {"target": "assess_plot", "items": items, "max_items": MOST}
    planned = {"field": field["field"], "plots": len(items)}
    events = [{"type": "workflow_step_scatter", "payload": scatter}]
    told = [] if items else [{"type": "field_without_plots", "body": planned}]
    print(json.dumps({"events": events, "complete_step": planned, "emit_messages": told}))


main()
