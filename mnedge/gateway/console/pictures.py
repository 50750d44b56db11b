"""The graphs of a job as pages show them: each card says how it stands, by sign, word and colour.

Cards keep their size while a job runs, so that a page can put a new picture over an old one.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct, structs

from mnedge.bundle.drawing.folding import folded, together
from mnedge.bundle.drawing.graph import Arrow, Box, Graph
from mnedge.bundle.drawing.graphs import agents_graph, steps_graph
from mnedge.bundle.drawing.place import NOTE_PX, PAD_PX, Card, Placed, cut, placed
from mnedge.bundle.drawing.svg import svg
from mnedge.gateway.console.words import URGENCY, Look, look, number
from mnedge.model.manifest import JobSpec

MOST_BOXES = 20_000
MOST_CARDS = 400
"""A graph with more is not drawn: nobody could read it."""
PLANS_KEPT = 64
_READABLE_PX = 1300
_ROOM = {"agents": "● restarting · 99999", "steps": "↻ retry wait · try 10 of 10"}
_ROOM_FOR_MANY = "● 1000 running, 1000 queued"
"""The longest that a card has to say, about: it is laid out with room for that."""


class Picture(Struct, frozen=True, kw_only=True):
    """A drawn graph."""

    name: str
    """`steps` or `agents`."""
    svg: str
    """Safe markup: every text in it is escaped. Empty: there is too much to draw."""
    drawn_for: dict[str, str]
    """Which card stands for an agent or step that has none of its own."""
    count: int
    fits: bool
    """It may be made smaller so that it fits into a page, and can still be read."""


class Standing(NamedTuple):
    """How one agent or step stands."""

    status: str
    extra: str = ""


class Plan(Struct, frozen=True, kw_only=True):
    """Where everything in a graph is drawn, whatever it says: this takes long, and stays."""

    name: str
    drawn_for: dict[str, str]
    members: dict[str, list[str]]
    place: Placed | None
    """Every card of which something is to be said has a last line for it."""


class Plans:
    """The plans of the jobs that were looked at lately."""

    def __init__(self, most: int = PLANS_KEPT) -> None:
        self._kept: dict[Hashable, Plan] = {}
        self._most = most

    def plan(self, key: Hashable, graph: Graph, known: frozenset[str]) -> Plan:
        """Return the plan of this graph of which something is said of the `known`."""
        whole = (key, graph.name, tuple(box.box_id for box in graph.boxes), known)
        plan = self._kept.pop(whole, None)
        if plan is None:
            plan = planned(graph, known)
        self._kept[whole] = plan
        while len(self._kept) > self._most:
            self._kept.pop(next(iter(self._kept)), None)
        return plan


def pictures(
    spec: JobSpec,
    agents: Sequence[Mapping[str, Any]] = (),
    ledger: Mapping[str, Any] | None = None,
    *,
    plans: Plans | None = None,
    key: Hashable = None,
) -> list[Picture]:
    """Return the graphs that there are; without agents and ledger, as before any run.

    `plans` keeps what takes long, under `key`.
    """
    kept = plans or Plans()
    found = []
    steps = _with_ledger(steps_graph(spec), ledger or {})
    if steps.boxes:
        found.append((steps, standings_of_steps(ledger or {})))
    found.append((agents_graph(spec), standings_of_agents(agents)))
    return [
        drawn(kept.plan(key, graph, frozenset(standings)), standings) for graph, standings in found
    ]


def planned(graph: Graph, known: frozenset[str]) -> Plan:
    """Return where everything is drawn, with room for what is said of those that are `known`."""
    if len(graph.boxes) > MOST_BOXES:
        return Plan(name=graph.name, drawn_for={}, members=_alone(graph), place=None)
    drawn_for = together(graph)
    members: dict[str, list[str]] = {}
    for box_id, card in drawn_for.items():
        members.setdefault(card, []).append(box_id)
    plain = folded(graph)
    spoken = {card for card, ids in members.items() if not known.isdisjoint(ids)}
    room = _ROOM[graph.name]
    boxes = [_roomy(box, room) if box.box_id in spoken else box for box in plain.boxes]
    roomy = structs.replace(plain, boxes=boxes)
    return Plan(
        name=graph.name,
        drawn_for={one: card for one, card in drawn_for.items() if one != card},
        members=members,
        place=placed(roomy) if len(boxes) <= MOST_CARDS else None,
    )


def drawn(plan: Plan, standings: Mapping[str, Standing]) -> Picture:
    """Return the graph drawn; cards of which nothing is known show no status."""
    told = {
        card: said
        for card, ids in plan.members.items()
        if (said := _said([standings[one] for one in ids if one in standings]))
    }
    count = sum(map(len, plan.members.values()))
    markup, fits = "", False
    if plan.place is not None:
        cards = [_saying(card, told.get(card.box.box_id)) for card in plan.place.cards]
        shown = structs.replace(plan.place, cards=cards)
        markup = svg([shown], [f"{plan.name}: {count}"], styled=False)
        fits = shown.width <= _READABLE_PX
    return Picture(name=plan.name, svg=markup, drawn_for=plan.drawn_for, count=count, fits=fits)


def _saying(card: Card, told: tuple[Look, str] | None) -> Card:
    if told is None:
        return card
    shown, line = told
    line = cut(line, NOTE_PX, card.width - 2 * PAD_PX - 6)
    box = structs.replace(
        card.box, notes=card.box.notes[:-1], marks=[*card.box.marks, f"s-{shown.tone}"]
    )
    return structs.replace(card, box=box, lines=[*card.lines[:-1], line])


def _alone(graph: Graph) -> dict[str, list[str]]:
    return {box.box_id: [box.box_id] for box in graph.boxes}


def standings_of_agents(agents: Iterable[Mapping[str, Any]]) -> dict[str, Standing]:
    """Return how each agent stands."""
    found = {}
    for agent in agents:
        handled = agent.get("processed_messages")
        extra = number(handled) if isinstance(handled, int) and handled else ""
        found[str(agent.get("agent_id"))] = Standing(str(agent.get("status")), extra)
    return found


def standings_of_steps(ledger: Mapping[str, Any]) -> dict[str, Standing]:
    """Return how each step of a `workflow_state` stands."""
    found = {}
    for step_id, step in _steps(ledger).items():
        tries, most = step.get("attempt_count") or 0, step.get("max_attempts") or 1
        extra = f"try {tries} of {max(tries, most)}" if tries > 1 else ""
        found[step_id] = Standing(str(step.get("status")), extra)
    return found


def _said(standings: Sequence[Standing]) -> tuple[Look, str] | None:
    """Return the look of a card and its line; of many things, the most urgent two."""
    if not standings:
        return None
    if len(standings) == 1:
        (one,) = standings
        shown = look(one.status)
        return shown, f"{shown.mark} {shown.word}" + (f" · {one.extra}" if one.extra else "")
    counts: dict[str, int] = {}
    for standing in standings:
        counts[standing.status] = counts.get(standing.status, 0) + 1
    ordered = sorted(counts, key=lambda status: URGENCY[look(status).tone])
    shown = look(ordered[0])
    words = ", ".join(f"{counts[status]} {look(status).word}" for status in ordered[:2])
    return shown, f"{shown.mark} {words}"


def _roomy(box: Box, room: str) -> Box:
    line = room if box.count == 1 else _ROOM_FOR_MANY
    return structs.replace(box, notes=[*box.notes, line])


def _with_ledger(graph: Graph, ledger: Mapping[str, Any]) -> Graph:
    """Return the steps as the ledger has them now: with those that were made while it ran."""
    steps = _steps(ledger)
    known = {box.box_id: box for box in graph.boxes}
    made = [step_id for step_id in steps if step_id not in known]
    if not made:
        return graph
    boxes = list(graph.boxes)
    for step_id in made:
        label = str(steps[step_id].get("label") or step_id)
        boxes.append(Box(box_id=step_id, name=label, kind="step"))
    ids = {box.box_id for box in boxes}
    arrows = {(arrow.source, arrow.target): arrow for arrow in graph.arrows}
    edges = ledger.get("edges")
    for edge in edges if isinstance(edges, list) else ():
        source, target = str(edge.get("from")), str(edge.get("to"))
        if source in ids and target in ids:
            arrows.setdefault((source, target), Arrow(source=source, target=target))
    return Graph(name=graph.name, boxes=boxes, arrows=list(arrows.values()))


def _steps(ledger: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    steps = ledger.get("steps")
    return steps if isinstance(steps, dict) else {}
