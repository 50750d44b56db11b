"""A graph in characters: a row of names per layer, lines between the rows, from top to bottom.

Where two lines cross, one stands over the other; where they meet, they are joined. What would not
be readable (too wide, too many lines) is not drawn at all: `listing` says everything anyway.
"""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from msgspec import Struct, field

from mnedge.bundle.drawing.graph import Box, Graph, bundled
from mnedge.bundle.drawing.layers import Layers, backward_arrows, layered

GAP = 3
NEAR = 2
"""So many columns a name is moved to stand in line with another."""
MOST_TRACKS = 6
"""Lines side by side between two rows."""
MOST_BOXES = 300
UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
_SIGNS = {
    UP: "│",
    DOWN: "│",
    UP | DOWN: "│",
    LEFT | RIGHT: "─",
    UP | RIGHT: "╰",
    UP | LEFT: "╯",
    DOWN | RIGHT: "╭",
    DOWN | LEFT: "╮",
    UP | DOWN | RIGHT: "├",
    UP | DOWN | LEFT: "┤",
    LEFT | RIGHT | DOWN: "┬",
    LEFT | RIGHT | UP: "┴",
    LEFT | RIGHT | UP | DOWN: "┼",
}
BACK = " ↺"
"""Behind a name that something leads back from."""

Piece = tuple[str, str]
"""A text and its role: `name`, `line`, or nothing."""


class _Bus(Struct, kw_only=True):
    """One line between two rows: from some names above to some below, all to all."""

    sources: list[int]
    """Columns."""
    targets: list[int]
    track: int = 0

    @property
    def left(self) -> int:
        return min(*self.sources, *self.targets)

    @property
    def right(self) -> int:
        return max(*self.sources, *self.targets)

    @property
    def straight(self) -> bool:
        return self.left == self.right


class _Sheet(Struct, kw_only=True):
    """Where the names stand."""

    layers: Layers
    names: dict[str, str]
    columns: dict[str, int] = field(default_factory=dict)
    """Spot → the column of its middle."""
    groups: list[dict[tuple[str, ...], list[str]]] = field(default_factory=list)
    """Per row: where they lead to → the spots that lead there. They share a line."""


def sketch(graph: Graph, *, width: int) -> list[list[Piece]] | None:
    """Return the lines of the drawing; None if it would not fit or could not be read."""
    if len(graph.boxes) > MOST_BOXES or not all(_one_cell_each(box.name) for box in graph.boxes):
        return None
    graph = bundled(graph)
    order = [box.box_id for box in graph.boxes]
    pairs = [(arrow.source, arrow.target) for arrow in graph.arrows]
    back = backward_arrows(order, pairs) | {pair for pair in pairs if pair[0] == pair[1]}
    kept = [arrow for arrow in graph.arrows if (arrow.source, arrow.target) not in back]
    flat = Graph(name=graph.name, boxes=graph.boxes, arrows=kept)
    names = {box.box_id: name_of(box, back) for box in graph.boxes}
    into = Counter(arrow.target for arrow in kept)
    breadths = {name: max(len(names[name]), 2 * into[name] - 1) | 1 for name in order}
    layers = layered(flat, breadths, gap=GAP, passing=1)
    if layers.direct:
        return None
    sheet = _Sheet(layers=layers, names=names)
    _set_columns(sheet)
    _set_groups(sheet)
    lines: list[list[Piece]] = []
    for index, row in enumerate(layers.rows):
        lines.append(_names(row, sheet))
        if index + 1 < len(layers.rows):
            between = _between(index, sheet)
            if between is None:
                return None
            lines += between
    widest = max((sum(len(text) for text, _ in line) for line in lines), default=0)
    return lines if widest <= width else None


def name_of(box: Box, back: set[tuple[str, str]] | frozenset[tuple[str, str]]) -> str:
    """Return what a box is called in the drawing."""
    many = f" ({box.count})" if box.count > 1 else ""
    leads_back = any(source == box.box_id for source, _ in back)
    return f"{box.name}{many}{BACK if leads_back else ''}"


def _one_cell_each(text: str) -> bool:
    """Tell whether every sign of the text takes one cell of a terminal."""
    return all(
        sign.isprintable()
        and unicodedata.east_asian_width(sign) not in "WF"
        and not unicodedata.combining(sign)
        for sign in text
    )


def _set_columns(sheet: _Sheet) -> None:
    spots = sheet.layers.spots
    for row in sheet.layers.rows:
        free = 0
        for name in row:
            half = int(spots[name].breadth) // 2
            column = max(round(spots[name].position), free + half)
            sheet.columns[name] = column
            free = column + half + 1 + GAP
    for down in (True, False):
        rows = sheet.layers.rows if down else sheet.layers.rows[::-1]
        for before, row in pairwise(rows):
            _straighten(before, row, sheet)


def _straighten(before: Sequence[str], row: Sequence[str], sheet: _Sheet) -> None:
    """Move names a little, to stand right below or above what they are joined to."""
    near: dict[str, list[int]] = {}
    for way in sheet.layers.ways.values():
        for pair in pairwise(way):
            for one, other in (pair, pair[::-1]):
                if other in before:
                    near.setdefault(one, []).append(sheet.columns[other])
    for place, name in enumerate(row):
        column = sheet.columns[name]
        wanted = min(near.get(name, [column]), key=lambda one: abs(one - column))
        if abs(wanted - column) <= NEAR and _free(place, wanted, row, sheet):
            sheet.columns[name] = wanted


def _free(place: int, column: int, row: Sequence[str], sheet: _Sheet) -> bool:
    """Tell whether a name of the row could stand there, away from its neighbours."""
    half = int(sheet.layers.spots[row[place]].breadth) // 2
    if column < half:
        return False
    for neighbour in (place - 1, place + 1):
        if 0 <= neighbour < len(row):
            spot = sheet.layers.spots[row[neighbour]]
            apart = abs(sheet.columns[row[neighbour]] - column) - int(spot.breadth) // 2 - half
            if apart <= 1 or (sheet.columns[row[neighbour]] > column) is not (neighbour > place):
                return False
    return True


def _names(row: Sequence[str], sheet: _Sheet) -> list[Piece]:
    line: list[Piece] = []
    end = 0
    for name in row:
        text = sheet.names.get(name, "│")
        start = sheet.columns[name] - len(text) // 2
        line += [(" " * (start - end), ""), (text, "name" if name in sheet.names else "line")]
        end = start + len(text)
    return line


def _between(index: int, sheet: _Sheet) -> list[list[Piece]] | None:
    """Return the lines between a row and the next one."""
    buses = _buses(index, sheet)
    tracks = _tracks(buses)
    if tracks is None or tracks > MOST_TRACKS:
        return None
    tips = {
        column: "▼" if name in sheet.names else "│"
        for name, columns in _ports(index, sheet).items()
        for column in columns.values()
    }
    lines = [_track(track, buses) for track in range(tracks)]
    if not tracks:
        lines = [{column: "│" for bus in buses for column in bus.sources}]
    return [_line(cells) for cells in (*lines, tips)]


def _set_groups(sheet: _Sheet) -> None:
    layers = sheet.layers
    place = {name: n for row in layers.rows for n, name in enumerate(row)}
    links: dict[str, set[str]] = {}
    for way in layers.ways.values():
        for source, target in pairwise(way):
            links.setdefault(source, set()).add(target)
    for row in layers.rows:
        groups: dict[tuple[str, ...], list[str]] = {}
        for name in row:
            if name in links:
                targets = tuple(sorted(links[name], key=place.__getitem__))
                groups.setdefault(targets, []).append(name)
        sheet.groups.append(groups)


def _ports(index: int, sheet: _Sheet) -> dict[str, dict[tuple[str, ...], int]]:
    """Return for every target the column at which each line comes in."""
    coming: dict[str, list[tuple[str, ...]]] = {}
    for targets in sheet.groups[index]:
        for target in targets:
            coming.setdefault(target, []).append(targets)
    return {
        target: {
            group: sheet.columns[target] + 2 * n - (len(groups) - 1)
            for n, group in enumerate(groups)
        }
        for target, groups in coming.items()
    }


def _buses(index: int, sheet: _Sheet) -> list[_Bus]:
    ports = _ports(index, sheet)
    return [
        _Bus(
            sources=[sheet.columns[name] for name in sources],
            targets=[ports[target][targets] for target in targets],
        )
        for targets, sources in sheet.groups[index].items()
    ]


def _tracks(buses: list[_Bus]) -> int | None:
    """Give every line that is not straight a track of its own where they would touch.

    A line that begins in the column where another ends has to turn off before that. Return how
    many tracks there are; None if that cannot be.
    """
    waiting = list(buses)
    done: list[_Bus] = []
    count = 0
    while waiting:
        bus = next((one for one in waiting if not _has_to_wait(one, waiting)), None)
        if bus is None:
            return None
        waiting.remove(bus)
        if not bus.straight:
            touching = [
                one.track
                for one in done
                if not one.straight and one.left <= bus.right + 1 and bus.left <= one.right + 1
            ]
            bus.track = max(touching, default=-1) + 1
            count = max(count, bus.track + 1)
        done.append(bus)
    return count


def _has_to_wait(bus: _Bus, others: Sequence[_Bus]) -> bool:
    return any(other is not bus and set(other.sources) & set(bus.targets) for other in others)


def _track(track: int, buses: Sequence[_Bus]) -> dict[int, str]:
    """Return the signs of one track: its lines, and what passes it on the way down."""
    cells: dict[int, str] = {}
    for bus in buses:
        if bus.straight or bus.track != track:
            continue
        for column in range(bus.left, bus.right + 1):
            bits = LEFT if column > bus.left else 0
            bits |= RIGHT if column < bus.right else 0
            bits |= UP if column in bus.sources else 0
            bits |= DOWN if column in bus.targets else 0
            cells[column] = _SIGNS[bits]
    for bus in buses:
        if bus.straight:
            passing = bus.sources
        elif bus.track == track:
            continue
        else:
            passing = bus.sources if track < bus.track else bus.targets
        cells |= dict.fromkeys(passing, "│")
    return cells


def _line(cells: Mapping[int, str]) -> list[Piece]:
    end = max(cells, default=-1) + 1
    return [("".join(cells.get(column, " ") for column in range(end)), "line")]
