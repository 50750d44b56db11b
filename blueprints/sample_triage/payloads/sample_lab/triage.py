"""Select one of two ways; the ledger skips the other."""

from step import begin, finish


def main():
    found, _ = begin()
    way = "log_routine" if found["turbidity_ntu"] < found["limit_ntu"] else "order_retest"
    branch = {"type": "workflow_step_branch", "payload": {"branch": way}}
    finish({**found, "way": way}, "way_chosen", events=[branch])


main()
