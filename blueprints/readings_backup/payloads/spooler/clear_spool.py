"""Remove the spool and say what became of the backup. Started by a message if all went well, and
by the ledger if something failed.
"""

import os
import shutil
from pathlib import Path

from step import begin, finish


def main():
    _, context = begin()
    spool = Path(os.environ["MN_RUN_DIR"], "spool")
    shutil.rmtree(spool, ignore_errors=True)
    outcome = {one["step_id"]: one["outcome"] for one in context["workflow"]["parents"]}
    shipped = outcome["ship_backup"] == "success"
    failed = [step for step, ended in outcome.items() if ended == "failed"]
    report = {
        "type": "backup_report",
        "executive_summary": f"{'Shipped' if shipped else 'Not shipped'}; the spool is cleared.",
        "shipped": shipped,
        "failed_steps": failed,
        "spool_cleared": not spool.exists(),
    }
    finish(report, "spool_cleared")


main()
