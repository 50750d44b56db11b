"""One verdict of three findings. The findings come from the ledger, not from the message: the
message that starts a join is that of whichever parent was first.
"""

from step import begin, finish, outputs

CHECKS = {
    "check_temperature": "have the cooling looked at",
    "check_door": "remind the shift to close the door",
    "check_supply": "call the electrician",
}


def main():
    _, context = begin()
    findings = outputs(context)
    bad = [check for check in CHECKS if not findings[check]["good"]]
    verdict = {
        "type": "inspection_verdict",
        "executive_summary": f"{len(CHECKS) - len(bad)} of {len(CHECKS)} checks are good.",
        "store": findings["check_door"]["store"],
        "verdict": "bad" if bad else "good",
        "findings": findings,
        "recommended_action": "; ".join(CHECKS[check] for check in bad) or "nothing to do",
    }
    finish(verdict, "verdict_formed")


main()
