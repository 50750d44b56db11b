"""Work: pull the specimen and note its strength; a specimen that breaks early ends the work."""

import sys

from steps.bench import begin, done


def run(context):
    session = begin(context)
    if session["breaks_early"]:
        sys.exit(f"specimen {session['specimen']} broke before the first reading")
    strength = [round(load / session["area_mm2"], 2) for load in session["loads_n"]]
    return done(specimen=session["specimen"], strength_mpa=strength, highest_mpa=max(strength))
