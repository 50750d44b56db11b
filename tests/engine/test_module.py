"""Module agents: calls with a versioned state, actions, delayed messages, recovery."""

import pytest

from mnedge.engine.state import PARKED, RESTARTING
from mnedge.model.facts import (
    Checkpoint,
    Complete,
    Completion,
    DeliverLater,
    Emission,
    Emit,
    ModuleAnswered,
    NamedEvent,
    Tell,
)
from mnedge.model.ids import derived_id
from mnedge.model.states import JobStatus, Verb
from tests.engine.jobs import Play, agent, edge, spec_of


def module(seeds=1, **more):
    agents = [
        agent("m", "module", module="python:x:Y"),
        agent("s", "aggregator", complete_job=False),
    ]
    bodies = [{"n": n} for n in range(seeds)]
    return spec_of(agents, [edge("m", "s", "out")], seeds={"m": bodies}, **more)


def test_the_first_call_starts_from_nothing():
    play = Play(module())
    (call,) = play.calls
    assert call.call_id == f"m:{call.message.message_id}"
    assert (call.launch, call.invocation, call.state_version, call.state) == (1, 1, 0, None)
    assert call.message.body == {"n": 0}


def test_every_answer_is_a_new_version_of_the_state():
    play = Play(module(3))
    for count in range(3):
        play.answered(state={"count": count})
    assert [one.state_version for one in play.calls] == [0, 1, 2]
    assert [one.state for one in play.calls] == [None, {"count": 0}, {"count": 1}]
    assert [one.invocation for one in play.calls] == [1, 2, 3]
    assert play.memory("m").version == 3
    assert play.state.agents[0].processed == 3


def test_actions_are_carried_out_in_order():
    play = Play(module())
    play.answered(
        actions=[
            Tell(event=NamedEvent(type="seen", payload={"x": 1})),
            Emit(emission=Emission(type="out", body=1)),
            Emit(emission=Emission(type="out", to="ghost")),
            Checkpoint(snapshot={"shown": True}),
            Complete(completion=Completion(scope="step", value={"done": 1})),
            Emit(emission=Emission(type="out", body=2)),
        ],
        state=1,
    )
    assert play.received("s") == [1, 2]
    names = [name for name in play.types if name in ("seen", "dead_letter")]
    assert names == ["seen", "dead_letter"]
    assert play.told("workflow_step_attempt_completed") == [{"done": 1}]
    assert play.memory("m").checkpoint == {"shown": True}
    call = play.calls[0].message.message_id
    found = [
        e.payload.message_id for e in play.events if e.agent_id == "s" and e.type[:6] == "agent_"
    ]
    assert found == [derived_id(f"{call}:m:s:{n}:m__out__s") for n in (1, 5)]


def test_after_completing_the_run_no_action_counts():
    play = Play(module())
    play.answered(
        actions=[
            Complete(completion=Completion(scope="run", value=7)),
            Tell(event=NamedEvent(type="late", payload={})),
        ]
    )
    assert play.finished.result == {"agent_id": "m", "output": 7}
    assert "late" not in play.types


def test_a_completion_by_default_has_the_incoming_body():
    play = Play(module())
    play.answered(actions=[Complete(completion=Completion(scope="run", default=True))])
    assert play.finished.result["output"] == {"n": 0}


# ---- messages to oneself, later ----


def test_a_delayed_message_comes_back_after_its_delay():
    play = Play(module())
    play.answered(actions=[DeliverLater(delay_s=2.5, type="tick", body={"token": 1})], state=1)
    ((timer_id, due_at),) = play.timers.items()
    assert timer_id.startswith("later:m:")
    assert due_at == 102.5
    play.fired(timer_id)
    call = play.calls[-1]
    assert (call.message.type, call.message.class_) == ("tick", "control")
    assert (call.message.sender, call.message.to, call.message.body) == ("m", "m", {"token": 1})
    assert call.message.at == 102.5
    assert call.message.causation_id == play.calls[0].message.message_id
    assert play.timers == {}


def test_a_job_with_a_delayed_message_is_not_silent():
    play = Play(module())
    play.answered(actions=[DeliverLater(delay_s=900.0, type="tick")])
    assert "idle" not in play.timers


def test_a_delayed_message_survives_a_crash_and_fires_once():
    play = Play(module())
    play.answered(actions=[DeliverLater(delay_s=5.0, type="tick")], state=1)
    (timer_id,) = play.timers
    play.commands.clear()
    play.crashed()
    assert [c.timer_id for c in play.commands if type(c).__name__ == "SetTimer"] == [timer_id]
    play.answered(state=1)
    play.fired(timer_id)
    before = len(play.calls)
    play.fired(timer_id)
    assert len(play.calls) == before


def test_a_delayed_message_that_comes_in_a_pause_waits():
    play = Play(module())
    play.answered(actions=[DeliverLater(delay_s=5.0, type="tick")])
    play.asked(Verb.PAUSE)
    play.fired(next(iter(play.timers)))
    assert len(play.calls) == 1
    play.asked(Verb.RESUME)
    assert play.calls[-1].message.type == "tick"


def test_a_negative_delay_is_none():
    play = Play(module())
    play.answered(actions=[DeliverLater(delay_s=-3.0, type="tick")])
    assert list(play.timers.values()) == [100.0]


# ---- errors and crashes ----


def test_a_returned_error_fails_the_job():
    play = Play(module())
    play.answered(error="bad input")
    assert play.finished.result == {"agent_id": "m", "error": "bad input"}


def test_with_a_declared_policy_a_returned_error_restarts_the_agent():
    play = Play(module(policies={"restart": {"attempts": 1, "delay_ms": 0}}))
    play.answered(error="bad input")
    assert play.state.status is JobStatus.RUNNING
    play.fired("restart:m")
    play.answered(error="bad input")
    assert play.finished.result["error"] == "agent m exceeded restart attempts (1)"


def test_a_crash_recovers_the_worker_and_replays_its_message():
    play = Play(module(2))
    play.answered(state={"count": 1})
    play.answered(crash="exit code 139")
    assert play.state.agents[0].flight.phase == RESTARTING
    assert play.memory("m").last_error == "exit code 139"
    play.fired("restart:m")
    recovery = play.calls[-1]
    assert recovery.message is None
    assert (recovery.state_version, recovery.state) == (1, {"count": 1})
    assert "agent_recovered" not in play.types
    play.answered(state={"count": 1, "recovered": True})
    assert play.told("agent_recovered") == [{"agent_id": "m", "attempt": 1}]
    again = play.calls[-1]
    assert again.message.body == {"n": 1}
    assert (again.launch, again.state_version) == (2, 2)
    assert again.state == {"count": 1, "recovered": True}
    play.answered(state=3)
    assert play.state.agents[0].processed == 2


def test_a_crash_before_any_answer_replays_without_recovery():
    play = Play(module())
    play.answered(crash="boom")
    play.fired("restart:m")
    assert play.calls[-1].message.body == {"n": 0}
    assert play.told("agent_recovered") == [{"agent_id": "m", "attempt": 1}]


def test_a_crash_during_recovery_is_another_crash():
    play = Play(module(2))
    play.answered(state=1)
    play.answered(crash="boom")
    play.fired("restart:m")
    play.answered(crash="boom again")
    play.fired("restart:m")
    ids = [one.call_id for one in play.calls if one.message is None]
    assert ids == ["m:recovery:1", "m:recovery:2"]
    play.answered(state=2)
    play.answered(state=3)
    assert play.state.agents[0].processed == 2


def test_a_new_owner_lets_every_worker_with_a_state_recover():
    agents = [agent(name, "module") for name in ("busy", "idle", "new")]
    play = Play(spec_of(agents, entrypoints=["busy", "idle"], seeds={"busy": [{}, {}]}))
    for call in list(play.calls):
        play.answered(call, state=call.agent_id)
    play.crashed()
    recoveries = play.calls[-2:]
    assert [(one.agent_id, one.message) for one in recoveries] == [("busy", None), ("idle", None)]
    play.answered(recoveries[1], state="idle")
    assert len(play.calls) == 5
    play.answered(recoveries[0], state="busy")
    assert play.calls[-1].agent_id == "busy"
    assert play.calls[-1].message is not None
    assert play.calls[-1].launch == 2
    assert play.state.agents[1].flight is None


def test_the_actions_of_a_recovery_answer_a_recovery_message():
    play = Play(module())
    play.answered(state=1)
    play.crashed()
    play.answered(actions=[Emit(emission=Emission(type="out", body="back"))], state=2)
    assert play.received("s") == ["back"]
    (message,) = [e.payload for e in play.events if e.agent_id == "s" and e.type[:6] == "agent_"]
    recovery_id = derived_id("trial-1:recovery:m:1", size_bytes=10)
    assert message.causation_id == recovery_id
    assert message.class_ == "control"


def test_a_recovery_waits_for_the_end_of_a_pause():
    play = Play(module())
    play.answered(state=1)
    play.asked(Verb.PAUSE)
    play.crashed()
    assert play.state.agents[0].flight.phase == PARKED
    assert len(play.calls) == 1
    play.asked(Verb.RESUME)
    assert play.calls[-1].message is None


@pytest.mark.parametrize("call_id,launch", [("m:other", 1), ("nobody:x", 1), ("", 1), (None, 7)])
def test_a_stale_answer_changes_nothing(call_id, launch):
    play = Play(module())
    call_id = play.calls[0].call_id if call_id is None else call_id
    events = play.give(ModuleAnswered(at=1.0, call_id=call_id, launch=launch, state=9))
    assert events == []
    assert play.memory("m") is None or play.memory("m").version == 0
    assert play.state.flights == 1
