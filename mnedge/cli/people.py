"""`mnedge job requests|approve|reject|respond`: what jobs ask people."""

from typing import Any

import click

from mnedge.cli import completion
from mnedge.cli.verbs import WAITING, Asked, Verb, awaited, with_options


@click.command("requests", cls=Verb)
@click.argument("job_id", metavar="[JOB]", required=False, shell_complete=completion.runs)
@click.pass_obj
def requests(asked: Asked, job_id: str | None) -> None:
    """List what waits for a person, in one job or in all that run, and how to answer.

    \b
    Example:
      mnedge job requests
    """
    from mnedge.cli.answer import list_requests

    awaited(list_requests, asked, job_id)


_ANSWER = (
    click.argument("job_id", metavar="JOB", shell_complete=completion.runs),
    click.option("--request", "request_id", metavar="ID", help="Which, if several wait."),
    click.option("--comment", default="", metavar="TEXT", help="Kept with the answer."),
    click.option("--value", metavar="JSON", help="Kept with the answer; @FILE reads a file."),
    *WAITING,
)


def _answer(asked: Asked, job_id: str, decision: str, given: dict[str, Any]) -> None:
    from mnedge.cli.answer import Answer, respond

    wait = not given.pop("no_wait")
    awaited(respond, asked, job_id, Answer(decision, wait=wait, **given))


@click.command("approve", cls=Verb)
@with_options(_ANSWER)
@click.pass_obj
def approve(asked: Asked, /, job_id: str, **given: Any) -> None:
    """Approve what a job asks a person for.

    Without --request: the only thing it asks for.

    \b
    Example:
      mnedge job approve last --comment 'looks right'
    """
    _answer(asked, job_id, "approve", given)


@click.command("reject", cls=Verb)
@with_options(_ANSWER)
@click.pass_obj
def reject(asked: Asked, /, job_id: str, **given: Any) -> None:
    """Reject what a job asks a person for.

    \b
    Example:
      mnedge job reject last --comment 'not yet'
    """
    _answer(asked, job_id, "reject", given)


@click.command("respond", cls=Verb)
@with_options(_ANSWER)
@click.option("--decision", required=True, metavar="WORD", help="One of those it allows.")
@click.pass_obj
def respond(asked: Asked, /, job_id: str, decision: str, **given: Any) -> None:
    """Answer what a job asks a person for with any decision that it allows.

    \b
    Examples:
      mnedge job respond last --decision ship
      mnedge job respond last --request gate-1 --decision hold --comment 'too early'
    """
    _answer(asked, job_id, decision, given)
