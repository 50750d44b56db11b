"""Many boxes that are alike, drawn as one.

Two are alike if they look the same, stand in the same layer and lead to and come from boxes that
are alike: a hundred workers behind one splitter become one box, a hundred chains one chain.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping

from msgspec import structs

from mnedge.bundle.drawing.graph import Arrow, Box, Graph
from mnedge.bundle.drawing.layers import Pair, backward_arrows, layers_of

MOST_ALIKE = 6
"""So many alike are still drawn one by one."""
_NUMBER = re.compile(r"\d+")


def folded(graph: Graph, *, most: int = MOST_ALIKE) -> Graph:
    """Return the graph with one box in place of more than `most` that are alike."""
    stands_for = together(graph, most=most)
    members: dict[str, list[Box]] = {}
    for box in graph.boxes:
        members.setdefault(stands_for[box.box_id], []).append(box)
    if len(members) == len(graph.boxes):
        return graph
    boxes = [_folded(alike[0], alike) for alike in members.values()]
    return Graph(name=graph.name, boxes=boxes, arrows=_arrows(graph, stands_for))


def together(graph: Graph, *, most: int = MOST_ALIKE) -> dict[str, str]:
    """Return for every box the one that is drawn for it: mostly itself."""
    classes = _classes(graph)
    members: dict[int, list[str]] = {}
    for box in graph.boxes:
        members.setdefault(classes[box.box_id], []).append(box.box_id)
    return {
        box_id: alike[0] if len(alike) > most else box_id
        for alike in members.values()
        for box_id in alike
    }


def _folded(box: Box, alike: list[Box]) -> Box:
    if len(alike) == 1:
        return box
    names = sorted((one.name for one in alike), key=_natural)
    return structs.replace(box, name=f"{names[0]} … {names[-1]}", count=len(alike))


def _arrows(graph: Graph, stands_for: dict[str, str]) -> list[Arrow]:
    found: dict[tuple[str, str, tuple[str, ...]], Arrow] = {}
    for arrow in graph.arrows:
        source, target = stands_for[arrow.source], stands_for[arrow.target]
        moved = structs.replace(arrow, source=source, target=target)
        found.setdefault((source, target, tuple(map(_shape, arrow.labels))), moved)
    return list(found.values())


def _classes(graph: Graph) -> dict[str, int]:
    """Return a number for every box: alike boxes have the same one."""
    order = [box.box_id for box in graph.boxes]
    pairs = [(arrow.source, arrow.target) for arrow in graph.arrows]
    back = backward_arrows(order, pairs)
    forward: list[Pair] = [
        pair[::-1] if pair in back else pair for pair in pairs if pair[0] != pair[1]
    ]
    layer_of = layers_of(order, forward)
    looks = [
        (box.kind, tuple(map(_shape, box.notes)), tuple(box.marks), layer_of[box.box_id])
        for box in graph.boxes
    ]
    classes = _numbered(dict(zip(order, looks, strict=True)))
    out: dict[str, list[Arrow]] = {name: [] for name in order}
    into: dict[str, list[Arrow]] = {name: [] for name in order}
    for arrow in graph.arrows:
        out[arrow.source].append(arrow)
        into[arrow.target].append(arrow)
    while True:
        finer = _numbered(
            {
                name: (
                    classes[name],
                    _counted((_seen(arrow), classes[arrow.target]) for arrow in out[name]),
                    _counted((_seen(arrow), classes[arrow.source]) for arrow in into[name]),
                )
                for name in order
            }
        )
        if len(set(finer.values())) == len(set(classes.values())):
            return classes
        classes = finer


def _numbered(looks: Mapping[str, object]) -> dict[str, int]:
    numbers: dict[object, int] = {}
    return {name: numbers.setdefault(look, len(numbers)) for name, look in looks.items()}


def _counted(seen: Iterable[Hashable]) -> frozenset[tuple[Hashable, int]]:
    return frozenset(Counter(seen).items())


def _seen(arrow: Arrow) -> tuple[object, ...]:
    return (arrow.maybe, tuple(map(_shape, arrow.labels)))


def _shape(text: str) -> str:
    """Return the text without its numbers: what is alike differs in them."""
    return _NUMBER.sub("#", text)


def _natural(name: str) -> list[tuple[int, str]]:
    pieces = re.split(r"(\d+)", name)
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in pieces]
