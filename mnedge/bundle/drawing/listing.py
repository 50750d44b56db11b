"""A graph as a list: what stands in which layer, and where everything leads."""

from mnedge.bundle.drawing.graph import Arrow, Box, Graph
from mnedge.bundle.drawing.layers import Pair, backward_arrows, layers_of
from mnedge.bundle.drawing.sketch import Piece

MOST_TARGETS = 6


def listing(graph: Graph) -> list[list[Piece]]:
    """Return the lines: each box with its layer and notes, below it where it leads.

    Roles: `layer`, `name`, `note`, `label`, `line`.
    """
    order = [box.box_id for box in graph.boxes]
    pairs: list[Pair] = [(arrow.source, arrow.target) for arrow in graph.arrows]
    back = backward_arrows(order, pairs) | {pair for pair in pairs if pair[0] == pair[1]}
    forward = [pair for pair in pairs if pair not in back]
    layer_of = layers_of(order, forward)
    width = max((len(box.name) for box in graph.boxes), default=0)
    width = min(width, 40)
    digits = len(str(max(layer_of.values(), default=0) + 1))
    names = {box.box_id: box.name for box in graph.boxes}
    lines: list[list[Piece]] = []
    leaving: dict[str, list[Arrow]] = {}
    for arrow in graph.arrows:
        leaving.setdefault(arrow.source, []).append(arrow)
    told = -1
    for box in sorted(graph.boxes, key=lambda one: layer_of[one.box_id]):
        layer = layer_of[box.box_id]
        number = str(layer + 1) if layer != told else ""
        told = layer
        notes = ", ".join(_notes(box))
        line = [(f"  {number:>{digits}}  ", "layer"), (box.name, "name")]
        if notes:
            line += [(" " * max(width - len(box.name), 0) + "  ", ""), (notes, "note")]
        lines.append(line)
        indent = " " * (digits + 6)
        led = _leading(leaving.get(box.box_id, []), back, names)
        lines += [[(indent, ""), *pieces] for pieces in led]
    return lines


def _notes(box: Box) -> list[str]:
    words = {"start": "starts the run", "end": ""}
    return [*box.lines, *(words.get(mark, "") for mark in box.marks if words.get(mark))]


def _leading(arrows: list[Arrow], back: set[Pair], names: dict[str, str]) -> list[list[Piece]]:
    """Return a line per label: where the arrows with it lead."""
    groups: dict[tuple[str, bool, bool], list[str]] = {}
    for arrow in arrows:
        leads_back = (arrow.source, arrow.target) in back
        key = (", ".join(arrow.labels), leads_back, arrow.maybe)
        groups.setdefault(key, []).append(names[arrow.target])
    found = []
    for (label, leads_back, maybe), targets in groups.items():
        shown = ", ".join(targets[:MOST_TARGETS])
        if len(targets) > MOST_TARGETS:
            shown += f" and {len(targets) - MOST_TARGETS} more"
        sign = "↺ " if leads_back else "⇢ " if maybe else "→ "
        pieces: list[Piece] = [(sign, "line"), (shown, "")]
        if label:
            pieces += [("  ", ""), (label, "label")]
        found.append(pieces)
    return found
