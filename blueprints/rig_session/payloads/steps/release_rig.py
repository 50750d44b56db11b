"""Teardown: cool the rig and give it back, whatever became of the work."""

import json
from pathlib import Path

from steps.bench import begin, done


def run(context):
    begin(context)
    slip = Path(context.environment["MN_RUN_DIR"], "rig.slip")
    slip.unlink(missing_ok=True)
    told = json.loads(Path(context.environment["MN_CONTEXT_FILE"]).read_text(encoding="utf-8"))
    parents = {parent["step_id"]: parent for parent in told["workflow"]["parents"]}
    work = {name: parents[name]["outcome"] for name in ("warm_up", "measure")}
    measured = (parents["measure"]["output"] or {}).get("outputs")
    return done(released=not slip.exists(), work=work, measured=measured)
