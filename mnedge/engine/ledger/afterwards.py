"""What follows once a message or an answer is dealt with, and not sooner.

While an agent's actions are being carried out its step must stay in the graph, whatever becomes
of it; so fan-outs are retired, and rounds of child workflows closed, after the last of them.
"""

from mnedge.engine.ledger import children, fanout
from mnedge.engine.ledger.definition import NO_STEP
from mnedge.engine.ledger.settle import reconsider
from mnedge.engine.turn import Turn
from mnedge.model.states import TERMINAL


def follow_up(turn: Turn) -> None:
    """See to all that hangs on steps that have ended, or begun to wait, since the last time."""
    turn.step = NO_STEP
    while turn.ended and turn.state.status not in TERMINAL:
        number = next(iter(turn.ended))
        del turn.ended[number]
        step = turn.ledger.steps.get(number)
        if step is not None:
            fanout.follow(turn, step)
            children.follow(turn, step)
        if not turn.ended:
            reconsider(turn)
