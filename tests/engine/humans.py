"""Jobs that ask people, and what people say, for the tests of the engine."""

from typing import Any

from mnedge.engine import people
from mnedge.model.facts import HumanSaid
from mnedge.model.manifest import HumanControl
from mnedge.model.states import Verb
from tests.engine.jobs import Play, agent, edge, spec_of

REQUIRED = HumanControl(
    mode="approval_required", timeout_s=60.0, blocked_actions=["send"], prompt="May it go on?"
)


def answer(play, request_id, decision="approve", **more):
    by = more.pop("by", "ada")
    return play.asked(
        Verb.RESPOND, by=by, details={"request_id": request_id, "decision": decision, **more}
    )


def line(play, kind, line_id="", **payload):
    line_id = line_id or f"line-{len(play.records)}"
    return play.give(
        HumanSaid(at=play.at, line_id=line_id, type=kind, payload=payload, by="console")
    )


def waiting(play):
    return people.pending(play.job, play.state)


def ids(play):
    return [one["request_id"] for one in waiting(play)]


def event_types(play):
    return [name for name in play.types if name.startswith("human_")]


def gate(config: dict[str, Any] | None = None, human: HumanControl = REQUIRED, seeds=1, **more):
    """A gate, and one who takes whatever passes."""
    given = {"approval_mode": "approval_required", **(config or {})}
    agents = [agent("gate", **given), agent("next", "aggregator", complete_job=False)]
    bodies = [{"n": number} for number in range(seeds)]
    return Play(
        spec_of(agents, [edge("gate", "next")], seeds={"gate": bodies}, human=human, **more)
    )
