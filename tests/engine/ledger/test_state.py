"""A ledger as data."""

from mnedge.engine.ledger.state import Attempt, LedgerState, StepState
from mnedge.engine.state import restore, snapshot
from mnedge.model.states import AttemptStatus
from tests.engine.ledger.flows import Run, after, flow, step


def test_only_a_running_attempt_is_current():
    one = StepState(0, "a", 0)
    assert one.current is None
    one.attempts = [Attempt(1, 0, "m", "k", 0.0)]
    assert one.current is one.attempts[0]
    one.attempts[0].status = AttemptStatus.CHECKPOINTED
    assert one.current is None


def test_a_ledger_is_complete_when_nothing_is_unfinished():
    assert LedgerState().complete
    assert not LedgerState(unfinished=1).complete


def test_a_snapshot_holds_the_ledger():
    run = Run(flow([step("a", max_attempts=2), step("b")], [after("a", "b")]))
    run.fail("a")
    run.sent("b", {"early": True})
    again = restore(run.job, snapshot(run.state))
    assert again.ledger == run.state.ledger
    assert again == run.state
