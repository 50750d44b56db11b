"""A picture as SVG: readable on light and dark pages, no scripts, nothing from elsewhere.

A page that shows it finds what a card or an arrow stands for in `data-id`, `data-from`, `data-to`.
"""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

from mnedge.bundle.drawing.place import (
    LINE_PX,
    MARGIN_PX,
    NAME_PX,
    NOTE_PX,
    PAD_PX,
    Card,
    Placed,
    Point,
    Way,
)

CAPTION_PX = 30
_KINDS = {
    "step": ("#0969da", "#58a6ff"),
    "router": ("#8250df", "#a371f7"),
    "executor": ("#0969da", "#58a6ff"),
    "aggregator": ("#1a7f37", "#3fb950"),
    "sensor": ("#9a6700", "#d29922"),
    "module": ("#bc4c00", "#db6d28"),
    "service": ("#cf222e", "#f85149"),
    "step_source": ("#0e7490", "#39c5cf"),
    "step_sink": ("#0e7490", "#39c5cf"),
    "step_join": ("#0e7490", "#39c5cf"),
}
"""Colour of a kind on light and on dark."""
_LIGHT = {
    "page": "#ffffff",
    "card": "#f6f8fa",
    "rim": "#d0d7de",
    "text": "#1f2328",
    "soft": "#59636e",
    "line": "#818b98",
    "back": "#bc4c00",
}
_DARK = {
    "page": "#0d1117",
    "card": "#161b22",
    "rim": "#3d444d",
    "text": "#f0f6fc",
    "soft": "#9198a1",
    "line": "#7d8590",
    "back": "#f0883e",
}


def svg(pictures: Sequence[Placed], captions: Sequence[str], *, styled: bool = True) -> str:
    """Return one document with the pictures below each other, each under its caption.

    `styled` False: it has no style sheet of its own; the page that shows it has one.
    """
    width = max((picture.width for picture in pictures), default=0.0)
    width = max(width, *(9.0 * len(caption) for caption in captions), 240)
    height = sum(picture.height + CAPTION_PX for picture in pictures) + MARGIN_PX
    title = "; ".join(captions)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_px(width)}" height="{_px(height)}" '
        f'viewBox="0 0 {_px(width)} {_px(height)}" role="img" class="mnedge-graph">',
        f"<title>{_text(title)}</title>",
        *([f"<style>{_style()}</style>"] if styled else []),
        f'<rect class="page" width="{_px(width)}" height="{_px(height)}"/>',
    ]
    top = 0.0
    for picture, caption in zip(pictures, captions, strict=True):
        lines.append(f'<g transform="translate(0 {_px(top)})" class="{_word(picture.name)}">')
        lines.append(f'<text class="caption" x="{MARGIN_PX}" y="24">{_text(caption)}</text>')
        lines.append(f'<g transform="translate(0 {CAPTION_PX})">')
        for way in picture.ways:
            lines += _way(way)
        for card in picture.cards:
            lines += _card(card)
        for way in picture.ways:
            lines += _labels(way)
        lines.append("</g></g>")
        top += picture.height + CAPTION_PX
    lines.append("</svg>")
    return "\n".join(lines) + "\n"


def _card(card: Card) -> Iterator[str]:
    box = card.box
    classes = " ".join(["card", _word(box.kind), *map(_word, box.marks)])
    place = f"translate({_px(card.left)} {_px(card.top)})"
    yield f'<g class="{classes}" data-id={_attribute(box.box_id)} transform="{place}">'
    yield f"<title>{_text(_told(card))}</title>"
    if box.count > 1:
        for shift in (6, 3):
            yield _rect(card, shift)
    yield _rect(card, 0)
    yield f'<rect class="bar" width="4" height="{_px(card.height - 12)}" x="5" y="6" rx="2"/>'
    x = PAD_PX + 6
    y = PAD_PX / 2 + NAME_PX + 2
    yield f'<text class="name" x="{x}" y="{_px(y)}">{_text(card.name)}</text>'
    for line in card.lines:
        y += LINE_PX
        yield f'<text class="note" x="{x}" y="{_px(y)}">{_text(line)}</text>'
    if "start" in box.marks:
        middle = card.height / 2
        yield f'<path class="start" d="M-9 {_px(middle - 5)}l7 5l-7 5z"/>'
    if "end" in box.marks:
        yield (
            f'<rect class="end" x="-3" y="-3" width="{_px(card.width + 6)}" '
            f'height="{_px(card.height + 6)}" rx="10"/>'
        )
    yield "</g>"


def _rect(card: Card, shift: float) -> str:
    place = f' transform="translate({shift} {shift})"' if shift else ""
    return (
        f'<rect class="face" width="{_px(card.width)}" height="{_px(card.height)}" rx="8"{place}/>'
    )


def _told(card: Card) -> str:
    """Return what a pointer that rests on the card is told."""
    box = card.box
    group = [f"step {box.group}"] if box.group and f"step {box.group}" not in box.notes else []
    return ", ".join([box.name, box.kind.replace("_", " "), *box.notes, *group])


def _way(way: Way) -> Iterator[str]:
    classes = ["way", *(["back"] if way.backward else []), *(["maybe"] if way.arrow.maybe else [])]
    tip = way.points[-1]
    path = _loop(way) if way.loop else _curve(way.points)
    ends = f"data-from={_attribute(way.arrow.source)} data-to={_attribute(way.arrow.target)}"
    yield f'<path class="{" ".join(classes)}" {ends} d="{path}"/>'
    yield f'<path class="tip{" back" if way.backward else ""}" d="{_tip(way, tip)}"/>'


def _curve(points: Sequence[Point]) -> str:
    (x, y), *rest = points
    path = f"M{_px(x)} {_px(y)}"
    for next_x, next_y in rest:
        if abs(next_y - y) < 0.5:
            path += f"L{_px(next_x)} {_px(next_y)}"
        else:
            middle = (x + next_x) / 2
            path += (
                f"C{_px(middle)} {_px(y)} {_px(middle)} {_px(next_y)} {_px(next_x)} {_px(next_y)}"
            )
        x, y = next_x, next_y
    return path


def _loop(way: Way) -> str:
    (a, b, c, d) = (f"{_px(x)} {_px(y)}" for x, y in way.points)
    return f"M{a}C{b} {c} {d}"


def _tip(way: Way, at: Point) -> str:
    x, y = _px(at[0]), _px(at[1])
    if way.loop:
        return f"M{x} {y}l-1 -9l8 4z"
    return f"M{x} {y}l8 -4v8z" if way.backward else f"M{x} {y}l-8 -4v8z"


def _labels(way: Way) -> Iterator[str]:
    for label in way.labels:
        full = f"<title>{_text(label.full)}</title>" if label.full != label.text else ""
        yield (
            f'<text class="label" x="{_px(label.x)}" y="{_px(label.y)}" '
            f"text-anchor={quoteattr(label.anchor)}>{_text(label.text)}{full}</text>"
        )


def _style() -> str:
    font = "ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif"
    return (
        f".mnedge-graph text{{font-family:{font}}}"
        f".mnedge-graph .name{{font-size:{NAME_PX}px;font-weight:600}}"
        f".mnedge-graph .note,.mnedge-graph .label{{font-size:{NOTE_PX}px}}"
        f".mnedge-graph .caption{{font-size:{NAME_PX}px;font-weight:600}}"
        ".mnedge-graph .label{paint-order:stroke;stroke-width:4px;stroke-linejoin:round}"
        ".mnedge-graph .way{fill:none;stroke-width:1.4}"
        ".mnedge-graph .maybe{stroke-dasharray:5 4}"
        ".mnedge-graph .card.maybe{stroke-dasharray:5 4}"
        ".mnedge-graph .bar,.mnedge-graph .name,.mnedge-graph .note{stroke:none}"
        ".mnedge-graph rect.end{fill:none;stroke-width:1.4}"
        f"{_colours(_LIGHT, 0)}"
        f"@media (prefers-color-scheme:dark){{{_colours(_DARK, 1)}}}"
    )


def _colours(tone: dict[str, str], index: int) -> str:
    g = ".mnedge-graph "
    kinds = "".join(
        f"{g}.{kind} .bar,{g}.{kind} path.start{{fill:{colours[index]}}}"
        f"{g}.{kind} rect.end{{stroke:{colours[index]}}}"
        for kind, colours in _KINDS.items()
    )
    return (
        f"{g}.page{{fill:{tone['page']}}}{g}.face{{fill:{tone['card']};stroke:{tone['rim']}}}"
        f"{g}.name,{g}.caption{{fill:{tone['text']}}}{g}.note{{fill:{tone['soft']}}}"
        f"{g}.label{{fill:{tone['soft']};stroke:{tone['page']}}}"
        f"{g}.way{{stroke:{tone['line']}}}{g}.tip{{fill:{tone['line']}}}"
        f"{g}.way.back{{stroke:{tone['back']}}}{g}.tip.back{{fill:{tone['back']}}}"
        f"{kinds}"
    )


def _px(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _text(text: str) -> str:
    """Return text that XML may hold, whatever it was."""
    return escape(_printable(text))


def _attribute(text: str) -> str:
    """Return a quoted value, whatever it was."""
    return quoteattr(_printable(text))


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else "�" for sign in text)


def _word(text: str) -> str:
    """Return a class name: letters, digits and signs that end no attribute."""
    return "".join(sign for sign in text if sign.isascii() and (sign.isalnum() or sign in "-_"))
