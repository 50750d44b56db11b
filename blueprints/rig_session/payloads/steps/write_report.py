"""Write the session's report."""

from steps.bench import begin, done


def run(context):
    ended = begin(context)
    measured = ended["measured"]
    found = f"{measured['highest_mpa']} MPa" if measured else "nothing measured"
    return done(
        type="session_report",
        executive_summary=f"{found}; the rig is {'free' if ended['released'] else 'taken'}.",
        work=ended["work"],
        measured=measured,
        released=ended["released"],
    )
