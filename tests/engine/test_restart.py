"""Crashed agents come back by policy; some only after a person has looked."""

import pytest

from mnedge.engine.state import PARKED, RESTARTING
from mnedge.model.facts import Outcome
from mnedge.model.states import JobStatus, OutcomeStatus, Verb
from tests.engine.jobs import Play, agent, edge, failed, spec_of, succeeded

STOPPED = Outcome(status=OutcomeStatus.STOPPED)
POLICY = {
    "attempts": 2,
    "delay_ms": 100,
    "delay_function": "constant",
    "interval_ms": 60_000,
    "mode": "fail",
}


def worker(restart=None, **more):
    policies = more.pop("policies", {}) | ({} if restart is None else {"restart": restart})
    return spec_of([agent("w", "executor")], policies=policies, **more)


def test_a_crash_schedules_a_restart_with_backoff():
    play = Play(worker())
    play.ended(outcome=STOPPED)
    assert play.state.agents[0].flight.phase == RESTARTING
    assert play.timers == {"restart:w": 101.0}
    (told,) = play.told("agent_restart_scheduled")
    assert (told["agent_id"], told["attempt"], told["delay_ms"]) == ("w", 1, 1000)
    assert (told["job_type"], told["next_eligible_at"]) == ("batch", 101.0)
    assert told["restart_policy"]["attempts"] == 3
    play.fired("restart:w")
    assert [one.launch for one in play.launches] == [1, 2]
    assert play.launches[0].attempt_id == play.launches[1].attempt_id
    assert play.told("agent_recovery_started") == [{"agent_id": "w", "attempt": 1}]
    assert play.told("agent_recovered") == [{"agent_id": "w", "attempt": 1}]
    play.ended(outcome=STOPPED)
    assert play.timers == {"restart:w": 103.0}


def test_used_up_attempts_fail_the_job():
    play = Play(worker())
    for _ in range(3):
        play.ended(outcome=STOPPED)
        play.fired("restart:w")
    play.ended(outcome=STOPPED)
    assert play.state.status is JobStatus.FAILED
    text = "agent w exceeded restart attempts (3)"
    assert play.finished.result == {"agent_id": "job_coordinator", "error": text}
    assert play.finished.error["code"] == "runtime.agent.restarts_exhausted"
    assert play.finished.error["details"]["cause"] == "the attempt was stopped from outside"


def test_the_window_slides():
    play = Play(worker(POLICY))
    for _ in range(6):
        play.at += 40
        play.ended(outcome=STOPPED)
        play.fired("restart:w")
    assert play.state.status is JobStatus.RUNNING
    assert [one["attempt"] for one in play.told("agent_restart_scheduled")] == [1, 2, 2, 2, 2, 2]
    assert len(play.state.agents[0].restarts) == 2


def test_a_service_waits_until_the_window_frees():
    play = Play(worker({**POLICY, "mode": "delay"}, job_type="service"))
    for _ in range(2):
        play.ended(outcome=STOPPED)
        play.fired("restart:w")
    play.ended(outcome=STOPPED)
    (told,) = play.told("agent_restart_deferred")
    assert told["retry_at"] == pytest.approx(160.1)
    assert told["exhausted_reason"] == "agent w exceeded restart attempts (2)"
    assert play.timers == {"restart:w": pytest.approx(160.1)}
    play.fired("restart:w")
    assert play.launches[-1].launch == 4
    assert play.state.status is JobStatus.RUNNING


def test_with_a_declared_policy_a_returned_error_is_restarted_too():
    play = Play(worker(POLICY))
    play.ended(outcome=failed())
    assert play.state.status is JobStatus.RUNNING
    assert play.told("agent_restart_scheduled")[0]["reason"] == "no luck"
    play.fired("restart:w")
    play.ended(outcome=succeeded())
    assert play.memory("w").last_error is None
    assert play.state.agents[0].processed == 1


def test_a_policy_of_no_attempts_fails_with_the_error_itself():
    play = Play(worker({"attempts": 0}))
    play.ended(outcome=failed())
    assert play.finished.result == {"agent_id": "w", "error": "no luck"}


def test_a_fallback_comes_before_a_restart():
    one = agent("w", "executor", failure_message_type="sorry")
    play = Play(spec_of([one], policies={"restart": POLICY}))
    play.ended(outcome=failed())
    assert "executor_fallback_dispatched" in play.types
    assert play.timers.keys() == {"idle"}


def test_messages_wait_for_the_restarted_agent():
    play = Play(worker())
    play.ended(outcome=STOPPED)
    play.sent("w", {"n": 1})
    assert play.state.agents[0].depth == 1
    play.fired("restart:w")
    play.ended()
    assert play.launches[-1].message.body == {"n": 1}


def test_a_restart_that_comes_due_in_a_pause_waits_for_the_resume():
    play = Play(worker())
    play.ended(outcome=STOPPED)
    play.asked(Verb.PAUSE)
    play.fired("restart:w")
    assert [one.launch for one in play.launches] == [1]
    play.asked(Verb.RESUME)
    assert [one.launch for one in play.launches] == [1, 2]
    assert len(play.state.agents[0].restarts) == 1


# ---- what a person has to look at ----


def test_manual_recovery_parks_a_crashed_agent_until_the_resume():
    play = Play(worker(policies={"recovery_mode": "manual_recover"}))
    play.ended(outcome=STOPPED)
    assert play.state.status is JobStatus.PAUSED
    assert play.state.agents[0].flight.phase == PARKED
    assert play.state.review == "the attempt was stopped from outside"
    assert play.told("job_paused_for_manual_restart")[0]["agent_id"] == "w"
    play.asked(Verb.RESUME)
    assert play.state.review is None
    assert [one.launch for one in play.launches] == [1, 2]


@pytest.mark.parametrize(
    "config,policies",
    [({}, {"recovery_mode": "manual_recover"}), ({"side_effect": "write"}, {})],
)
def test_a_launch_cut_by_a_crash_may_need_a_review(config, policies):
    agents = [agent("w", "executor", **config), agent("safe", "executor", side_effect="read")]
    play = Play(spec_of(agents, policies=policies))
    play.crashed()
    assert play.state.status is JobStatus.PAUSED
    assert play.state.review == "a launch was cut by a crash"
    assert len(play.launches) == 1
    play.crashed()
    assert len(play.launches) == 1
    play.asked(Verb.RESUME)
    assert [one.launch for one in play.launches] == [1, 2]
    play.ended()
    assert play.state.agents[0].processed == 1


def test_without_a_launch_under_way_manual_recovery_goes_on():
    play = Play(worker(policies={"recovery_mode": "manual_recover"}))
    play.ended()
    play.crashed()
    assert play.state.status is JobStatus.RUNNING


def test_edges_of_a_parked_job_still_fill():
    agents = [agent("w", "executor", side_effect="write"), agent("r")]
    play = Play(spec_of(agents, [edge("r", "w")]))
    play.crashed()
    play.sent("r", {"n": 1})
    assert play.received("r") == []
    play.asked(Verb.RESUME)
    assert play.received("r") == [{"n": 1}]
