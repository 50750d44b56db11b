"""Markdown as HTML that is safe to show: no HTML of its own gets through, links stay plain."""

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_OTHER = re.compile(r"[^\w]+")


def html_of(text: str, *, below: int = 0) -> str:
    """Return the text as HTML; headings have ids, tables scroll in a place of their own.

    `below`: of which level the heading is that it stands under.
    """
    tokens = _reader().parse(text)
    seen: dict[str, int] = {}
    for at, token in enumerate(tokens):
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + below, 6)}"
        if token.type == "heading_open":
            name = anchor(tokens[at + 1].content)
            seen[name] = seen.get(name, 0) + 1
            token.attrSet("id", name if seen[name] == 1 else f"{name}-{seen[name]}")
    return str(_reader().renderer.render(tokens, _reader().options, {}))


def anchor(heading: str) -> str:
    """Return the id of a heading."""
    return _OTHER.sub("-", heading.lower()).strip("-") or "section"


@cache
def _reader() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    made = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table")
    made.disable("image")  # nothing is fetched from elsewhere
    made.add_render_rule("table_open", _table_open)
    made.add_render_rule("table_close", _table_close)
    made.add_render_rule("fence", _fence)
    made.add_render_rule("th_open", _aligned)
    made.add_render_rule("td_open", _aligned)
    return made


def _table_open(*_: Any) -> str:
    return '<div class="scroll" role="region" aria-label="Table" tabindex="0"><table>'


def _table_close(*_: Any) -> str:
    return "</table></div>"


def _fence(_: Any, tokens: Any, index: int, *__: Any) -> str:
    from markdown_it.common.utils import escapeHtml

    return f'<pre tabindex="0"><code>{escapeHtml(tokens[index].content)}</code></pre>\n'


def _aligned(_: Any, tokens: Any, index: int, *__: Any) -> str:
    token = tokens[index]
    right = "right" in str(token.attrGet("style") or "")  # a page has no inline styles
    kind = ' class="right"' if right else ""
    return f'<{token.tag} scope="col"{kind}>' if token.tag == "th" else f"<td{kind}>"
