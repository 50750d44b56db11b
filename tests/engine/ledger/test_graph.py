"""What steps know of their parents."""

from mnedge.engine.ledger.graph import add_edge, add_step, remove_edge, remove_step
from mnedge.engine.ledger.state import StepEdgeState, StepState
from mnedge.engine.turn import Turn
from tests.engine.ledger.flows import Run, after, flow, step


def grown() -> tuple[Run, Turn]:
    run = Run(flow([step("a"), step("b")], [after("a", "b")]))
    return run, Turn(run.job, run.state)


def test_a_new_edge_counts_what_its_source_has_come_to_already():
    run, turn = grown()
    run.finish("a")
    add_step(turn, StepState(0, "late", 1))
    late = run.step("late")
    assert late.number == 2
    number = add_edge(turn, StepEdgeState("a_to_late", 0, 2, ["done"]))
    assert (late.ended, late.accepted, late.succeeded, late.failed) == (1, 1, 1, 0)
    assert list(turn.touched) == [2]
    remove_edge(turn, number)
    assert (late.ended, late.accepted, late.succeeded, late.failed) == (0, 0, 0, 0)
    assert run.state.ledger.edge_of == {"a_to_b": 0}


def test_an_edge_that_was_let_go_counts_as_satisfied():
    run, turn = grown()
    add_step(turn, StepState(0, "late", 1))
    add_edge(turn, StepEdgeState("x", 0, 2, ["done"], drives=True, checkpoint_revision=1))
    late = run.step("late")
    assert (late.ended, late.accepted, late.succeeded, late.driven) == (1, 1, 1, 1)
    run.finish("a")
    assert (late.ended, late.accepted, late.succeeded) == (1, 1, 1)


def test_steps_weigh_and_are_counted():
    run, turn = grown()
    before, unfinished = run.state.kept_bytes, run.state.ledger.unfinished
    add_step(turn, StepState(0, "late", 1))
    assert run.state.ledger.unfinished == unfinished + 1
    assert run.state.kept_bytes > before
    remove_step(turn, 2)
    assert (run.state.kept_bytes, run.state.ledger.unfinished) == (before, unfinished)
    assert "late" not in run.state.ledger.step_of
