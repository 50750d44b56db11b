"""`mnedge docs`: the manual on a terminal or for programs."""

from typing import TYPE_CHECKING

import click

from mnedge.cli import completion
from mnedge.cli.verbs import Asked, Verb
from mnedge.gateway.manual import Page, find, pages

if TYPE_CHECKING:
    from mnedge.cli.screen import Screen


@click.command("docs", cls=Verb)
@click.argument("topic", required=False, shell_complete=completion.topics)
@click.pass_obj
def docs(asked: Asked, topic: str | None) -> None:
    """Read the manual.

    Without TOPIC, lists its pages.

    \b
    Examples:
      mnedge docs
      mnedge docs recovery
      mnedge docs cli | less
    """
    from mnedge.cli.screen import Screen
    from mnedge.cli.show import Cell, columns

    screen = Screen(asked)
    if topic is not None:
        _show(screen, find(topic))
    elif not asked.human:
        screen.records({"topic": p.topic, "title": p.title, "summary": p.summary} for p in pages())
    else:
        rows = [(Cell(page.topic, "bold"), Cell(page.summary)) for page in pages()]
        screen.say(*columns(rows, width=screen.width), "")
        screen.hint("mnedge docs TOPIC")


def _show(screen: "Screen", page: Page) -> None:
    if not screen.asked.human:
        screen.document(page._asdict())
    elif screen.live:
        from rich.markdown import Markdown

        width = min(screen.console.width, 100)
        screen.console.print(Markdown(page.text), width=width, soft_wrap=False)
    else:
        screen.stream.write(page.text.rstrip() + "\n")
