"""`mnedge docs`: the manual, shipped with the program."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

import mnedge
from mnedge.cli import completion
from mnedge.cli.verbs import Asked, Verb, near
from mnedge.errors import NotFoundError

if TYPE_CHECKING:
    from mnedge.cli.screen import Screen

ORDER = (
    "quickstart",
    "blueprints",
    "running",
    "recovery",
    "cli",
    "configuration",
    "rules",
    "plugins",
    "glossary",
)
"""Pages in reading order; others follow by name."""


class PageNotFoundError(NotFoundError):
    """The manual has no page of this name."""

    code = "docs.not_found"


class Page(NamedTuple):
    """A page of the manual."""

    topic: str
    title: str
    summary: str
    text: str


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


def pages(folder: Path | None = None) -> list[Page]:
    """Return all pages, in reading order."""
    folder = folder or Path(mnedge.__file__).resolve().parent / "docs"
    found = {page.topic: page for page in _read(folder)}
    ordered = [found.pop(topic) for topic in ORDER if topic in found]
    return [*ordered, *found.values()]


def find(topic: str, folder: Path | None = None) -> Page:
    """Return the page of this name, or the only one whose name begins so.

    Raises: PageNotFoundError with near names.
    """
    every = pages(folder)
    wanted = topic.lower().removesuffix(".md")
    begin = [page for page in every if page.topic.startswith(wanted)]
    for page in every:
        if page.topic == wanted or begin == [page]:
            return page
    names = [page.topic for page in every]
    offered = near(wanted, names) or names
    raise PageNotFoundError(
        f"the manual has no page {topic!r}",
        hint=f"there is {', '.join(offered)}",
        details={"topics": names},
    )


def parsed(topic: str, text: str) -> Page:
    """Return the page that a file holds: its first heading, its first paragraph, all of it."""
    lines = text.strip().splitlines()
    title = lines[0].lstrip("# ") if lines and lines[0].startswith("#") else topic
    paragraph: list[str] = []
    for line in lines[1:]:
        if line.strip() and not line.startswith(("#", "<!--")):
            paragraph.append(line.strip())
        elif paragraph:
            break
    first, stop, _ = " ".join(paragraph).partition(". ")
    return Page(topic, title, first.removesuffix(".") + ("." if stop or first else ""), text)


def _read(folder: Path) -> Iterator[Page]:
    for file in sorted(folder.glob("*.md")):
        yield parsed(file.stem, file.read_text(encoding="utf-8"))


def _show(screen: "Screen", page: Page) -> None:
    if not screen.asked.human:
        screen.document(page._asdict())
    elif screen.live:
        from rich.markdown import Markdown

        width = min(screen.console.width, 100)
        screen.console.print(Markdown(page.text), width=width, soft_wrap=False)
    else:
        screen.stream.write(page.text.rstrip() + "\n")
