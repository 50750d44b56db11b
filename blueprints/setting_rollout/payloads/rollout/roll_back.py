"""Give the canary its old setting. The ledger starts this step when the gate did not open."""

import json
import os

from step import begin, finish


def main():
    begin()
    change = json.loads(os.environ["MN_BLUEPRINT_CONFIG_JSON"])["inputs"]["payload"]
    boxes = dict.fromkeys(change["boxes"], change["before"])
    finish({"boxes": boxes, "decision": "reject", "done": "rolled back"}, "boxes_changed")


main()
