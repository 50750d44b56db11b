"""States as bytes: restored as they were, small, and refused when damaged."""

import gc
import tracemalloc

import pytest

from mnedge.engine.compile import compile_job
from mnedge.engine.state import AgentState, new_state, restore, snapshot
from mnedge.model.body import BlobRef, WideInt
from mnedge.model.codec import RecordUnreadableError
from mnedge.model.facts import Submitted
from tests.engine.jobs import Play, agent, edge, spec_of, succeeded


def busy():
    """A job with something in every corner of its state."""
    agents = [
        agent("r", emit_type="x", max_queue_depth=3),
        agent("w", "executor", max_queue_depth=1),
        agent("m", "module"),
        agent("g", "aggregator", complete_job=False, complete_on_message=True),
    ]
    edges = [edge("r", "w"), edge("r", "m"), edge("w", "g"), edge("g", "r")]
    play = Play(spec_of(agents, edges, seeds={"r": [{"n": n} for n in range(9)]}))
    play.ended(outcome=succeeded("x", sdk_result={"outputs": BlobRef("sha256:1", 99)}))
    play.sent("r", {"wide": WideInt(10**30)})
    play.answered(state={"deep": [BlobRef("sha256:2", 5, values={"a": 1})]})
    return play


def test_a_restored_state_is_the_same():
    play = busy()
    data = snapshot(play.state)
    again = restore(play.job, data)
    assert snapshot(again) == data
    assert again == play.state


def test_a_snapshot_repeats():
    assert snapshot(busy().state) == snapshot(busy().state)


@pytest.mark.parametrize("cut", [0, 1, 20, -1])
def test_a_damaged_snapshot_is_refused(cut):
    play = busy()
    with pytest.raises(RecordUnreadableError, match="no snapshot"):
        restore(play.job, snapshot(play.state)[:cut])


def test_a_snapshot_of_an_older_release_gets_defaults():
    """Structs only gain fields at their end: a shorter one is restored with the defaults."""
    job = compile_job(spec_of([agent("a")]))
    state = restore(job, b"\x92\xa3old\x91\x91\x05")
    assert state.job_id == "old"
    assert state.agents == [AgentState(alarm=75)]


def test_ten_thousand_agents_are_small():
    agents = [agent(f"a{n}", "executor" if n % 2 else "router") for n in range(10_000)]
    job = compile_job(spec_of(agents))
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    state = new_state(job, "j")
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert taken / 10_000 <= 1500
    assert len(snapshot(state)) / 10_000 <= 100


def test_the_size_is_near_the_snapshot():
    play = Play(spec_of([agent("w", "executor")], seeds={"w": [{"text": "x" * 1000}] * 90}))
    play.ended(outcome=succeeded("y" * 5000))
    for _ in range(20):
        play.sent("w", ["z" * 500] * 4)
    size = len(snapshot(play.state))
    assert 0.7 * size < play.state.size_bytes < 1.5 * size


def test_a_new_state_is_empty():
    job = compile_job(spec_of([agent("a")]))
    state = new_state(job, "j")
    assert (state.last_seq, state.event_seq, state.wants_more) == (0, 0, False)
    assert Submitted(at=1.0).at > state.at
