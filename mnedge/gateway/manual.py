"""The pages of the manual, shipped with the program: in reading order, or one by its name."""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

import mnedge
from mnedge.errors import NotFoundError

ORDER = (
    "quickstart",
    "blueprints",
    "workflows",
    "people",
    "running",
    "devices",
    "connectors",
    "recovery",
    "daemon",
    "binary",
    "installing",
    "updating",
    "nixos",
    "console",
    "cli",
    "api",
    "grpc",
    "mn-client",
    "models",
    "security",
    "observability",
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
    offered = get_close_matches(wanted, names, n=3, cutoff=0.55) or names
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
