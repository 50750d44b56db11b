"""`mnedge doctor`: what is present, what is missing, how to mend it."""

import os

import click

from mnedge.cli.verbs import Asked, Verb, awaited


@click.command("doctor", cls=Verb)
@click.option("--security", is_flag=True, help="Explain every way in, and what guards it.")
@click.pass_obj
def doctor(asked: Asked, security: bool) -> int:
    """Say what is present, what is missing, how to mend it.

    Exit code 1 if something is broken that mnedge needs, or, with --security, if something is
    dangerous; what is merely absent costs nothing.
    """
    from mnedge.cli.checks import examine
    from mnedge.cli.installed import (
        elsewhere_findings,
        guest_findings,
        installation_findings,
        owner_of_data,
    )
    from mnedge.cli.node_checks import configuration, daemon_findings
    from mnedge.cli.reach import refuse_named
    from mnedge.cli.screen import Screen
    from mnedge.cli.verdict import document, lines

    refuse_named(asked, "doctor")
    screen = Screen(asked)
    config, of_config = configuration(os.environ, asked.data_dir)
    if not (asked.data_dir or os.environ.get("MNEDGE_DATA_DIR")):
        of_config += elsewhere_findings(config)
    if security:
        from mnedge.cli.security import examine as examine_security

        found = [*of_config, *examine_security(config)]
    elif owner := owner_of_data(config):
        found = [*of_config, *guest_findings(config, owner), *installation_findings()]
    else:
        own = [*of_config, *daemon_findings(config), *installation_findings()]
        found = [*own, *awaited(examine, config)]
    if asked.output == "json":
        screen.document(document(found))
    elif asked.output == "ndjson":
        screen.records(found)
    else:
        screen.say(*lines(found))
    return 1 if any(finding.status == "broken" for finding in found) else 0
