"""The life of a job: start, operators, completion, silence."""

import pytest

from mnedge.engine.apply import finish_of
from mnedge.model.facts import (
    Completion,
    LimitCrossed,
    Note,
    Noted,
    Recovered,
    Structured,
    Submitted,
    TimerFired,
)
from mnedge.model.states import JobStatus, Verb
from tests.engine.jobs import Play, agent, edge, failed, spec_of, succeeded, timers_set

WORKER = spec_of([agent("w", "executor")], seeds={"w": [{"n": 0}, {"n": 1}]})
DONE = succeeded(structured=Structured(completions=[Completion(scope="run", value="done")]))


def test_a_job_starts_in_its_order():
    play = Play(WORKER, started=False)
    assert play.state.status is JobStatus.PENDING
    play.give(Submitted(at=5.0, node="here"))
    assert play.types[:4] == ["job_pending", "job_validated", "job_scheduled", "job_running"]
    assert play.told("job_scheduled") == [{"node": "here"}]
    assert play.state.status is JobStatus.RUNNING
    play.give(Submitted(at=6.0))
    assert play.types.count("job_pending") == 1


def test_entrypoints_are_seeded_in_order():
    agents = [agent(name, "executor") for name in "abc"]
    play = Play(spec_of(agents, entrypoints=["c", "a"], seeds={"a": [{"x": 1}, {"x": 2}]}))
    assert [one.agent_id for one in play.launches] == ["c", "a"]
    message = play.launches[0].message
    assert (message.sender, message.to, message.type, message.class_) == (
        "runtime",
        "c",
        "init",
        "command",
    )
    assert message.body == {}


def test_a_seed_may_be_a_whole_message_but_goes_to_its_entrypoint():
    seed = {"envelope": {"type": "special", "to": "elsewhere", "message_id": "mine"}, "body": 5}
    play = Play(spec_of([agent("w", "executor")], seeds={"w": [seed]}))
    message = play.launches[0].message
    assert (message.type, message.to, message.message_id, message.body) == (
        "special",
        "w",
        "mine",
        5,
    )


@pytest.mark.parametrize("value,body", [([1, 2], [1, 2]), ("text", "text"), (None, None)])
def test_a_seed_that_is_no_object_is_a_body(value, body):
    play = Play(spec_of([agent("w", "executor")], seeds={"w": [value]}))
    assert play.launches[0].message.body == body


# ---- operators ----


def test_pause_and_resume():
    play = Play(WORKER)
    play.asked(Verb.PAUSE, by="ann", reason="lunch")
    assert play.state.status is JobStatus.PAUSED
    assert play.told("job_paused") == [{"by": "ann", "reason": "lunch"}]
    play.asked(Verb.PAUSE)
    assert len(play.told("job_paused")) == 1
    play.asked(Verb.RESUME)
    assert play.state.status is JobStatus.RUNNING
    play.asked(Verb.RESUME)
    assert len(play.told("job_resumed")) == 1


@pytest.mark.parametrize("paused", [False, True])
def test_cancel(paused):
    play = Play(WORKER)
    if paused:
        play.asked(Verb.PAUSE)
    play.asked(Verb.CANCEL)
    assert play.finished.status is JobStatus.CANCELLED
    assert play.finished.result == {"reason": "cancelled by operator"}
    assert play.told("job_cancelled") == [{"reason": "cancelled by operator"}]
    stopped = [c for c in play.commands if type(c).__name__ == "StopAttempt"]
    assert [one.attempt_id for one in stopped] == [play.launches[0].attempt_id]


def test_a_reason_given_for_a_cancel_is_kept():
    play = Play(WORKER)
    play.asked(Verb.CANCEL, reason="wrong input", by="ann")
    assert play.finished.result == {"reason": "wrong input"}
    assert play.told("job_cancelled") == [{"by": "ann", "reason": "wrong input"}]


def test_a_request_counts_once():
    play = Play(WORKER)
    play.asked(Verb.PAUSE, "one")
    play.asked(Verb.RESUME, "two")
    play.asked(Verb.PAUSE, "one")
    assert play.state.status is JobStatus.RUNNING
    for number in range(400):
        play.asked(Verb.PAUSE, f"p{number}")
    assert len(play.state.requests) == 256


def test_a_cancel_before_the_start_ends_the_job():
    play = Play(WORKER, started=False)
    play.asked(Verb.CANCEL)
    play.give(Submitted(at=5.0))
    assert play.types == ["job_cancelled"]


# ---- the end ----


def test_the_end_is_final():
    play = Play(WORKER)
    play.ended(outcome=DONE)
    before = len(play.events), len(play.commands)
    for verb in Verb:
        play.asked(verb)
    play.sent("w", 1)
    play.ended(play.launches[0])
    play.give(TimerFired(at=200.0, timer_id="idle"))
    play.give(LimitCrossed(at=200.0, limit="x", size_bytes=2, limit_bytes=1))
    assert (len(play.events), len(play.commands)) == before
    assert play.finished.result == {"agent_id": "w", "output": "done"}


def test_a_note_after_the_end_is_still_told():
    play = Play(WORKER)
    play.ended(outcome=DONE)
    play.give(Noted(at=200.0, notes=[Note(at=150, type="executor_lease_released", agent_id="w")]))
    assert play.events[-1].type == "executor_lease_released"
    assert play.events[-1].at == 150.0


def test_whoever_finds_the_job_over_finishes_it_again():
    play = Play(WORKER)
    assert finish_of(play.state) is None
    play.ended(outcome=DONE)
    assert finish_of(play.state) == play.finished
    play.commands.clear()
    play.reread()
    play.give(Recovered(at=300.0))
    assert play.finished == finish_of(play.state)
    assert play.commands == [play.finished]


@pytest.mark.parametrize("generation,ends", [("A", True), ("C", False)])
def test_a_completing_agent_of_a_service(generation, ends):
    spec = spec_of([agent("w", "executor")], job_type="service", generation=generation)
    play = Play(spec)
    play.ended(outcome=DONE)
    assert (play.state.status is JobStatus.COMPLETED) is ends
    told = play.told("service_agent_completed")
    assert told == ([] if ends else [{"agent_id": "w", "result": "done"}])


def test_crossing_a_limit_fails_the_job_by_name():
    play = Play(WORKER)
    play.give(LimitCrossed(at=101.0, limit="max_state_bytes", size_bytes=9, limit_bytes=5))
    assert play.finished.status is JobStatus.FAILED
    assert play.finished.error["code"] == "job.max_state_bytes"
    assert "takes 9 bytes, more than its max_state_bytes of 5" in play.finished.result["error"]


def test_a_state_that_grows_too_large_fails_the_job_by_name():
    play = Play(spec_of([agent("w", "executor")], policies={"max_state_bytes": 100_000}))
    for _ in range(10):
        play.sent("w", "x" * 20_000)
    assert play.finished.error["code"] == "job.max_state_bytes"
    assert play.state.status is JobStatus.FAILED


# ---- silence ----


def test_a_silent_job_completes_with_its_newest_output():
    play = Play(WORKER)
    play.ended(outcome=succeeded("one"))
    assert "idle" not in play.timers
    play.ended(outcome=succeeded("two"))
    assert play.timers == {"idle": 101.0}
    play.fired("idle")
    assert play.state.status is JobStatus.COMPLETED
    assert play.told("workflow_completion_inferred") == [{"agent_id": "w", "idle_s": 1.0}]
    assert play.finished.result["agent_id"] == "w"
    assert play.finished.result["output"]["sandbox"]["stdout"] == "two"


def test_new_work_ends_the_silence():
    play = Play(WORKER)
    play.ended()
    play.ended()
    play.sent("w", 1)
    assert [c.timer_id for c in play.commands if type(c).__name__ == "ClearTimer"] == ["idle"]
    play.give(TimerFired(at=101.0, timer_id="idle"))
    assert play.state.status is JobStatus.RUNNING
    play.at = 150.0
    play.ended()
    assert timers_set(play.steps[-1][0]) == {"idle": 151.0}


def test_silence_is_measured_from_its_beginning():
    play = Play(WORKER)
    play.ended()
    play.ended()
    play.at = 100.9
    play.give(Noted(at=100.9, notes=[]))
    assert play.timers == {"idle": 101.0}


def test_a_pause_is_no_silence():
    play = Play(WORKER)
    play.ended()
    play.ended()
    play.asked(Verb.PAUSE)
    assert play.timers == {}
    play.asked(Verb.RESUME)
    assert play.timers == {"idle": 101.0}


def test_a_service_is_never_silent():
    play = Play(spec_of([agent("s", "aggregator", complete_job=False)], job_type="service"))
    assert play.timers == {}


def test_a_job_of_routers_ends_with_what_the_last_one_passed_on():
    play = Play(spec_of([agent("a"), agent("b")], [edge("a", "b")], seeds={"a": [{"n": 7}]}))
    play.fired("idle")
    assert play.finished.result == {"agent_id": "b", "output": {"n": 7}}


def test_a_silent_job_without_output_completes_with_none():
    play = Play(spec_of([agent("w", "executor", output_message_type=None)]))
    play.ended()
    play.fired("idle")
    assert play.finished.result == {"agent_id": None, "output": None}


def test_the_idle_timer_is_set_again_after_a_crash():
    play = Play(WORKER)
    play.ended()
    play.ended()
    play.commands.clear()
    play.crashed()
    assert timers_set(play.commands) == {"idle": 101.0}


def test_a_failed_job_tells_where():
    play = Play(WORKER)
    play.ended(outcome=failed())
    assert play.types[-1] == "job_failed"
    assert play.told("job_failed")[0]["status_reason"] == "No luck"
