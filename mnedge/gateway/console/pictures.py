"""The graphs of a job as pages show them: each card says how it stands, by sign, word and colour.

Cards keep their size while a job runs, so that a page can put a new picture over an old one.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct, structs

from mnedge.bundle.drawing.folding import folded, together
from mnedge.bundle.drawing.graph import Arrow, Box, Graph
from mnedge.bundle.drawing.graphs import agents_graph, steps_graph
from mnedge.bundle.drawing.place import NOTE_PX, PAD_PX, cut, placed
from mnedge.bundle.drawing.svg import svg
from mnedge.gateway.console.words import URGENCY, Look, look, number
from mnedge.model.manifest import JobSpec

_READABLE_PX = 1300
_ROOM = {"agents": "● restarting · 99999", "steps": "↻ retry wait · try 10 of 10"}
_ROOM_FOR_MANY = "● 1000 running, 1000 queued"
"""The longest that a card has to say, about: it is laid out with room for that."""


class Picture(Struct, frozen=True, kw_only=True):
    """A drawn graph."""

    name: str
    """`steps` or `agents`."""
    svg: str
    """Safe markup: every text in it is escaped."""
    drawn_for: dict[str, str]
    """Which card stands for an agent or step that has none of its own."""
    count: int
    fits: bool
    """It may be made smaller so that it fits into a page, and can still be read."""


class Standing(NamedTuple):
    """How one agent or step stands."""

    status: str
    extra: str = ""


def pictures(
    spec: JobSpec, agents: Sequence[Mapping[str, Any]] = (), ledger: Mapping[str, Any] | None = None
) -> list[Picture]:
    """Return the graphs that there are; without agents and ledger, as before any run."""
    drawn = []
    steps = _with_ledger(steps_graph(spec), ledger or {})
    if steps.boxes:
        drawn.append(picture(steps, standings_of_steps(ledger or {})))
    drawn.append(picture(agents_graph(spec), standings_of_agents(agents)))
    return drawn


def picture(graph: Graph, standings: Mapping[str, Standing]) -> Picture:
    """Return the graph drawn; cards of which nothing is known show no status."""
    drawn_for = together(graph)
    members: dict[str, list[str]] = {}
    for box_id, drawn in drawn_for.items():
        members.setdefault(drawn, []).append(box_id)
    told = {
        drawn: said
        for drawn, ids in members.items()
        if (said := _said([standings[one] for one in ids if one in standings]))
    }
    plain = folded(graph)
    room = _ROOM[graph.name]
    roomy = structs.replace(plain, boxes=[_roomy(box, told, room) for box in plain.boxes])
    place = placed(roomy)
    cards = [
        structs.replace(
            card,
            box=structs.replace(card.box, notes=card.box.notes[:-1]),
            lines=[
                *card.lines[:-1],
                cut(told[card.box.box_id][1], NOTE_PX, card.width - 2 * PAD_PX - 6),
            ],
        )
        if card.box.box_id in told
        else card
        for card in place.cards
    ]
    shown = structs.replace(place, cards=cards)
    caption = f"{graph.name}: {len(graph.boxes)}"
    return Picture(
        name=graph.name,
        svg=svg([shown], [caption], styled=False),
        drawn_for={one: drawn for one, drawn in drawn_for.items() if one != drawn},
        count=len(graph.boxes),
        fits=shown.width <= _READABLE_PX,
    )


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


def _roomy(box: Box, told: Mapping[str, tuple[Look, str]], room: str) -> Box:
    if box.box_id not in told:
        return box
    room = room if box.count == 1 else _ROOM_FOR_MANY
    tone = f"s-{told[box.box_id][0].tone}"
    return structs.replace(box, notes=[*box.notes, room], marks=[*box.marks, tone])


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
