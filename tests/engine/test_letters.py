"""Dead letters: kept, delivered again, forgotten; and what they mean to steps."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mnedge.engine import route
from mnedge.engine.compile import compile_job
from mnedge.engine.ledger import gate
from mnedge.engine.letters import EVERY, dead_letters
from mnedge.engine.state import new_state
from mnedge.model.facts import Emission, MessageArrived, Structured, Submitted
from mnedge.model.message import iso_ms, normalise, wire
from mnedge.model.states import JobStatus, StepStatus, Verb
from tests.engine import histories
from tests.engine.jobs import JOB_ID, Play, agent, edge, spec_of, succeeded
from tests.engine.ledger.flows import Run, after, flow, step
from tests.engine.replayed import replays


def letters(play):
    return dead_letters(play.state)


def ids(play):
    return [letter["message_id"] for letter in letters(play)]


def lost(count=1, **more):
    """A job some of whose messages went to agents that it does not have."""
    play = Play(spec_of([agent("a", "aggregator", complete_job=False)], **more))
    for number in range(count):
        play.sent("ghost", {"n": number}, message_id=f"m{number}")
    return play


def circling():
    """A job in whose circle of routers a message goes round too often."""
    agents = [agent("a"), agent("b"), agent("x", "aggregator", complete_job=False)]
    return Play(spec_of(agents, [edge("a", "b"), edge("b", "a")], seeds={"x": [{}]}))


def redrive(play, message_id, **more):
    return play.asked(Verb.REDRIVE, details={"message_id": message_id}, **more)


def discard(play, message_id):
    return play.asked(Verb.DISCARD, details={"message_id": message_id})


# ---- kept ----


def test_a_message_for_nobody_is_kept():
    play = lost()
    [fact] = [event.payload["message"] for event in play.events if event.type == "dead_letter"]
    assert letters(play) == [
        {
            "message_id": "m0",
            "reason": "agent ghost is not part of the job",
            "at": iso_ms(100),
            "agent_id": "ghost",
            "step_id": None,
            "message": wire(fact, JOB_ID),
        }
    ]
    play.crashed()
    assert ids(play) == ["m0"]
    replays(play)


def test_a_message_with_too_many_hops_is_kept(monkeypatch):
    histories.short_runs(monkeypatch)
    play = circling()
    play.sent("a", {"n": 1})
    play.drained()
    (letter,) = letters(play)
    assert letter["reason"] == "more than 25 hops"
    replays(play)


def test_only_so_many_are_kept(monkeypatch):
    monkeypatch.setattr(route, "LETTERS_KEPT", 3)
    play = lost(5)
    assert ids(play) == ["m2", "m3", "m4"]
    assert play.told("dead_letter_dropped") == [
        {
            "message_id": f"m{number}",
            "agent_id": "ghost",
            "reason": "agent ghost is not part of the job",
            "kept": 3,
        }
        for number in (0, 1)
    ]
    replays(play)


def test_they_weigh_until_they_are_gone():
    play = lost(0)
    before = play.state.kept_bytes
    play.sent("ghost", {"n": 0}, message_id="m0")
    assert play.state.kept_bytes > before + 300
    discard(play, "m0")
    assert play.state.kept_bytes == before


def test_a_job_of_an_older_revision_keeps_none():
    """What was recorded before letters were kept replays as it was."""
    play = lost(0)
    job = compile_job(play.job.spec, revision=1)
    play.job, play.state = job, new_state(job, JOB_ID)
    play.records.clear()
    play.give(Submitted(at=100.0))
    before = play.state.kept_bytes
    play.sent("ghost", {})
    assert "dead_letter" in play.types
    assert (letters(play), play.state.kept_bytes) == ([], before)


# ---- delivered again, forgotten ----


def test_one_is_delivered_again_under_a_new_id(monkeypatch):
    histories.short_runs(monkeypatch)
    play = circling()
    play.sent("a", {"n": 1})
    play.drained()
    (letter,) = letters(play)
    redrive(play, letter["message_id"])
    (told,) = play.told("dead_letter_redriven")
    assert told["message_id"] == letter["message_id"]
    play.drained()
    (again,) = letters(play)  # it goes round as often again
    assert again["message_id"] not in (letter["message_id"], told["new_message_id"])
    taken = [e.payload for e in play.events if e.type == "agent_message_received"]
    (first,) = [one for one in taken if one.message_id == told["new_message_id"]]
    assert (first.body, first.hops, first.attempt) == ({"n": 1}, 0, 2)
    replays(play)


def test_one_whose_agent_does_not_exist_stays():
    play = lost()
    redrive(play, "m0")
    assert play.told("dead_letter_redrive_failed") == [
        {
            "message_id": "m0",
            "agent_id": "ghost",
            "reason": "agent ghost is not part of the job",
        }
    ]
    assert ids(play) == ["m0"]
    replays(play)


def test_one_is_forgotten():
    play = lost(2)
    discard(play, "m0")
    assert play.told("dead_letter_discarded") == [
        {
            "message_id": "m0",
            "agent_id": "ghost",
            "reason": "agent ghost is not part of the job",
        }
    ]
    assert ids(play) == ["m1"]
    replays(play)


@pytest.mark.parametrize("verb", [Verb.REDRIVE, Verb.DISCARD])
@pytest.mark.parametrize("details", [{"message_id": "m9"}, {}, {"message_id": 4}])
def test_one_that_is_not_there_is_told_of(verb, details):
    play = lost()
    play.asked(verb, details=details)
    assert play.told("dead_letter_unknown") == [{"message_id": details.get("message_id")}]
    assert ids(play) == ["m0"]


def test_all_of_them(monkeypatch):
    monkeypatch.setattr(gate, "WAITING_AT_MOST", 1)
    run = blocked(4)
    assert len(ids(run)) == 3
    run.sent("ghost", {})
    monkeypatch.setattr(gate, "WAITING_AT_MOST", 100)
    redrive(run, EVERY)
    assert len(run.step("b").waiting) == 4
    assert len(run.told("dead_letter_redriven")) == 3
    assert [letter["agent_id"] for letter in letters(run)] == ["ghost"]
    discard(run, EVERY)
    assert letters(run) == []
    assert redrive(run, EVERY) == []


def test_the_same_operator_request_counts_once():
    play = lost(2)
    play.asked(Verb.DISCARD, "the-same", details={"message_id": "m0"})
    play.asked(Verb.DISCARD, "the-same", details={"message_id": "m1"})
    assert ids(play) == ["m1"]


def test_in_a_pause_it_waits_in_the_mailbox(monkeypatch):
    histories.short_runs(monkeypatch)
    play = circling()
    play.sent("a", {"n": 1})
    play.drained()
    play.asked(Verb.PAUSE)
    before = len(play.received("a"))
    redrive(play, EVERY)
    assert len(play.received("a")) == before
    play.asked(Verb.RESUME)
    play.drained()
    assert len(play.received("a")) > before
    replays(play)


def test_a_job_that_is_over_delivers_nothing():
    play = lost()
    play.asked(Verb.CANCEL)
    assert redrive(play, "m0") == []
    assert ids(play) == ["m0"]  # they can still be looked at


# ---- of steps ----


def blocked(count):
    """A step whose messages come before its time."""
    run = Run(flow([step("a"), step("b"), step("c")], [after("a", "b"), after("b", "c")]))
    for number in range(count):
        run.sent("b", {"n": number})
    return run


def test_a_message_too_many_for_a_step_fails_nothing(monkeypatch):
    monkeypatch.setattr(gate, "WAITING_AT_MOST", 2)
    run = blocked(3)
    (letter,) = letters(run)
    assert letter["step_id"] == "b"
    (told,) = run.told("workflow_message_dead_lettered")
    assert (told["message_id"], told["step_id"]) == (letter["message_id"], "b")
    assert told["reason"] == letter["reason"] == "more than 2 messages wait for a step"
    assert run.step("b").status is StepStatus.BLOCKED
    assert run.view["messages"][letter["message_id"]]["status"] == "failed"
    run.finish_all()
    assert run.state.status is JobStatus.COMPLETED
    replays(run)


def looping(**more):
    """A step in which two routers send each other a message for ever."""
    agents = [agent("a"), agent("b"), agent("c", "executor")]
    messages = [edge("a", "b"), edge("b", "a"), edge("a", "c")]
    steps = [step("s", agent_ids=["a", "b", "c"], **more), step("t")]
    agents.append(agent("t", "executor"))
    return Run(flow(steps, [after("s", "t", "done", "partial")], agents=agents,
                    messages=messages, sink=None))  # fmt: skip


def test_an_attempt_that_lost_one_of_its_own_messages_fails(monkeypatch):
    histories.short_runs(monkeypatch)
    run = looping(max_attempts=2, retry_backoff_ms=0)
    run.drained()
    (again,) = run.told("workflow_step_attempt_retry_scheduled")
    assert again["reason"] == "workflow message delivery failed: more than 25 hops"
    (failure,) = run.told("job_failed")
    assert failure["step_id"] == "s"
    assert len(run.told("workflow_message_dead_lettered")) == 2
    order = [name for name in run.types if "dead_letter" in name or name.endswith("scheduled")]
    first = order.index("workflow_message_dead_lettered")
    assert order[first - 1] == "dead_letter"
    assert order[first + 1] == "workflow_step_attempt_retry_scheduled"
    replays(run)


def test_the_failure_policy_of_its_step_applies(monkeypatch):
    histories.short_runs(monkeypatch)
    run = looping(policy="continue_partial")
    run.drained()
    assert run.step("s").status is StepStatus.PARTIAL
    run.fired("idle")
    run.finish_all()
    assert run.step("t").status is StepStatus.COMPLETED
    replays(run)


def test_a_letter_of_a_step_that_is_over_fails_nothing(monkeypatch):
    monkeypatch.setattr(route, "MAX_HOPS_OF_MESSAGE", 0)
    run = Run(flow([step("a"), step("b")], [after("a", "b")], messages=[]))
    run.finish("a")
    message = normalise({"envelope": {"to": "a"}, "body": {}}, at=run.at, seed="late")
    run.give(MessageArrived(at=run.at, message=replace(message, hops=1)))
    assert letters(run)[0]["step_id"] == "a"
    assert run.told("workflow_message_dead_lettered") == []


def test_what_goes_to_nobody_belongs_to_no_step():
    run = Run(flow([step("a"), step("b")], [after("a", "b")]))
    emissions = [Emission(type="x", to="ghost", body={})]
    run.finish("a", succeeded(structured=Structured(emissions=emissions)))
    (letter,) = letters(run)
    assert (letter["agent_id"], letter["step_id"]) == ("ghost", None)
    assert run.told("workflow_message_dead_lettered") == []
    assert run.step("a").status is StepStatus.COMPLETED


def test_a_letter_for_a_step_is_delivered_to_it_again(monkeypatch):
    monkeypatch.setattr(gate, "WAITING_AT_MOST", 1)
    run = blocked(2)
    (letter,) = letters(run)
    monkeypatch.setattr(gate, "WAITING_AT_MOST", 100)
    redrive(run, letter["message_id"])
    assert letters(run) == []
    assert len(run.step("b").waiting) == 2
    run.finish_all()
    assert len(run.received("b")) >= 1
    assert run.state.status is JobStatus.COMPLETED


def test_it_comes_back_to_the_step_it_was_for(monkeypatch):
    monkeypatch.setattr(gate, "WAITING_AT_MOST", 0)
    steps = [step("a"), step("one", agent_ids=["w"]), step("two", agent_ids=["w"])]
    run = Run(flow(steps, [after("a", "one"), after("one", "two")], messages=[], sink=None))
    envelope = {"envelope": {"to": "w"}, "headers": {"mn.workflow.step_id": "two"}, "body": {}}
    run.give(MessageArrived(at=run.at, message=normalise(envelope, at=run.at, seed="m")))
    assert letters(run)[0]["step_id"] == "two"
    monkeypatch.setattr(gate, "WAITING_AT_MOST", 9)
    redrive(run, EVERY)
    assert len(run.step("two").waiting) == 1
    assert run.step("one").waiting is None


def test_a_message_that_was_not_taken_fails_no_attempt(monkeypatch):
    monkeypatch.setattr(route, "MAX_HOPS_OF_MESSAGE", 0)
    run = Run(flow([step("a"), step("b")], [after("a", "b")], messages=[]))
    message = normalise({"envelope": {"to": "a"}, "body": {}}, at=run.at, seed="more")
    run.give(MessageArrived(at=run.at, message=replace(message, hops=1)))
    assert len(run.told("workflow_message_dead_lettered")) == 1
    assert run.step("a").status is StepStatus.RUNNING
    replays(run)


# ---- whatever comes ----


@given(st.data())
@settings(max_examples=60)
def test_letters_are_neither_lost_nor_doubled(data):
    play = lost(data.draw(st.integers(0, 4)))
    for _ in range(data.draw(st.integers(1, 8))):
        known = [*ids(play), EVERY, "nobody", None]
        match data.draw(st.sampled_from(["redrive", "discard", "send", "crash", "pause"])):
            case "redrive":
                redrive(play, data.draw(st.sampled_from(known)))
            case "discard":
                discard(play, data.draw(st.sampled_from(known)))
            case "send":
                play.sent(data.draw(st.sampled_from(["ghost", "a"])), {})
            case "pause":
                play.asked(data.draw(st.sampled_from([Verb.PAUSE, Verb.RESUME])))
            case _:
                play.crashed()
    dead = [one["message_id"] for one in play.told("dead_letter")]
    gone = [one["message_id"] for one in play.told("dead_letter_discarded")]
    assert ids(play) == [one for one in dead if one not in gone]
    assert len(set(gone)) == len(gone)
    replays(play)
