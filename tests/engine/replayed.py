"""What every played job must be able to do: replay to the same, from any cut."""

from mnedge.engine.apply import apply
from mnedge.engine.state import new_state, restore, snapshot
from mnedge.model.codec import decode_fact
from tests.engine.histories import sound
from tests.engine.jobs import JOB_ID, Play


def replays(play: Play) -> None:
    """Replay the journal whole, and once with a snapshot before every fact; all must agree."""
    whole, cut = new_state(play.job, JOB_ID), new_state(play.job, JOB_ID)
    for number, (record, step) in enumerate(zip(play.records, play.steps, strict=True), 1):
        cut = restore(play.job, snapshot(cut))
        for state in (whole, cut):
            assert apply(play.job, state, decode_fact(record), number) == step
        assert apply(play.job, cut, decode_fact(record), number) == ([], [])
    assert snapshot(whole) == snapshot(cut) == snapshot(play.state)
    if play.state.ledger is None:
        sound(play)
