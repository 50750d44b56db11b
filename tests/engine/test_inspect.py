"""What people see of an agent."""

import msgspec
import pytest

from mnedge.engine.inspect import agent_views, state_root
from mnedge.model.body import BlobRef
from mnedge.model.facts import Checkpoint, Structured
from mnedge.model.states import Verb
from tests.engine.jobs import Play, agent, edge, failed, spec_of, succeeded


def views(play):
    return {view.agent_id: view for view in agent_views(play.job, play.state)}


def test_every_kind_shows_its_own_state():
    agents = [
        agent("r", emit_type="x"),
        agent("n", "sensor"),
        agent("w", "executor"),
        agent("m", "module", module="python:a:B"),
        agent("g", "aggregator", complete_job=False, complete_after=9),
    ]
    play = Play(spec_of(agents, [edge("r", "n"), edge("r", "w"), edge("r", "m"), edge("r", "g")]))
    state = {"n": 1}
    play.ended(outcome=succeeded("hi", Structured(has_next_state=True, next_state=state)))
    play.answered(actions=[Checkpoint(snapshot={"shown": 1})], state=BlobRef("sha256:1", 99))
    shown = {name: view.current_state for name, view in views(play).items()}
    assert shown["r"] == {"node_id": "r", "forwarded": 1, "config": {"emit_type": "x"}}
    assert shown["n"]["count"] == 1
    assert shown["w"]["runs"] == 1
    assert shown["w"]["agent_state"] == state
    assert shown["w"]["last_result"]["stdout"] == "hi"
    assert shown["m"]["delegate"] == "python:a:B"
    assert shown["m"]["delegate_state"]["sha256"] == "1"
    assert shown["m"]["shown"] == 1
    assert shown["g"]["messages"] == [{}]
    assert (shown["g"]["complete_after"], shown["g"]["complete_on_message"]) == (9, False)
    assert msgspec.json.encode(agent_views(play.job, play.state))


def test_the_status_of_a_worker():
    play = Play(
        spec_of([agent("w", "executor", failure_message_type="sorry")], seeds={"w": [1, 2, 3]})
    )
    one = views(play)["w"]
    assert (one.status, one.launch, one.mailbox_depth) == ("running", 1, 2)
    assert one.inflight_message["message_id"] == play.launches[0].message.message_id
    play.asked(Verb.PAUSE)
    assert views(play)["w"].status == "paused"
    play.ended()
    play.asked(Verb.RESUME)
    play.ended(outcome=failed())
    play.ended(outcome=failed())
    assert views(play)["w"].status == "error"
    assert views(play)["w"].last_error == "no luck"


@pytest.mark.parametrize("delay_ms,status", [(0, "running"), (500, "restarting")])
def test_a_worker_before_its_first_launch(delay_ms, status):
    play = Play(spec_of([agent("w", "executor", startup_delay_ms=delay_ms)]))
    assert views(play)["w"].status == status


def test_those_who_wait_are_counted():
    agents = [agent("a", emit_type="x"), agent("w", "executor", max_queue_depth=1)]
    play = Play(spec_of(agents, [edge("a", "w", "x")]))
    for number in range(4):
        play.sent("a", number)
    one, two = views(play)["a"], views(play)["w"]
    assert (one.status, one.holding, one.mailbox_depth) == ("queued", 1, 2)
    assert (two.held_for_it, two.mailbox_depth, two.pressure) == (1, 1, "saturated")


def test_long_lists_are_cut():
    play = Play(spec_of([agent("g", "aggregator", complete_job=False)], seeds={"g": [1] * 150}))
    shown = views(play)["g"].current_state["messages"]
    assert len(shown) == 101
    assert shown[-1] == {"truncated": True, "items": 50}


def test_the_state_of_a_module_is_its_delegates():
    play = Play(spec_of([agent("m", "module")]))
    play.answered(state={"x": 1})
    compiled, one = play.job.agents[0], play.state.agents[0]
    assert state_root(compiled, one, "state") == {"x": 1}
    assert state_root(compiled, one, "agent_state")["delegate_state"] == {"x": 1}
