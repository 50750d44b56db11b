"""Put the boxes of a graph into layers, so that arrows lead from one layer to later ones.

Arrows of a circle that lead back are turned around first, and told apart afterwards.
Source: layered drawing after Sugiyama, Tagawa and Toda; order by barycentres; positions by
least squares under fixed distances (pooling of adjacent violators).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, pairwise

from msgspec import Struct, field

from mnedge.bundle.drawing.graph import Graph

SWEEPS = 12
MOST_SPOTS = 4000
"""With more, the order is left as it comes."""
MOST_PASSING = 20_000
"""With more, arrows run straight over the layers between."""
Pair = tuple[str, str]


class Spot(Struct, kw_only=True):
    """A place in a layer: that of a box, or one that a long arrow passes."""

    spot_id: str
    layer: int
    breadth: float
    """How much room it takes across."""
    position: float = 0
    """Where its middle is, across."""
    box_id: str = ""
    """Empty where an arrow only passes."""


class Layers(Struct, kw_only=True):
    """A graph in layers."""

    spots: dict[str, Spot] = field(default_factory=dict)
    rows: list[list[str]] = field(default_factory=list)
    """Spot ids of every layer, in order."""
    ways: dict[Pair, list[str]] = field(default_factory=dict)
    """Arrow → the spots it runs through, in the order of the layers."""
    backward: set[Pair] = field(default_factory=set)
    """Arrows that lead back to an earlier layer; their ways are turned around."""
    loops: set[Pair] = field(default_factory=set)
    """Arrows from a box to itself; they have no way."""
    direct: bool = False
    """Ways have only two spots: too many would be passed."""
    leaving: Counter[str] = field(default_factory=Counter)
    """Spot → how many ways begin there."""
    arriving: Counter[str] = field(default_factory=Counter)


def layered(
    graph: Graph, breadths: Mapping[str, float], *, gap: float, passing: float = 0
) -> Layers:
    """Return the graph in layers, every spot with its position.

    `breadths` says how much room each box takes across, `gap` how far two stay apart, `passing` how
    much room an arrow takes that runs through a layer. The same graph always gives the same layers.
    """
    found = Layers()
    order = [box.box_id for box in graph.boxes]
    pairs = list(dict.fromkeys((arrow.source, arrow.target) for arrow in graph.arrows))
    found.loops = {pair for pair in pairs if pair[0] == pair[1]}
    pairs = [pair for pair in pairs if pair not in found.loops]
    found.backward = backward_arrows(order, pairs)
    forward = {pair: pair[::-1] if pair in found.backward else pair for pair in pairs}
    layer_of = layers_of(order, forward.values())
    for box_id in order:
        _add(found, box_id, layer_of[box_id], breadths[box_id], box_id)
    passed = sum(layer_of[target] - layer_of[source] - 1 for source, target in forward.values())
    found.direct = passed > MOST_PASSING
    for pair, (source, target) in forward.items():
        way = [source]
        first = layer_of[target] if found.direct else layer_of[source] + 1
        for layer in range(first, layer_of[target]):
            name = f"{pair[0]}\0{pair[1]}\0{layer}"
            _add(found, name, layer, passing, "")
            way.append(name)
        found.ways[pair] = [*way, target]
        found.leaving[source] += 1
        found.arriving[target] += 1
    links = [link for way in found.ways.values() for link in pairwise(way)]
    if len(found.spots) <= MOST_SPOTS:
        _order(found.rows, links)
    _position(found, links, gap)
    return found


def layers_of(order: Sequence[str], links: Iterable[Pair]) -> dict[str, int]:
    """Return the layer of every box: behind all that lead to it, and no earlier than needed.

    The links must not run in circles.
    """
    after: dict[str, list[str]] = {name: [] for name in order}
    before: dict[str, list[str]] = {name: [] for name in order}
    for source, target in dict.fromkeys(links):
        after[source].append(target)
        before[target].append(source)
    layer_of: dict[str, int] = {}
    waiting = {name: len(before[name]) for name in order}
    ready = [name for name in order if not waiting[name]]
    sorted_names = []
    while ready:
        name = ready.pop(0)
        sorted_names.append(name)
        layer_of[name] = max((layer_of[one] + 1 for one in before[name]), default=0)
        for target in after[name]:
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for name in reversed(sorted_names):
        # What nothing leads to stands right before what it leads to.
        if not before[name] and after[name]:
            layer_of[name] = min(layer_of[one] for one in after[name]) - 1
    return layer_of


def settled(wanted: Sequence[float], distances: Sequence[float]) -> list[float]:
    """Return positions as near to the wanted ones as the distances between neighbours allow."""
    offsets = [0.0]
    for distance in distances:
        offsets.append(offsets[-1] + distance)
    blocks: list[tuple[float, int]] = []  # mean of what is wanted, how many
    for want, offset in zip(wanted, offsets, strict=True):
        mean, count = want - offset, 1
        while blocks and blocks[-1][0] > mean:
            before, many = blocks.pop()
            mean, count = (mean * count + before * many) / (count + many), count + many
        blocks.append((mean, count))
    flat = [mean for mean, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(flat, offsets, strict=True)]


def crossings(upper: Sequence[str], lower: Sequence[str], links: Iterable[Pair]) -> int:
    """Return how often links between two rows cross."""
    above = {name: place for place, name in enumerate(upper)}
    below = {name: place for place, name in enumerate(lower)}
    ends = sorted((above[a], below[b]) for a, b in links if a in above and b in below)
    count, seen = 0, [0] * (len(lower) + 1)
    for already, (_, place) in enumerate(ends):
        # A Fenwick tree counts the ends seen so far that are not to the right of this one.
        index, lefts = place + 1, 0
        while index:
            lefts += seen[index]
            index -= index & -index
        count += already - lefts
        index = place + 1
        while index <= len(lower):
            seen[index] += 1
            index += index & -index
    return count


def _add(found: Layers, name: str, layer: int, breadth: float, box_id: str) -> None:
    while len(found.rows) <= layer:
        found.rows.append([])
    found.rows[layer].append(name)
    found.spots[name] = Spot(spot_id=name, layer=layer, breadth=breadth, box_id=box_id)


def backward_arrows(order: Sequence[str], pairs: Iterable[Pair]) -> set[Pair]:
    """Return the arrows that lead back, walking from each box in order."""
    after: dict[str, list[str]] = {name: [] for name in order}
    targets = set()
    for source, target in pairs:
        after[source].append(target)
        targets.add(target)
    roots = [*(name for name in order if name not in targets), *order]
    back: set[Pair] = set()
    state: dict[str, int] = {}  # 1: being walked, 2: done
    for root in roots:
        if root in state:
            continue
        state[root] = 1
        path = [(root, iter(after[root]))]
        while path:
            name, rest = path[-1]
            following = next(rest, None)
            if following is None:
                state[name] = 2
                path.pop()
            elif following not in state:
                state[following] = 1
                path.append((following, iter(after[following])))
            elif state[following] == 1:
                back.add((name, following))
    return back


def _order(rows: list[list[str]], links: list[Pair]) -> None:
    """Sort the rows so that few links cross; the best of several sweeps counts."""
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for source, target in links:
        above.setdefault(target, []).append(source)
        below.setdefault(source, []).append(target)
    best, fewest = [list(row) for row in rows], _all_crossings(rows, links)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        for index in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            neighbours = above if down else below
            beside = rows[index - 1] if down else rows[index + 1]
            _sort(rows[index], beside, neighbours)
        count = _all_crossings(rows, links)
        if count < fewest:
            best, fewest = [list(row) for row in rows], count
    rows[:] = best


def _sort(row: list[str], beside: list[str], neighbours: Mapping[str, list[str]]) -> None:
    place = {name: index for index, name in enumerate(beside)}
    middles = {}
    for index, name in enumerate(row):
        places = [place[one] for one in neighbours.get(name, []) if one in place]
        middles[name] = sum(places) / len(places) if places else float(index)
    row.sort(key=middles.__getitem__)


def _all_crossings(rows: list[list[str]], links: list[Pair]) -> int:
    row_of = {name: index for index, row in enumerate(rows) for name in row}
    between: list[list[Pair]] = [[] for _ in rows]
    for source, target in links:
        between[row_of[source]].append((source, target))
    return sum(
        crossings(upper, lower, between[index])
        for index, (upper, lower) in enumerate(pairwise(rows))
    )


def _apart(found: Layers, links: list[Pair]) -> list[list[list[str]]]:
    """Sort the rows by what hangs together, and return the rows of each such part."""
    near: dict[str, list[str]] = {name: [] for name in found.spots}
    for source, target in links:
        near[source].append(target)
        near[target].append(source)
    part_of: dict[str, int] = {}
    count = 0
    for root in found.spots:
        if root in part_of:
            continue
        pending = [root]
        part_of[root] = count
        while pending:
            for name in near[pending.pop()]:
                if name not in part_of:
                    part_of[name] = count
                    pending.append(name)
        count += 1
    parts: list[list[list[str]]] = [[] for _ in range(count)]
    for row in found.rows:
        row.sort(key=part_of.__getitem__)
        for part, names in groupby(row, key=part_of.__getitem__):
            parts[part].append(list(names))
    return parts


def _position(found: Layers, links: list[Pair], gap: float) -> None:
    """Bring every spot near the middle of its neighbours, each part beside the one before."""
    near: dict[str, list[str]] = {name: [] for name in found.spots}
    for source, target in links:
        near[source].append(target)
        near[target].append(source)
    edge = 0.0
    for rows in _apart(found, links):
        _settle(rows, near, found.spots, gap)
        spots = [found.spots[name] for row in rows for name in row]
        least = min(spot.position - spot.breadth / 2 for spot in spots)
        for spot in spots:
            spot.position += edge - least
        edge = max(spot.position + spot.breadth / 2 for spot in spots) + gap


def _settle(
    rows: list[list[str]], near: Mapping[str, list[str]], spots: Mapping[str, Spot], gap: float
) -> None:
    distances = [
        [(spots[one].breadth + spots[other].breadth) / 2 + gap for one, other in pairwise(row)]
        for row in rows
    ]
    for row, apart in zip(rows, distances, strict=True):
        place = -sum(apart) / 2
        for name, distance in zip(row, [*apart, 0.0], strict=True):
            spots[name].position = place
            place += distance
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for index in range(len(rows)) if down else range(len(rows) - 1, -1, -1):
            wanted = [_middle(name, near, spots, down=down) for name in rows[index]]
            places = settled(wanted, distances[index])
            for name, place in zip(rows[index], places, strict=True):
                spots[name].position = place


def _middle(
    name: str, near: Mapping[str, list[str]], spots: Mapping[str, Spot], *, down: bool
) -> float:
    """Return the mean of the neighbours on the side that was placed last, else of all."""
    layer = spots[name].layer
    side = [one for one in near[name] if (spots[one].layer < layer) is down]
    places = [spots[one].position for one in (side or near[name])]
    return sum(places) / len(places) if places else spots[name].position
