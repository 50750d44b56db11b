"""The manual, to read and to search."""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from mnedge.gateway.console.api import Refusal, Refused
from mnedge.gateway.console.prose import anchor, html_of
from mnedge.gateway.console.rendering import page
from mnedge.gateway.manual import Page, pages

MOST_HITS = 40
_AROUND = 90


class Hit(NamedTuple):
    """A place where a word stands."""

    topic: str
    title: str
    anchor: str
    before: str
    word: str
    after: str


async def manual(request: Request) -> Response:
    """The pages of the manual, one of them, or where a word stands in them."""
    every = manual_of()
    q = request.query_params.get("q", "").strip()[:100]
    topic = request.path_params.get("topic")
    chosen = next((one for one in every if one.topic == topic), None)
    if topic is not None and chosen is None:
        refusal = Refusal(
            status=404,
            code="docs.not_found",
            message=f"the manual has no page {topic!r}",
            hint="there is " + ", ".join(one.topic for one in every),
        )
        raise Refused(refusal)
    return await page(
        request,
        "manual.html",
        place="/manual",
        pages=every,
        page=chosen,
        q=q,
        found=found_in(every, q) if q else [],
        html="" if chosen is None else _html(chosen.text),
    )


@cache
def manual_of() -> tuple[Page, ...]:
    """Return the pages that are shipped with the program, in reading order."""
    return tuple(pages())


@cache
def _html(text: str) -> str:
    return html_of(text)


def found_in(every: tuple[Page, ...], wanted: str) -> list[Hit]:
    """Return where the words stand, titles first; each section of a page is told once."""
    words = [re.escape(word) for word in wanted.lower().split()]
    ranked: list[tuple[int, Hit]] = []
    for one in every:
        for heading, text in _sections(one):
            lower = f"{heading} {text}".lower()
            if all(re.search(word, lower) for word in words):
                ranked.append(
                    (0 if words[0] in heading.lower() else 1, _hit(one, heading, text, words))
                )
    ranked.sort(key=lambda item: item[0])
    return [hit for _, hit in ranked[:MOST_HITS]]


def _sections(one: Page) -> Iterator[tuple[str, str]]:
    heading, fenced = one.title, False
    lines: list[str] = []
    for line in one.text.splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("#") and not fenced:
            if lines:
                yield heading, " ".join(lines)
            heading, lines = line.lstrip("# "), []
        elif not line.startswith("```"):
            lines.append(line)
    yield heading, " ".join(lines)


def _hit(one: Page, heading: str, text: str, words: list[str]) -> Hit:
    plain = " ".join(text.replace("|", " ").replace("`", "").split())
    place = next(
        (found for word in words if (found := re.search(word, plain, re.IGNORECASE))), None
    )
    title = one.title if heading == one.title else f"{one.title}: {heading}"
    name = "" if heading == one.title else anchor(heading)
    if place is None:
        return Hit(one.topic, title, name, plain[: 2 * _AROUND], "", "")
    before = plain[max(place.start() - _AROUND, 0) : place.start()]
    after = plain[place.end() : place.end() + _AROUND]
    return Hit(
        one.topic,
        title,
        name,
        ("…" if place.start() > _AROUND else "") + before,
        place[0],
        after + ("…" if len(plain) > place.end() + _AROUND else ""),
    )
