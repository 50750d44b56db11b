"""Setup: reserve the test rig, and leave its slip in the run folder."""

from pathlib import Path

from steps.bench import begin, done


def run(context):
    session = begin(context)
    slip = Path(context.environment["MN_RUN_DIR"], "rig.slip")
    slip.write_text(f"{session['specimen']}\n", encoding="utf-8")
    return done(**session, rig="rig-2")
