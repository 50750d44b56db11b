"""Executors: one message at a time, launches, outcomes, the order of actions."""

import pytest

from mnedge.engine.executor import INPUT_LEVELS
from mnedge.engine.state import PARKED, RUNNING, STARTING
from mnedge.model.body import BlobRef
from mnedge.model.facts import AttemptEnded, Completion, Emission, NamedEvent, Outcome, Structured
from mnedge.model.ids import derived_id
from mnedge.model.states import JobStatus, OutcomeStatus, Verb
from tests.engine.jobs import Play, agent, edge, failed, spec_of, succeeded


def worker(seeds=1, **config):
    """A worker `w` whose outputs an aggregator `s` keeps."""
    agents = [agent("w", "executor", **config), agent("s", "aggregator", complete_job=False)]
    bodies = [{"n": n} for n in range(seeds)]
    return spec_of(agents, [edge("w", "s")], seeds={"w": bodies})


def test_a_launch_says_all_that_a_worker_needs():
    play = Play(worker())
    (launch,) = play.launches
    assert launch.attempt_id == f"w:{launch.message.message_id}"
    assert (launch.launch, launch.agent_id, launch.invocation) == (1, "w", 1)
    assert launch.agent_state == {}
    assert launch.idempotency_key == f"trial-1:{launch.attempt_id}"
    assert launch.message.body == {"n": 0}
    assert launch.workflow == {}


def test_messages_go_out_one_at_a_time_in_order():
    play = Play(worker(3))
    assert len(play.launches) == 1
    play.ended()
    assert len(play.launches) == 2
    play.ended()
    play.ended()
    assert [one.message.body["n"] for one in play.launches] == [0, 1, 2]
    assert [one.invocation for one in play.launches] == [1, 2, 3]
    assert play.state.agents[0].processed == 3
    assert play.state.flights == 0


def test_workers_of_different_agents_run_at_once():
    agents = [agent("r"), *(agent(f"w{n}", "executor") for n in range(5))]
    play = Play(spec_of(agents, [edge("r", f"w{n}") for n in range(5)]))
    assert len(play.launches) == 5


# ---- success ----


def test_the_output_carries_sandbox_and_input():
    play = Play(worker())
    play.ended(outcome=succeeded("hello"))
    (body,) = play.received("s")
    assert body["agent_id"] == "w"
    assert body["sandbox"]["stdout"] == "hello"
    assert body["input"] == {"n": 0}
    (message,) = [e.payload for e in play.events if e.agent_id == "s" and e.type[:6] == "agent_"]
    assert (message.type, message.class_) == ("executor_result", "event")
    assert message.headers == {
        "schema_ref": "com.mirrorneuron.executor.result",
        "schema_version": "1.0.0",
    }


def test_an_sdk_step_result_is_added_at_the_top():
    sdk = {"outputs": {"x": 1}, "artifacts": [], "metrics": {}, "status": "ok", "run_id": "r"}
    play = Play(worker())
    play.ended(outcome=succeeded("{}", sdk_result={**sdk, "agent_id": "liar", "other": 1}))
    (body,) = play.received("s")
    assert body.items() >= sdk.items()
    assert body["agent_id"] == "w"
    assert "other" not in body
    assert {"sandbox", "input"} <= body.keys()


@pytest.mark.parametrize("config", [{"output_message_type": None}, {"output_message_type": ""}])
def test_without_a_type_there_is_no_emission(config):
    play = Play(worker(**config))
    play.ended()
    assert play.received("s") == []
    assert play.state.last_body is None


def test_nested_inputs_are_cut_and_lose_copies_of_stdout():
    """Workers in a circle: every output carries its input, which carries its own, and so on."""
    play = Play(spec_of([agent("w", "executor")], [edge("w", "w")]))
    noisy = succeeded("out")
    noisy.result.update(logs="out", raw_output="out and more")
    for _ in range(12):
        play.ended(outcome=noisy)
    body, levels = play.launches[-1].message.body, 0
    assert body["sandbox"]["logs"] == "out"
    while body["input"] is not None:
        body, levels = body["input"], levels + 1
        assert "logs" not in body["sandbox"]
        assert body["sandbox"]["raw_output"] == "out and more"
    assert levels == INPUT_LEVELS


def test_a_short_chain_of_inputs_is_whole():
    names = ["w1", "w2", "w3"]
    edges = [edge("w1", "w2"), edge("w2", "w3")]
    play = Play(
        spec_of([agent(name, "executor") for name in names], edges, seeds={"w1": [{"n": 1}]})
    )
    for _ in names:
        play.ended()
    assert play.state.last_body["input"]["input"]["input"] == {"n": 1}


def test_actions_come_in_their_order():
    structured = Structured(
        events=[NamedEvent(type="first", payload={"x": 1}), NamedEvent(type="second", payload={})],
        completions=[Completion(scope="step", default=True)],
        emissions=[Emission(type="late", body=1), Emission(type="later", to="s", body=2)],
        has_next_state=True,
        next_state={"count": 1},
    )
    play = Play(worker(2))
    before = len(play.events)
    play.ended(outcome=succeeded(structured=structured))
    types = [event.type for event in play.events[before:]]
    assert types[:4] == [
        "sandbox_job_completed",
        "first",
        "second",
        "workflow_step_attempt_completed",
    ]
    bodies = play.received("s")
    assert [body if isinstance(body, int) else body["agent_id"] for body in bodies] == ["w", 1, 2]
    assert play.told("sandbox_job_completed") == [
        {
            "sandbox_name": "box",
            "exit_code": 0,
            "attempts": 1,
            "lease_id": "lease-1",
            "pool": "default",
        }
    ]
    assert play.launches[-1].agent_state == {"count": 1}


def test_every_action_has_ids_of_its_own():
    emissions = [Emission(type="again", to="s", body=1) for _ in range(3)]
    play = Play(worker())
    play.ended(outcome=succeeded(structured=Structured(emissions=emissions)))
    found = [e.payload.message_id for e in play.events if e.type == "agent_message_received"]
    assert len(found) == len(set(found)) == 5


def test_after_a_completion_nothing_is_sent():
    structured = Structured(
        completions=[Completion(scope="run", value="done")],
        emissions=[Emission(type="late", to="ghost")],
    )
    play = Play(worker())
    play.ended(outcome=succeeded(structured=structured))
    assert play.state.status is JobStatus.COMPLETED
    assert play.finished.result == {"agent_id": "w", "output": "done"}
    assert "dead_letter" not in play.types
    assert play.received("s") == []


@pytest.mark.parametrize(
    "config", [{"complete_job": True}, {"terminal_sink": True, "complete_run": True}]
)
def test_a_configured_completion_has_the_output(config):
    play = Play(worker(**config))
    play.ended(outcome=succeeded("x"))
    assert play.finished.status is JobStatus.COMPLETED
    assert play.finished.result["agent_id"] == "w"
    assert play.finished.result["output"]["sandbox"]["stdout"] == "x"


def test_the_state_of_the_worker_stays_until_it_gives_another():
    play = Play(worker(4))
    play.ended(outcome=succeeded(structured=Structured(has_next_state=True, next_state=[1])))
    play.ended()
    play.ended(outcome=succeeded(structured=Structured(has_next_state=True, next_state=None)))
    assert [one.agent_state for one in play.launches] == [{}, [1], [1], {}]
    assert play.memory("w").runs == 3


# ---- answers that do not count ----


def test_a_stale_answer_changes_nothing():
    play = Play(worker(2))
    first = play.launches[0]
    play.crashed()
    before = len(play.events)
    play.ended(first)
    assert play.events[before:] == []
    assert play.state.flights == 1
    play.ended(play.launches[-1])
    before = len(play.events)
    play.ended(play.launches[0])
    play.give(AttemptEnded(at=1.0, attempt_id="nobody:1", launch=1, outcome=succeeded()))
    play.give(AttemptEnded(at=1.0, attempt_id="", launch=1, outcome=succeeded()))
    assert play.events[before:] == []


def test_the_state_does_not_change_by_answers_that_do_not_count():
    play = Play(worker(2))
    launch = play.launches[0]
    play.ended(launch)
    before = (play.state.agents[0].processed, play.memory("w").runs, play.state.flights)
    play.ended(launch)
    assert (play.state.agents[0].processed, play.memory("w").runs, play.state.flights) == before


def test_agents_may_have_colons_in_their_names():
    names = ["a", "a:b", "a:b:c"]
    play = Play(spec_of([agent(name, "executor") for name in names], entrypoints=names, seeds={}))
    for launch in list(play.launches):
        play.ended(launch)
    assert [
        event.agent_id for event in play.events if event.type == "sandbox_job_completed"
    ] == names


def test_a_message_id_from_outside_cannot_harm_the_attempts_name():
    play = Play(spec_of([agent("w", "executor"), agent("v", "executor")]))
    play.sent("v", message_id="../../etc\0x")
    assert play.launches[-1].message.message_id == "../../etc\0x"
    assert (
        play.launches[-1].attempt_id == f"v:{derived_id('../../etc' + chr(0) + 'x', size_bytes=10)}"
    )
    play.ended()
    assert play.state.agents[1].processed == 1


# ---- failure ----


def test_a_failure_fails_the_job_at_once():
    play = Play(worker(2))
    error = {
        "error": "no luck",
        "exit_code": 3,
        "stdout": BlobRef("sha256:1", 70_000),
        "attempts": 2,
    }
    play.ended(outcome=failed(error))
    assert play.state.status is JobStatus.FAILED
    assert play.finished.result == {"agent_id": "w", "error": "no luck"}
    assert play.finished.error["schema_version"] == "mn.error.v1"
    assert play.finished.error["details"]["agent_id"] == "w"
    assert play.finished.error["details"]["attempt"] == 2
    (told,) = play.told("job_failed")
    assert (told["agent_id"], told["reason"]) == ("w", "no luck")
    assert told["error"]["event_id"] == play.finished.error["event_id"]
    assert play.memory("w").last_error == "no luck"


@pytest.mark.parametrize(
    "outcome,text",
    [
        (Outcome(status=OutcomeStatus.FAILED), "Failure"),
        (Outcome(status=OutcomeStatus.FAILED, result={"exit_code": 23}), "exit code 23"),
        (failed({"error": "host local command timed out"}), "host local command timed out"),
    ],
)
def test_every_failure_has_a_text(outcome, text):
    play = Play(worker())
    play.ended(outcome=outcome)
    assert play.finished.result["error"] == text


def test_other_attempts_are_stopped_when_the_job_ends():
    names = ["w1", "w2", "w3"]
    play = Play(spec_of([agent(name, "executor") for name in names], entrypoints=names, seeds={}))
    play.ended(play.launches[1], failed())
    stopped = [one.attempt_id for one in play.commands if type(one).__name__ == "StopAttempt"]
    assert stopped == [play.launches[0].attempt_id, play.launches[2].attempt_id]
    assert type(play.commands[-1]).__name__ == "FinishJob"


def test_a_failure_may_become_a_message():
    play = Play(worker(2, failure_message_type="sorry"))
    play.ended(outcome=failed())
    assert play.state.status is JobStatus.RUNNING
    (body,) = play.received("s")
    assert body["outputs"]["fallback_used"] is True
    assert body["outputs"]["failed_agent_id"] == "w"
    assert (body["agent_id"], body["status"], body["artifacts"]) == ("w", "failed", [])
    assert play.told("executor_fallback_dispatched")[0]["error"]["error"] == "no luck"
    assert len(play.launches) == 2


# ---- startup delay, pause ----


def test_the_first_launch_waits_for_its_startup_delay():
    play = Play(worker(2, startup_delay_ms=250))
    assert play.launches == []
    assert play.state.agents[0].flight.phase == STARTING
    assert play.timers == {"startup:w": 100.25}
    play.crashed()
    assert play.launches == []
    play.fired("startup:w")
    assert len(play.launches) == 1
    play.ended()
    assert len(play.launches) == 2


def test_a_startup_delay_that_ends_in_a_pause_waits_for_the_resume():
    play = Play(worker(startup_delay_ms=250))
    play.asked(Verb.PAUSE)
    play.fired("startup:w")
    assert play.launches == []
    assert play.state.agents[0].flight.phase == PARKED
    play.asked(Verb.RESUME)
    assert [one.launch for one in play.launches] == [1]
    assert play.state.agents[0].flight.phase == RUNNING


def test_an_attempt_ends_during_a_pause_and_the_next_waits():
    play = Play(worker(2))
    play.asked(Verb.PAUSE)
    play.ended()
    assert play.told("sandbox_job_completed")
    assert play.received("s") == []
    assert len(play.launches) == 1
    play.asked(Verb.RESUME)
    assert len(play.received("s")) == 1
    assert len(play.launches) == 2


def test_an_attempt_may_complete_the_job_during_a_pause():
    play = Play(worker(complete_job=True))
    play.asked(Verb.PAUSE)
    play.ended()
    assert play.state.status is JobStatus.COMPLETED
