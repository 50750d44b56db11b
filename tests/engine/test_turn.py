"""One run's events are numbered, its moves checked, its timers kept."""

import pytest

from mnedge.engine.compile import compile_job
from mnedge.engine.state import Timer, new_state
from mnedge.engine.turn import Turn
from mnedge.model.message import normalise
from mnedge.model.states import JobStatus
from tests.engine.jobs import agent, spec_of


@pytest.fixture
def turn():
    job = compile_job(spec_of([agent("a")]))
    state = new_state(job, "j")
    state.event_seq = 41
    return Turn(job, state)


def test_events_are_numbered_on(turn):
    turn.tell("one")
    turn.tell("two", "a", {"x": 1}, step_id="s")
    assert [(event.seq, event.type) for event in turn.events] == [(42, "one"), (43, "two")]
    assert (turn.events[1].agent_id, turn.events[1].step_id) == ("a", "s")
    assert turn.next_seq == 44


def test_a_move_that_the_table_lacks_is_a_mistake(turn):
    turn.move(JobStatus.VALIDATED)
    with pytest.raises(ValueError, match="a job that is validated cannot become completed"):
        turn.move(JobStatus.COMPLETED)


def test_a_timer_is_set_moved_and_cleared(turn):
    message = normalise({"body": "x" * 100}, at=1.0, seed="s")
    turn.set_timer("t", Timer(5.0, "later", 0, message))
    assert turn.state.kept_bytes == message.weight_bytes
    turn.set_timer("t", Timer(9.0, "later", 0, message))
    assert [(type(c).__name__, c.due_at) for c in turn.commands] == [
        ("SetTimer", 5.0),
        ("SetTimer", 9.0),
    ]
    assert turn.state.kept_bytes == message.weight_bytes
    assert turn.clear_timer("t").due_at == 9.0
    assert turn.state.kept_bytes == 0
    assert turn.clear_timer("t") is None
    assert [type(c).__name__ for c in turn.commands[2:]] == ["ClearTimer"]


def test_a_fired_timer_needs_no_clearing(turn):
    turn.set_timer("t", Timer(5.0, "idle"))
    assert turn.clear_timer("t", tell=False) is not None
    assert len(turn.commands) == 1
