"""People: asked at gates and by workers, heard once, held to what is allowed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnedge.engine.compile import compile_job
from mnedge.engine.state import new_state
from mnedge.model.facts import (
    Completion,
    NamedEvent,
    Outcome,
    Structured,
    Submitted,
    Tell,
    TimerFired,
    WorkerSaid,
)
from mnedge.model.manifest import HumanControl
from mnedge.model.message import iso_ms
from mnedge.model.states import JobStatus, StepStatus, Verb
from tests.engine.humans import REQUIRED, answer, event_types, gate, ids, line, waiting
from tests.engine.jobs import JOB_ID, Play, agent, edge, failed, spec_of, succeeded
from tests.engine.ledger.flows import Run, after, flow, step
from tests.engine.replayed import replays

# ---- timeouts ----


@pytest.mark.parametrize("default,passed", [("reject", []), ("approve", [0])])
def test_nobody_answers_in_time(default, passed):
    play = gate({"default_action": default})
    play.fired("human:gate-1")
    assert play.at == 160.0
    (late,) = play.told("human_input_timeout")
    assert (late["request_id"], late["default_action"]) == ("gate-1", default)
    assert play.told("human_decision_applied") == [
        {
            "request_id": "gate-1",
            "decision": default,
            "approved": default == "approve",
            "source": "timeout",
            "by": "",
        }
    ]
    assert [body["n"] for body in play.received("next")] == passed
    answer(play, "gate-1")
    assert play.told("human_input_rejected")[0]["reason"] == "already answered"
    replays(play)


def test_a_timer_that_is_not_set_any_more_changes_nothing():
    play = gate()
    answer(play, "gate-1")
    assert play.give(TimerFired(at=161.0, timer_id="human:gate-1")) == []


def test_nobody_is_late_while_the_job_is_paused():
    play = gate(seeds=2)
    play.at = 120.0
    play.asked(Verb.PAUSE)
    assert play.timers == {}
    play.crashed()
    play.at = 500.0
    assert play.give(TimerFired(at=500.0, timer_id="human:gate-1")) == []
    answer(play, "gate-2")  # somebody may answer all the same
    assert play.received("next") == []
    play.asked(Verb.RESUME)
    assert [body["n"] for body in play.received("next")] == [1]
    assert play.timers == {"human:gate-1": 540.0}
    assert waiting(play)[0]["due_at"] == iso_ms(540)
    play.fired("human:gate-1")
    assert len(play.told("human_input_timeout")) == 1
    replays(play)


def test_what_is_asked_in_a_pause_has_its_whole_time_afterwards():
    play = asking(agent("a", "executor"))
    line(play, "human_notice", text="hello")
    play.asked(Verb.PAUSE)
    play.at = 110.0
    play.ended(outcome=says(request("r1")))
    assert play.timers == {}
    play.at = 200.0
    play.asked(Verb.RESUME)
    assert play.timers == {"human:r1": 260.0}
    replays(play)


def test_a_cancelled_job_asks_nobody():
    play = gate()
    play.asked(Verb.CANCEL)
    assert (waiting(play), play.timers) == ([], {})
    assert answer(play, "gate-1") == []
    replays(play)


def test_a_new_owner_sets_the_timers_again():
    play = gate()
    play.commands.clear()
    play.crashed()
    assert [one.timer_id for one in play.commands] == ["human:gate-1"]
    assert ids(play) == ["gate-1"]


def test_a_job_that_waits_for_a_person_is_not_idle():
    play = gate(human=HumanControl())
    assert play.timers == {}
    answer(play, "gate-1", "reject")
    assert list(play.timers) == ["idle"]
    play.fired("idle")
    assert play.state.status is JobStatus.COMPLETED


# ---- answers ----


@pytest.mark.parametrize(
    "details,reason,allowed",
    [
        ({"request_id": "gate-1", "decision": "maybe"}, "the decision is not allowed", True),
        ({"request_id": "gate-1"}, "the decision is not allowed", True),
        ({"request_id": "gate-1", "decision": ["approve"]}, "the decision is not allowed", True),
        ({"request_id": "gate-9", "decision": "approve"}, "no such request", False),
        ({"request_id": 4, "decision": "approve"}, "no such request", False),
        ({}, "no such request", False),
    ],
)
def test_an_answer_that_does_not_fit_changes_nothing(details, reason, allowed):
    play = gate()
    play.asked(Verb.RESPOND, details=details)
    assert play.told("human_input_rejected") == [
        {
            "request_id": details.get("request_id"),
            "decision": details.get("decision"),
            "allowed_decisions": ["approve", "reject"] if allowed else [],
            "reason": reason,
        }
    ]
    assert ids(play) == ["gate-1"]
    assert play.received("next") == []
    replays(play)


def test_a_second_answer_changes_nothing():
    play = gate()
    answer(play, "gate-1")
    answer(play, "gate-1", "reject")
    line(play, "human_input_received", request_id="gate-1", decision="reject")
    reasons = [one["reason"] for one in play.told("human_input_rejected")]
    assert reasons == ["already answered", "already answered"]
    assert len(play.received("next")) == 1
    assert len(play.told("human_decision_applied")) == 1


def test_the_same_operator_request_counts_once():
    play = gate(seeds=2)
    for number in (1, 2):
        details = {"request_id": f"gate-{number}", "decision": "approve"}
        play.asked(Verb.RESPOND, "the-same", details=details)
    assert ids(play) == ["gate-2"]


def test_a_person_may_answer_in_the_file():
    play = gate()
    line(play, "human_input_received", "l1", request_id="gate-1", decision="approve", note="ok")
    assert [body["n"] for body in play.received("next")] == [0]
    (received,) = play.told("human_input_received")
    assert (received["by"], received["note"]) == ("console", "ok")
    assert play.told("human_decision_applied")[0]["by"] == "console"
    assert line(play, "human_input_received", "l1", request_id="gate-1", decision="approve") == []
    play.crashed()
    assert line(play, "human_input_received", "l1", request_id="gate-1", decision="approve") == []
    replays(play)


def test_a_tool_may_say_only_that_it_is_approved():
    play = gate()
    line(play, "human_input_received", request_id="gate-1", approved=True, submitted_at="then")
    (received,) = play.told("human_input_received")
    assert (received["decision"], received["submitted_at"]) == ("approve", "then")
    assert len(play.received("next")) == 1


def test_approved_follows_from_the_decision():
    play = gate()
    line(play, "human_input_received", request_id="gate-1", decision="reject", approved=True)
    assert play.told("human_input_received")[0]["approved"] is False
    assert play.told("human_decision_applied")[0]["approved"] is False
    assert play.received("next") == []


def test_the_reason_of_an_operator_is_a_comment():
    play = gate()
    details = {"request_id": "gate-1", "decision": "approve"}
    play.asked(Verb.RESPOND, reason="looks good", details=details)
    assert play.told("human_decision_applied")[0]["comment"] == "looks good"


@pytest.mark.parametrize("kind", ["human_notice", "human_notice_acknowledged", "human_thing"])
def test_other_lines_are_shown_once(kind):
    play = gate()
    line(play, kind, "l1", text="hello")
    line(play, kind, "l1", text="hello")
    assert play.told(kind) == [{"text": "hello", "by": "console"}]


@pytest.mark.parametrize("kind", ["human_input_timeout", "human_decision_applied"])
def test_a_gate_hears_nothing_but_answers(kind):
    play = gate()
    line(play, kind, request_id="gate-1", decision="approve")
    assert play.told("human_input_rejected")[0]["reason"] == "this is no answer"
    assert play.told(kind) == []
    assert ids(play) == ["gate-1"]


# ---- workers ----


def request(request_id=None, **payload):
    given = {} if request_id is None else {"request_id": request_id}
    return NamedEvent(type="human_input_requested", payload={**given, **payload})


def says(*events, **more) -> Outcome:
    return succeeded(structured=Structured(events=list(events), **more))


def asking(worker, human=REQUIRED) -> Play:
    return Play(spec_of([worker, agent("x", "aggregator", complete_job=False)], human=human))


def test_a_worker_that_asks_gets_the_decision_as_a_message():
    play = asking(agent("a", "executor"))
    play.ended(outcome=says(request("r1", prompt="Sure?", allowed_decisions=["yes", "no"],
                                    timeout_seconds=9, extra=1)))  # fmt: skip
    (asked,) = play.told("human_input_requested")
    assert asked == {
        "request_id": "r1",
        "prompt": "Sure?",
        "allowed_decisions": ["yes", "no"],
        "timeout_seconds": 9,
        "extra": 1,
        "status": "pending",
        "default_action": "reject",
        "blocked_actions": ["send"],
        "agent_id": "a",
        "step_id": None,
    }
    assert play.timers == {"human:r1": 109.0}
    answer(play, "r1", "yes")
    launch = play.launches[-1]
    assert (launch.message.type, launch.message.class_) == ("human_decision", "command")
    assert launch.message.body == {
        "request_id": "r1",
        "decision": "yes",
        "approved": False,
        "source": "human",
        "by": "ada",
    }
    assert launch.message.correlation_id == play.launches[0].message.correlation_id
    replays(play)


def test_a_module_that_asks_gets_it_too():
    play = asking(agent("m", "module"))
    play.answered(actions=[Tell(event=request())])
    assert ids(play) == ["m-1"]
    play.crashed()
    play.answered(play.calls[-1])  # it recovered
    play.fired("human:m-1")
    assert play.calls[-1].message.type == "human_decision"
    assert play.calls[-1].message.body["source"] == "timeout"
    replays(play)


@pytest.mark.parametrize("mode", ["disabled", "notice_only"])
def test_where_nobody_is_to_be_asked_it_is_only_shown(mode):
    play = asking(agent("a", "executor"), HumanControl(mode=mode))
    play.give(live(play, request("r0")))
    play.ended(outcome=says(request("r1", x=1)))
    line(play, "human_input_requested", request_id="r2")
    shown = [one["request_id"] for one in play.told("human_input_requested")]
    assert shown == ["r0", "r1", "r2"]
    told = play.told("human_input_requested")
    assert told[1] == {"request_id": "r1", "x": 1, "status": mode}
    assert told[2]["status"] == mode
    assert waiting(play) == []
    replays(play)


def test_a_job_of_an_older_revision_shows_what_was_said_as_it_was():
    play = asking(agent("a", "executor"), HumanControl())
    job = compile_job(play.job.spec, revision=1)
    play.job, play.state = job, new_state(job, JOB_ID)
    play.records.clear()
    play.give(Submitted(at=100.0))
    play.ended(outcome=says(request("r1", x=1)))
    assert play.told("human_input_requested") == [{"request_id": "r1", "x": 1}]


def test_ids_may_be_used_again_once_answered():
    play = asking(agent("m", "module"))
    for decision in ("approve", "reject"):
        play.answered(actions=[Tell(event=request("again"))])
        answer(play, "again", decision)
    bodies = [call.message.body["decision"] for call in play.calls[1:]]
    assert bodies == ["approve", "reject"]
    assert len({call.call_id for call in play.calls}) == 3
    replays(play)


def test_two_cannot_wait_under_one_id():
    agents = [agent("a", "executor"), agent("b", "executor")]
    play = Play(spec_of(agents, entrypoints=["a", "b"], seeds={}, human=REQUIRED))
    first, second = play.launches
    play.ended(first, says(request("r")))
    play.ended(second, says(request("r")))
    assert ids(play) == ["r"]
    assert play.told("human_input_rejected")[0]["reason"] == "another request with this id waits"


def test_a_worker_that_settles_it_itself_asks_nobody():
    play = asking(agent("a", "executor"))
    received = NamedEvent(type="human_input_received", payload={"request_id": "r", "decision": "x"})
    applied = NamedEvent(type="human_decision_applied", payload={"request_id": "r"})
    play.ended(outcome=says(request("r"), received, applied))
    assert waiting(play) == []
    assert event_types(play) == [
        "human_input_requested",
        "human_input_received",
        "human_decision_applied",
    ]
    assert len(play.launches) == 1
    replays(play)


def test_a_worker_settles_no_other_workers_request():
    agents = [agent("a", "executor"), agent("b", "executor")]
    play = Play(spec_of(agents, entrypoints=["a", "b"], seeds={}, human=REQUIRED))
    first, second = play.launches
    play.ended(first, says(request("r")))
    play.ended(second, says(NamedEvent(type="human_decision_applied", payload={"request_id": "r"})))
    assert ids(play) == ["r"]


def test_a_worker_cannot_open_a_gate():
    agents = [agent("fork"), agent("gate", approval_mode="x"), agent("a", "executor"), agent("z")]
    edges = [edge("fork", "gate"), edge("fork", "a"), edge("gate", "z")]
    play = Play(spec_of(agents, edges, human=REQUIRED))
    payload = {"request_id": "gate-1", "decision": "approve"}
    play.ended(outcome=says(NamedEvent(type="human_input_received", payload=payload)))
    assert ids(play) == ["gate-1"]
    assert play.received("z") == []


def live(play, event, launch=None):
    launch = launch or play.launches[-1]
    return WorkerSaid(at=play.at, work_id=launch.attempt_id, launch=launch.launch, event=event)


def test_a_worker_at_work_reads_the_answer_itself():
    play = asking(agent("a", "executor"))
    play.give(live(play, request("r")))
    assert ids(play) == ["r"]
    play.crashed()
    play.give(live(play, request("r")))  # the next launch asks again
    assert len(play.told("human_input_requested")) == 1
    assert "human_input_rejected" not in play.types
    answer(play, "r")
    assert play.told("human_decision_applied")[0]["approved"] is True
    assert len(play.launches) == 2
    play.ended()
    assert play.received("a") == [{}]  # nothing was delivered
    replays(play)


@pytest.mark.parametrize("outcome", [succeeded(), failed()])
def test_what_a_worker_asked_and_no_longer_waits_for_is_withdrawn(outcome):
    play = asking(agent("a", "executor", failure_message_type="sorry"))
    play.give(live(play, request("r")))
    play.ended(outcome=outcome)
    assert waiting(play) == []
    assert play.told("human_decision_applied")[0]["source"] == "withdrawn"
    assert "human:r" not in play.timers
    replays(play)


def test_a_line_of_a_launch_that_is_over_changes_nothing():
    play = asking(agent("a", "executor"))
    said = live(play, request("r"))
    play.ended()
    assert play.give(said) == []


def test_somebody_may_ask_in_the_file_and_settle_it_there():
    play = asking(agent("a", "executor"))
    line(play, "human_input_requested", request_id="f1", agent_id="a", prompt="?")
    assert waiting(play)[0]["agent_id"] == "a"
    line(play, "human_input_requested", request_id="f2")
    assert ids(play) == ["f1", "f2"]
    line(play, "human_input_timeout", request_id="f1")
    assert ids(play) == ["f2"]
    answer(play, "f2")
    assert play.told("human_decision_applied")[-1]["request_id"] == "f2"
    assert len(play.launches) == 1
    replays(play)


def test_a_request_inside_a_step_is_answered_in_its_attempt():
    steps = [step("a"), step("b")]
    agents = [
        agent("a", "executor", workflow_complete_step=False, output_message_type=None),
        agent("b", "executor", output_message_type="b_done"),
    ]
    run = Run(flow(steps, [after("a", "b")], agents=agents, messages=[], human=REQUIRED))
    run.finish("a", says(request("r")))
    assert run.step("a").current.deadline_at is None
    run.at = 150.0
    answer(run, "r")
    launch = run.out[0]
    assert launch.message.type == "human_decision"
    assert launch.workflow["attempt_id"] == "a:attempt:1"
    assert run.step("a").current.deadline_at == 450.0
    run.finish("a", says(completions=[Completion(scope="step", value={"ok": True})]))
    assert run.step("a").output == {"ok": True}
    assert run.step("a").attempt_count == 1
    replays(run)


def test_a_worker_whose_step_is_complete_waits_for_nobody():
    run = Run(flow([step("a"), step("b")], [after("a", "b")], human=REQUIRED))
    run.finish("a", says(request("r")))
    assert waiting(run) == []
    assert run.step("a").status is StepStatus.COMPLETED
    assert run.told("human_decision_applied")[0]["source"] == "withdrawn"


# ---- whatever comes ----

NAMES = st.sampled_from(["gate-1", "gate-2", "a-1", "r", "s", None, 3])
DECISIONS = st.sampled_from(["approve", "reject", "maybe", None, True, {"a": 1}])
PAYLOADS = st.fixed_dictionaries(
    {},
    optional={
        "request_id": NAMES,
        "decision": DECISIONS,
        "approved": st.booleans(),
        "agent_id": st.sampled_from(["gate", "a", "ghost", 4]),
        "timeout_seconds": st.sampled_from([5, 0, None, "x", True]),
        "allowed_decisions": st.sampled_from([["approve"], [], None, [1], "approve"]),
        "comment": st.sampled_from(["c", 4]),
    },
)
TYPES = st.sampled_from(
    ["human_input_requested", "human_input_received", "human_input_timeout",
     "human_decision_applied", "human_notice"]
)  # fmt: skip


@given(st.data())
@settings(max_examples=80)
def test_whatever_is_said_the_state_agrees_with_itself(data):
    agents = [
        agent("gate", approval_mode=data.draw(st.sampled_from(["x", "notice_only"]))),
        agent("a", "executor"),
        agent("z", "aggregator", complete_job=False),
    ]
    human = data.draw(st.sampled_from([REQUIRED, HumanControl()]))
    seeds: dict[str, list[Any]] = {"gate": [{}, {}], "a": [{}]}
    play = Play(spec_of(agents, [edge("gate", "z"), edge("a", "z")], seeds=seeds, human=human))
    for number in range(data.draw(st.integers(1, 10))):
        play.at += data.draw(st.sampled_from([0.0, 3.0]))
        payload = data.draw(PAYLOADS)
        match data.draw(st.sampled_from(["line", "ask", "live", "end", "timer", "pause", "crash"])):
            case "line":
                line(play, data.draw(TYPES), data.draw(st.sampled_from(["", "same"])), **payload)
            case "ask":
                play.asked(Verb.RESPOND, details=payload)
            case "live" if play.launches:
                play.give(live(play, NamedEvent(type=data.draw(TYPES), payload=payload)))
            case "end" if play.launches:
                play.ended(outcome=says(NamedEvent(type=data.draw(TYPES), payload=payload)))
            case "timer" if play.timers:
                play.fired(data.draw(st.sampled_from(list(play.timers))))
            case "pause":
                play.asked(data.draw(st.sampled_from([Verb.PAUSE, Verb.RESUME])), f"p{number}")
            case _:
                play.crashed()
        if play.state.status is JobStatus.RUNNING:
            due = {f"human:{one['request_id']}" for one in waiting(play) if one["due_at"]}
            assert due == {name for name in play.timers if name.startswith("human:")}
            assert not (waiting(play) and "idle" in play.timers)
    if human is REQUIRED:
        asked = [one["request_id"] for one in play.told("human_input_requested")]
        assert set(ids(play)) <= set(asked)
    replays(play)
