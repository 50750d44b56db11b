"""Circles of full mailboxes go on, with an event, and never grow without end."""

from mnedge.engine.deadlock import MOST_BEYOND
from mnedge.model.facts import Emission, Structured
from mnedge.model.states import JobStatus, Verb
from tests.engine.jobs import Play, agent, edge, spec_of, succeeded


def test_an_agent_that_waits_for_itself_passes_its_own_bound():
    """Three outputs to itself with a mailbox of one: the worker could never free its own place."""
    play = Play(spec_of([agent("w", "executor", max_queue_depth=1, output_message_type=None)]))
    more = [Emission(type="again", to="w", body={"n": n}) for n in range(3)]
    play.ended(outcome=succeeded(structured=Structured(emissions=more)))
    assert [one["reason"] for one in play.told("backpressure_signal")] == ["deadlock", "deadlock"]
    for _ in range(3):
        play.ended()
    assert [one.message.body for one in play.launches] == [{}, *({"n": n} for n in range(3))]


def test_two_who_wait_for_each_other_go_on():
    """Each answers every message with two for the other: the mailboxes can only grow."""
    config = {"emit_type": "x", "max_queue_depth": 2}
    agents = [agent("a", **config), agent("b", **config)]
    edges = [edge("a", "b", "x", edge_id=f"{n}") for n in range(2)]
    edges += [edge("b", "a", "x", edge_id=f"{n + 2}") for n in range(2)]
    play = Play(spec_of(agents, edges))
    assert play.state.wants_more
    assert play.told("backpressure_signal")
    assert all(one["passed_bound"] for one in play.told("backpressure_signal"))
    orders = [one["held_order"] for one in play.told("backpressure_signal")]
    assert orders == sorted(orders)
    play.asked(Verb.CANCEL)
    assert play.state.status is JobStatus.CANCELLED


def test_whoever_waits_for_a_busy_agent_is_not_deadlocked():
    agents = [agent("a", emit_type="x"), agent("w", "executor", max_queue_depth=1)]
    play = Play(spec_of(agents, [edge("a", "w", "x")]))
    for _ in range(5):
        play.sent("a")
    assert not play.told("backpressure_signal")
    assert play.state.holds == 1


def test_a_circle_is_freed_while_somebody_else_is_busy():
    """One worker is out for an hour; two routers elsewhere wait for each other all the same."""
    config = {"emit_type": "x", "max_queue_depth": 1}
    agents = [agent("w", "executor"), agent("a", **config), agent("b", **config)]
    edges = [edge("a", "b", "x", edge_id=f"{n}") for n in range(2)]
    edges += [edge("b", "a", "x", edge_id=f"{n + 2}") for n in range(2)]
    play = Play(spec_of(agents, edges))
    play.sent("a")
    assert play.told("backpressure_signal")
    assert play.state.flights == 1


def test_a_circle_that_only_grows_fails_the_job_by_name():
    """Three routers, each sending every message to both others."""
    agents = [agent(name, emit_type="x") for name in "abc"]
    pairs = [(one, two) for one in "abc" for two in "abc" if one != two]
    play = Play(spec_of(agents, [edge(one, two, "x") for one, two in pairs]))
    play.drained()
    assert play.state.status is JobStatus.FAILED
    assert play.finished.error["code"] == "job.circle_outgrown"
    assert max(one.depth for one in play.state.agents) == 100 + MOST_BEYOND


def test_every_run_of_a_growing_circle_is_short():
    names = [f"r{n}" for n in range(200)]
    edges = [edge(one, two, "x") for one, two in zip(names, names[1:] + names[:1], strict=True)]
    edges += [edge(one, two, "x") for one, two in zip(names, names[2:] + names[:2], strict=True)]
    play = Play(spec_of([agent(name, emit_type="x", max_queue_depth=1) for name in names], edges))
    for _ in range(5):
        before = play.types.count("agent_message_received")
        assert play.state.wants_more
        play.asked(Verb.PAUSE)
        play.asked(Verb.RESUME)
        assert play.types.count("agent_message_received") - before <= 10_000
