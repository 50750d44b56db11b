"""Work: bring the rig to its temperature, in steps."""

from steps.bench import begin, done

STEP_C = 15


def run(context):
    session = begin(context)
    degrees, passed = 20, []
    while degrees < session["target_c"]:
        degrees = min(degrees + STEP_C, session["target_c"])
        passed.append(degrees)
    return done(**session, passed_c=passed)
