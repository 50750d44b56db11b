"""Steps made ready to run."""

from mnedge.engine.compile import compile_job
from mnedge.model.manifest import Workflow
from tests.engine.jobs import agent, edge, spec_of
from tests.engine.ledger.flows import after, flow, step


def test_an_agent_belongs_to_the_first_step_that_claims_it():
    spec = flow(
        [step("a", agent_ids=["x", "y"]), step("b", agent_ids=["y", "z"])], [after("a", "b")]
    )
    ledger = compile_job(spec).ledger
    assert ledger is not None
    assert ledger.step_of_agent == {0: 0, 1: 0, 2: 1}
    assert ledger.definitions[1].agents == (1, 2)
    assert ledger.definitions[0].primary == 0
    assert not ledger.definitions[0].is_alone


def test_names_that_are_no_agents_have_no_effect():
    spec = flow(
        [step("a", agent_ids=["a", "ghost"])], [], agents=[agent("a", "executor")], sink=None
    )
    ledger = compile_job(spec).ledger
    assert ledger is not None
    assert ledger.definitions[0].agents == (0,)


def test_steps_that_do_not_control_make_no_ledger():
    steps = [step("load")]
    assert compile_job(spec_of([agent("x")])).ledger is None
    decorative = Workflow(steps=steps, edges=[], controlling=False)
    assert compile_job(spec_of([agent("x")], workflow=decorative)).ledger is None


def test_messages_reach_through_agents_of_no_step_and_stop_at_the_next_step():
    agents = [agent(name, "executor") for name in ("a", "b", "c")] + [agent("r1"), agent("r2")]
    edges = [edge("a", "r1"), edge("r1", "r2"), edge("r2", "r1"), edge("r2", "b"), edge("b", "c")]
    spec = spec_of(
        agents,
        edges,
        workflow=Workflow(steps=[step("a"), step("b"), step("c")], edges=[]),
    )
    ledger = compile_job(spec).ledger
    assert ledger is not None
    assert ledger.feeds(0, 1)
    assert ledger.feeds(1, 2)
    assert not ledger.feeds(0, 2)
    assert not ledger.feeds(2, 0)


def test_a_sink_inside_a_step_is_no_sink_of_the_run():
    assert compile_job(flow([step("a")], [])).ledger.has_sink
    inside = flow([step("a"), step("end", agent_ids=["sink"])], [after("a", "end")])
    assert not compile_job(inside).ledger.has_sink
