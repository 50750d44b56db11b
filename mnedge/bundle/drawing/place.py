"""Where everything in a picture stands, in pixels: boxes as cards, arrows as curves.

Arrows run from left to right. Who draws (SVG here, a browser elsewhere) needs no more than this.
"""

import unicodedata

from msgspec import Struct, field

from mnedge.bundle.drawing.graph import Arrow, Box, Graph, bundled
from mnedge.bundle.drawing.layers import Layers, Pair, layered

NAME_PX, NOTE_PX = 13, 11
LINE_PX = 16
PAD_PX = 12
NARROWEST_PX, WIDEST_PX = 92, 280
GAP_PX = 22
"""Between cards of one layer."""
PASSING_PX = 16
SHORTEST_WAY_PX, LONGEST_WAY_PX = 64, 300
LOOP_PX = 22
PORT_PX = 14
MARGIN_PX = 16
MOST_LABELS = 3

Point = tuple[float, float]


class Card(Struct, frozen=True, kw_only=True):
    """A box with its place."""

    box: Box
    left: float
    top: float
    width: float
    height: float
    name: str
    lines: list[str]
    """What stands below the name."""


class Label(Struct, frozen=True, kw_only=True):
    """A text beside an arrow."""

    text: str
    full: str
    x: float
    y: float
    anchor: str
    """`start` or `end`: which end of the text is at `x`."""


class Way(Struct, frozen=True, kw_only=True):
    """An arrow with its place."""

    arrow: Arrow
    points: list[Point]
    """From source to target. Between two points of different height runs a curve that is level at
    both; of a loop, the four points of one curve."""
    backward: bool = False
    loop: bool = False
    labels: list[Label] = field(default_factory=list)


class Placed(Struct, frozen=True, kw_only=True):
    """A whole picture."""

    name: str
    width: float
    height: float
    cards: list[Card]
    ways: list[Way]


class _Columns(Struct):
    """The layers from left to right."""

    lefts: list[float]
    widths: list[float]


def placed(graph: Graph) -> Placed:
    """Return the picture of a graph; of arrows between the same two boxes one is drawn."""
    graph = bundled(graph)
    loops = {arrow.source for arrow in graph.arrows if arrow.source == arrow.target}
    sizes = {box.box_id: _size(box) for box in graph.boxes}
    breadths = {
        name: height + (2 * LOOP_PX if name in loops else 0) for name, (_, height) in sizes.items()
    }
    layers = layered(graph, breadths, gap=GAP_PX, passing=PASSING_PX)
    columns = _columns(graph, layers, sizes)
    cards = {box.box_id: _card(box, layers, columns, sizes[box.box_id]) for box in graph.boxes}
    ways = _ways(graph, layers, columns, cards)
    right = [columns.lefts[-1] + columns.widths[-1]] if columns.lefts else [0.0]
    right += [label.x for way in ways for label in way.labels if label.anchor == "end"]
    right += [
        label.x + text_width(label.text, NOTE_PX)
        for way in ways
        for label in way.labels
        if label.anchor == "start"
    ]
    bottom = max((spot.position + spot.breadth / 2 for spot in layers.spots.values()), default=0.0)
    return Placed(
        name=graph.name,
        width=max(right) + MARGIN_PX,
        height=bottom + 2 * MARGIN_PX,
        cards=list(cards.values()),
        ways=ways,
    )


def text_width(text: str, size_px: float) -> float:
    """Return about how wide a text is, rather too much than too little."""
    cells = sum(
        1.75 if unicodedata.east_asian_width(sign) in "WF" else _NARROW.get(sign, 1.0)
        for sign in text
    )
    return cells * size_px * 0.58


_NARROW = dict.fromkeys("iljt.,:;'|! ()[]/", 0.62) | dict.fromkeys("mwMW@", 1.4)


def cut(text: str, size_px: float, width: float) -> str:
    """Return the text, its middle taken out where it is too wide."""
    if text_width(text, size_px) <= width + 0.5:
        return text
    keep = len(text)
    while keep > 2 and text_width(_shortened(text, keep), size_px) > width:
        keep -= 1
    return _shortened(text, keep)


def _shortened(text: str, keep: int) -> str:
    tail = keep // 3
    return f"{text[: keep - tail]}…{text[len(text) - tail :] if tail else ''}"


def _size(box: Box) -> tuple[float, float]:
    widest = max(
        text_width(box.name, NAME_PX) * 1.08,
        *(text_width(line, NOTE_PX) for line in box.lines),
        0,
    )
    width = min(max(widest + 2 * PAD_PX + 6, NARROWEST_PX), WIDEST_PX)
    return width, LINE_PX * (1 + len(box.lines)) + PAD_PX + 4


def _columns(graph: Graph, layers: Layers, sizes: dict[str, tuple[float, float]]) -> _Columns:
    found = _Columns([], [])
    lengths = _way_lengths(graph, layers)
    left = float(MARGIN_PX)
    for row, length in zip(layers.rows, lengths, strict=True):
        width = max((sizes[name][0] for name in row if name in sizes), default=0.0)
        found.lefts.append(left)
        found.widths.append(width)
        left += width + length
    return found


def _way_lengths(graph: Graph, layers: Layers) -> list[float]:
    """Return how much room the arrows right of each layer need for what is written on them."""
    longest = [0.0] * len(layers.rows)
    for arrow in graph.arrows:
        way = layers.ways.get((arrow.source, arrow.target))
        if way is not None:
            beside = way[-2] if _labelled_at_end(way, layers) else way[0]
            texts = [_brief(label, arrow.source)[0] for label in arrow.labels]
            widest = max((text_width(text, NOTE_PX) for text in texts), default=0.0)
            layer = layers.spots[beside].layer
            longest[layer] = max(longest[layer], widest)
    return [min(max(SHORTEST_WAY_PX, one + 40), LONGEST_WAY_PX) for one in longest]


def _labelled_at_end(way: list[str], layers: Layers) -> bool:
    """Tell on which end of a way there is more room: the one where fewer others begin or end."""
    return layers.arriving[way[-1]] <= layers.leaving[way[0]]


def _card(box: Box, layers: Layers, columns: _Columns, size: tuple[float, float]) -> Card:
    spot = layers.spots[box.box_id]
    width, height = size
    inner = width - 2 * PAD_PX - 6
    return Card(
        box=box,
        left=columns.lefts[spot.layer],
        top=spot.position - height / 2 + MARGIN_PX,
        width=width,
        height=height,
        name=cut(box.name, NAME_PX * 1.08, inner),
        lines=[cut(line, NOTE_PX, inner) for line in box.lines],
    )


def _ways(graph: Graph, layers: Layers, columns: _Columns, cards: dict[str, Card]) -> list[Way]:
    left, right = _ports(layers, cards)
    found = []
    for arrow in graph.arrows:
        pair = (arrow.source, arrow.target)
        if pair in layers.loops:
            found.append(_loop(arrow, cards[arrow.source]))
            continue
        way = layers.ways[pair]
        points: list[Point] = [right[pair]]
        for name in way[1:-1]:
            spot = layers.spots[name]
            y = spot.position + MARGIN_PX
            start = columns.lefts[spot.layer]
            points += [(start, y), (start + columns.widths[spot.layer], y)]
        points.append(left[pair])
        backward = pair in layers.backward
        found.append(
            Way(
                arrow=arrow,
                points=points[::-1] if backward else points,
                backward=backward,
                labels=_labels(arrow, points, at_end=_labelled_at_end(way, layers)),
            )
        )
    return found


def _ports(layers: Layers, cards: dict[str, Card]) -> tuple[dict[Pair, Point], dict[Pair, Point]]:
    """Return where each way ends at the left of a card, and begins at the right of one."""
    leaving: dict[str, list[tuple[float, int, Pair]]] = {}
    arriving: dict[str, list[tuple[float, int, Pair]]] = {}
    for number, (pair, way) in enumerate(layers.ways.items()):
        after, before = layers.spots[way[1]].position, layers.spots[way[-2]].position
        leaving.setdefault(way[0], []).append((after, number, pair))
        arriving.setdefault(way[-1], []).append((before, number, pair))
    sides = []
    for ends, at_right in ((arriving, False), (leaving, True)):
        side: dict[Pair, Point] = {}
        for name, listed in ends.items():
            card = cards[name]
            apart = min(PORT_PX, (card.height - 14) / max(len(listed) - 1, 1))
            y = card.top + card.height / 2 - apart * (len(listed) - 1) / 2
            for _, _, pair in sorted(listed):
                side[pair] = (card.left + (card.width if at_right else 0), y)
                y += apart
        sides.append(side)
    return sides[0], sides[1]


def _loop(arrow: Arrow, card: Card) -> Way:
    right, top = card.left + card.width, card.top
    points = [
        (right, top + 14),
        (right + 34, top + 8),
        (right + 10, top - LOOP_PX - 6),
        (right - 22, top),
    ]
    texts = [_brief(label, arrow.source) for label in arrow.labels]
    labels = _stacked(texts, right + 18, top - 8, "start")
    return Way(arrow=arrow, points=points, loop=True, labels=labels)


def _labels(arrow: Arrow, points: list[Point], *, at_end: bool) -> list[Label]:
    """Put the labels where the curve is level, on the side that it does not come from."""
    if at_end:
        (x, y), (_, bend_y), anchor = points[-1], points[-2], "end"
        x -= 12
    else:
        (x, y), (_, bend_y), anchor = points[0], points[1], "start"
        x += 8
    texts = [_brief(label, arrow.source) for label in arrow.labels]
    if bend_y < y - 1:
        return _stacked(texts, x, y + NOTE_PX + 2, anchor, downwards=True)
    return _stacked(texts, x, y - 5, anchor)


def _brief(label: str, source: str) -> tuple[str, str]:
    """Return what is written, without the name that the arrow starts at, and all of it."""
    rest = label.removeprefix(f"{source}_")
    return (f"…{rest}", label) if rest != label else (label, label)


def _stacked(
    texts: list[tuple[str, str]], x: float, y: float, anchor: str, *, downwards: bool = False
) -> list[Label]:
    shown = texts[:MOST_LABELS]
    if len(texts) > MOST_LABELS:
        rest = [full for _, full in texts[MOST_LABELS - 1 :]]
        shown = [*texts[: MOST_LABELS - 1], (f"and {len(rest)} more", ", ".join(rest))]
    first = y if downwards else y - (len(shown) - 1) * (NOTE_PX + 2)
    return [
        Label(
            text=cut(text, NOTE_PX, LONGEST_WAY_PX - 40),
            full=full,
            x=x,
            y=first + place * (NOTE_PX + 2),
            anchor=anchor,
        )
        for place, (text, full) in enumerate(shown)
    ]
