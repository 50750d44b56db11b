"""When everybody waits for everybody: mailboxes so full that a held message never gets its place.

The oldest such message passes the bound. A circle that makes more messages than it takes would grow
for ever so, hence a mailbox `MOST_BEYOND` its bound fails the job by name.
"""

from mnedge.engine.job import fail
from mnedge.engine.route import admit, tell_pressure
from mnedge.engine.state import Held
from mnedge.engine.turn import Turn

MOST_BEYOND = 10_000
"""Messages beyond a mailbox's bound."""


def break_deadlock(turn: Turn) -> bool:
    """Let the oldest held message that waits in vain pass the bound; say whether one did.

    To be asked when nobody can take a message.
    """
    if not turn.state.holds:
        return False
    # A look at all agents is worth some hops, so that one run of `apply` stays short.
    turn.hops += 1 + len(turn.state.agents) // 64
    found = _oldest_in_vain(turn)
    if found is None:
        return False
    target, held = found
    compiled, agent = turn.agent(target)
    if agent.depth >= compiled.bounds.most + MOST_BEYOND:
        _outgrown(turn, target)
        return False
    message = held.message
    payload = {
        "reason": "deadlock",
        "passed_bound": True,
        "from": message.sender,
        "to": message.to,
        "message_type": message.type,
        "message_id": message.message_id,
        "held_order": held.order,
    }
    turn.tell("backpressure_signal", message.sender, payload)
    admit(turn, agent)
    tell_pressure(turn, target)
    return True


def _outgrown(turn: Turn, target: int) -> None:
    compiled, agent = turn.agent(target)
    fail(
        turn,
        compiled.agent_id,
        f"{agent.depth} messages wait for {compiled.agent_id} in a circle of agents that makes more"
        " messages than it takes",
        component="engine",
        code="job.circle_outgrown",
    )


def _oldest_in_vain(turn: Turn) -> tuple[int, Held] | None:
    """Return the oldest held message whose target never takes one again, with that target."""
    stuck = _stuck(turn) if turn.state.flights else None
    oldest: tuple[int, Held] | None = None
    for target, agent in enumerate(turn.state.agents):
        if agent.held and (stuck is None or target in stuck):
            first = agent.held[0]
            if oldest is None or first.order < oldest[1].order:
                oldest = target, first
    return oldest


def _stuck(turn: Turn) -> dict[int, bool]:
    """Return the waited-for agents that never take a message again by themselves.

    An agent goes on if it has a flight (it ends one day), or if all that it holds waits for
    agents that go on.
    """
    agents = turn.state.agents
    waited_by: dict[int, list[int]] = {}
    needs: dict[int, int] = {}
    for target, agent in enumerate(agents):
        for item in agent.held or ():
            waited_by.setdefault(target, []).append(item.holder)
            needs[item.holder] = needs.get(item.holder, 0) + 1
    free = [target for target in waited_by if target not in needs]
    free += [holder for holder in needs if agents[holder].flight is not None]
    going: dict[int, bool] = {}
    while free:
        index = free.pop()
        if index in going:
            continue
        going[index] = True
        for holder in waited_by.get(index, ()):
            needs[holder] -= 1
            if needs[holder] == 0:
                free.append(holder)
    return {target: True for target in waited_by if target not in going}
