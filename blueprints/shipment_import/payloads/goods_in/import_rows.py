"""Book one batch of rows, keep what is booked, and send oneself the rest.

What is booked so far is this worker's state: it is kept with every answer, and comes back with the
next message, also on another attempt and after a crash. An attempt that fails keeps nothing, so
its batch is booked when the ledger sends the same message again.
"""

import json
import os
import sys

from step import begin, finish


def booked(stock, rows, first, fails_at):
    """Return the stock with the rows added; fail at the row that breaks the first attempt."""
    for number, (article, count) in enumerate(rows, first + 1):
        if number == fails_at and os.environ["MN_WORKFLOW_ATTEMPT"] == "1":
            sys.exit(f"row {number}: the stock system does not answer")
        stock[article] = stock.get(article, 0) + count
    return stock


def main():
    shipment, context = begin()
    kept = context["agent_state"] or {"next": 0, "stock": {}, "batches": 0}
    first = kept["next"]
    batch = shipment["rows"][first : first + shipment["batch"]]
    stock = booked(kept["stock"], batch, first, shipment["fails_at"])
    kept = {"next": first + len(batch), "stock": stock, "batches": kept["batches"] + 1}
    if kept["next"] < len(shipment["rows"]):
        more = {"type": "more_rows", "to": os.environ["MN_AGENT_ID"], "body": shipment}
        print(json.dumps({"next_state": kept, "emit_messages": [more]}))
        return
    attempts = int(os.environ["MN_WORKFLOW_ATTEMPT"])
    done = {"shipment": shipment["shipment"], "stock": stock, "rows": kept["next"]}
    done |= {"batches": kept["batches"], "attempts": attempts}
    finish(done, "rows_imported", next_state=kept)


main()
