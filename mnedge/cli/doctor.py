"""`mnedge doctor`: what is present, what is missing, how to mend it."""

import os

import click

from mnedge.cli.verbs import Asked, Verb, awaited


@click.command("doctor", cls=Verb)
@click.pass_obj
def doctor(asked: Asked) -> int:
    """Say what is present, what is missing, how to mend it.

    Exit code 1 if something is broken that mnedge needs; what is merely absent costs nothing.
    """
    from mnedge.cli.checks import examine
    from mnedge.cli.screen import Screen
    from mnedge.cli.verdict import document, lines
    from mnedge.config.read import read_config

    screen = Screen(asked)
    found = awaited(examine, read_config(os.environ, data_dir=asked.data_dir))
    if asked.output == "json":
        screen.document(document(found))
    elif asked.output == "ndjson":
        screen.records(found)
    else:
        screen.say(*lines(found))
    return 1 if any(finding.status == "broken" for finding in found) else 0
