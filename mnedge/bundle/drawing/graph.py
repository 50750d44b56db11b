"""Graphs to draw: what stands in a box, what stands on an arrow."""

from typing import Any

from msgspec import Struct, field


class Box(Struct, frozen=True, kw_only=True):
    """Something to draw, or several of a kind in one."""

    box_id: str
    name: str
    kind: str
    """What it is, in one word; also the class it is drawn in."""
    notes: list[str] = field(default_factory=list)
    """What a reader has to know besides, a few words each."""
    group: str = ""
    """What it belongs to: the step of an agent."""
    marks: list[str] = field(default_factory=list)
    """`start`, `end`, `maybe` (only made while the job runs)."""
    count: int = 1
    facts: dict[str, Any] = field(default_factory=dict)
    """What programs are told."""

    @property
    def lines(self) -> list[str]:
        """What stands below the name."""
        kind = self.kind.replace("_", " ")
        if self.count > 1:
            return [f"{self.count} {kind}s", *self.notes]
        return self.notes if kind == "step" else [kind, *self.notes]


class Arrow(Struct, frozen=True, kw_only=True):
    """A way from one box to another, or to itself."""

    source: str
    target: str
    labels: list[str] = field(default_factory=list)
    maybe: bool = False
    """It may be taken away, or is only made, while the job runs."""
    facts: dict[str, Any] = field(default_factory=dict)


class Graph(Struct, frozen=True, kw_only=True):
    """Boxes and arrows; every arrow joins boxes that are there."""

    name: str
    """`steps` or `agents`."""
    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return the graph for programs."""
        return {
            "nodes": [box.facts for box in self.boxes],
            "edges": [arrow.facts for arrow in self.arrows],
        }


def bundled(graph: Graph) -> Graph:
    """Return the graph with at most one arrow from one box to another; labels add up."""
    together: dict[tuple[str, str], list[Arrow]] = {}
    for arrow in graph.arrows:
        together.setdefault((arrow.source, arrow.target), []).append(arrow)
    arrows = [
        Arrow(
            source=source,
            target=target,
            labels=list(dict.fromkeys(label for one in ones for label in one.labels)),
            maybe=all(one.maybe for one in ones),
            facts=ones[0].facts,
        )
        for (source, target), ones in together.items()
    ]
    return Graph(name=graph.name, boxes=graph.boxes, arrows=arrows)
