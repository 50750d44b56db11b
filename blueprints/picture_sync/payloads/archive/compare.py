"""Find what the archive lacks. If that is nothing, call off all that would follow."""

import json

from step import begin, finish


def call_off(listed):
    """Skip this step and its descendants; the sink still hears how the round ended."""
    skipped = {"reason": "the archive has every picture", "skip_downstream": True}
    report = {
        "type": "sync_report",
        "executive_summary": f"{listed['camera']}: nothing new among {len(listed['pictures'])}.",
        "camera": listed["camera"],
        "seen": len(listed["pictures"]),
        "copied": [],
    }
    events = [{"type": "workflow_step_skipped", "payload": skipped}]
    print(
        json.dumps({"events": events, "emit_messages": [{"type": "nothing_new", "body": report}]})
    )


def main():
    listed, _ = begin()
    archive = listed["archive"]
    new = {name: sum_ for name, sum_ in listed["pictures"].items() if archive.get(name) != sum_}
    if not new:
        call_off(listed)
        return
    found = {"camera": listed["camera"], "seen": len(listed["pictures"]), "new": new}
    finish(found, "news_found")


main()
