"""People: asked at gates and by workers, heard once, held to what is allowed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnedge.engine import people
from mnedge.engine.compile import compile_job
from mnedge.engine.state import new_state
from mnedge.model.body import BlobRef
from mnedge.model.facts import (
    Completion,
    HumanSaid,
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
from tests.engine.jobs import JOB_ID, Play, agent, edge, failed, spec_of, succeeded
from tests.engine.ledger.flows import Run, after, flow, step
from tests.engine.replayed import replays

REQUIRED = HumanControl(
    mode="approval_required", timeout_s=60.0, blocked_actions=["send"], prompt="May it go on?"
)


def answer(play, request_id, decision="approve", **more):
    by = more.pop("by", "ada")
    return play.asked(
        Verb.RESPOND, by=by, details={"request_id": request_id, "decision": decision, **more}
    )


def line(play, kind, line_id="", **payload):
    line_id = line_id or f"line-{len(play.records)}"
    return play.give(
        HumanSaid(at=play.at, line_id=line_id, type=kind, payload=payload, by="console")
    )


def waiting(play):
    return people.pending(play.job, play.state)


def ids(play):
    return [one["request_id"] for one in waiting(play)]


def event_types(play):
    return [name for name in play.types if name.startswith("human_")]


# ---- gates of no step ----


def gate(config: dict[str, Any] | None = None, human: HumanControl = REQUIRED, seeds=1, **more):
    """A gate, and one who takes whatever passes."""
    given = {"approval_mode": "approval_required", **(config or {})}
    agents = [agent("gate", **given), agent("next", "aggregator", complete_job=False)]
    bodies = [{"n": number} for number in range(seeds)]
    return Play(
        spec_of(agents, [edge("gate", "next")], seeds={"gate": bodies}, human=human, **more)
    )


def test_a_gate_keeps_its_message_and_asks():
    play = gate()
    assert play.received("next") == []
    expected = {
        "request_id": "gate-1",
        "agent_id": "gate",
        "step_id": None,
        "message_id": waiting(play)[0]["message_id"],
        "input": {"n": 0},
        "prompt": "May it go on?",
        "allowed_decisions": ["approve", "reject"],
        "status": "pending",
        "timeout_seconds": 60.0,
        "default_action": "reject",
        "blocked_actions": ["send"],
    }
    assert play.told("human_input_requested") == [expected]
    assert waiting(play) == [{**expected, "asked_at": iso_ms(100), "due_at": iso_ms(160)}]
    assert play.timers == {"human:gate-1": 160.0}
    replays(play)


def test_what_the_gate_says_comes_before_what_the_job_says():
    config = {
        "prompt": "Ship?",
        "allowed_decisions": ["approve", "revise"],
        "approval_timeout_seconds": 5,
        "default_action": "approve",
        "blocked_actions": [],
    }
    (asked,) = gate(config).told("human_input_requested")
    assert asked["prompt"] == "Ship?"
    assert asked["allowed_decisions"] == ["approve", "revise"]
    assert (asked["timeout_seconds"], asked["default_action"]) == (5, "approve")
    assert asked["blocked_actions"] == []


@pytest.mark.parametrize("timeout", [None, 0, -1, True, "soon"])
def test_what_is_no_timeout_is_the_jobs(timeout):
    assert gate({"approval_timeout_seconds": timeout}).timers == {"human:gate-1": 160.0}


def test_without_a_timeout_it_waits_for_ever():
    play = gate(human=HumanControl())
    assert play.timers == {}
    assert waiting(play)[0]["due_at"] is None
    assert ids(play) == ["gate-1"]


def test_an_approved_message_goes_on_with_the_decision():
    play = gate()
    play.at = 110.0
    answer(play, "gate-1", comment="fine")
    decision = {
        "request_id": "gate-1",
        "decision": "approve",
        "approved": True,
        "source": "human",
        "by": "ada",
        "comment": "fine",
    }
    assert play.received("next") == [{"n": 0, "human": decision}]
    assert play.told("human_input_received") == [
        {
            "request_id": "gate-1",
            "decision": "approve",
            "comment": "fine",
            "approved": True,
            "submitted_at": iso_ms(110),
            "by": "ada",
        }
    ]
    assert play.told("human_decision_applied") == [decision]
    assert event_types(play) == [
        "human_input_requested",
        "human_input_received",
        "human_decision_applied",
    ]
    assert list(play.timers) == ["idle"]
    replays(play)


@pytest.mark.parametrize(
    "config,decision,passed",
    [
        ({}, "approve", "init"),
        ({"emit_type": "go"}, "approve", "go"),
        ({"emit_type": "go"}, "reject", None),
        ({"rejected_message_type": "no"}, "reject", "no"),
        ({"rejected_message_type": "no"}, "approve", "init"),
        ({"decision_message_types": {"reject": "n", "approve": "y"}}, "approve", "y"),
        ({"decision_message_types": {"reject": "n"}, "rejected_message_type": "no"}, "reject", "n"),
        ({"decision_message_types": {"revise": "again"}}, "revise", "again"),
        ({"decision_message_types": ["revise"]}, "revise", None),
    ],
)
def test_the_decision_names_the_type(config, decision, passed):
    play = gate({**config, "allowed_decisions": ["approve", "reject", "revise"]})
    answer(play, "gate-1", decision)
    taken = [
        event.payload.type
        for event in play.events
        if event.type == "agent_message_received" and event.agent_id == "next"
    ]
    assert taken == ([] if passed is None else [passed])
    assert waiting(play) == []
    replays(play)


@pytest.mark.parametrize("body", ["text", BlobRef("sha256:ab", 99_999), [1]])
def test_a_body_that_is_no_object_stands_beside_the_decision(body):
    agents = [agent("gate", approval_mode="x"), agent("next", "aggregator", complete_job=False)]
    play = Play(spec_of(agents, [edge("gate", "next")], seeds={"next": [{}]}))
    play.sent("gate", body)
    answer(play, "gate-1")
    taken = play.received("next")[-1]
    assert taken["input"] == body
    assert taken["human"]["approved"] is True


def test_a_gate_may_name_its_target():
    agents = [agent("gate", approval_mode="x", target_node="b"), agent("b"), agent("c")]
    play = Play(spec_of(agents, [edge("gate", "c")]))
    answer(play, "gate-1")
    assert len(play.received("b")) == 1
    assert play.received("c") == []


def test_disabled_passes_on_and_a_notice_too():
    play = gate({"approval_mode": "disabled"})
    assert event_types(play) == []
    assert play.received("next") == [{"n": 0}]
    play = gate({"approval_mode": "notice_only"})
    (notice,) = play.told("human_notice")
    assert (notice["prompt"], notice["input"]) == ("May it go on?", {"n": 0})
    assert (notice["blocked_actions"], notice["agent_id"]) == (["send"], "gate")
    assert play.received("next") == [{"n": 0}]
    assert waiting(play) == []
    replays(play)


def test_a_gate_is_free_while_people_think():
    play = gate(seeds=3)
    assert ids(play) == ["gate-1", "gate-2", "gate-3"]
    answer(play, "gate-2")
    answer(play, "gate-3", "reject")
    assert [body["n"] for body in play.received("next")] == [1]
    assert ids(play) == ["gate-1"]
    play.crashed()
    answer(play, "gate-1")
    assert [body["n"] for body in play.received("next")] == [1, 0]
    replays(play)


def test_a_job_of_an_older_revision_lets_its_routers_pass():
    """What was recorded before there were gates replays as it was."""
    play = gate()
    job = compile_job(play.job.spec, revision=1)
    play.job, play.state = job, new_state(job, JOB_ID)
    play.records.clear()
    play.give(Submitted(at=100.0))
    assert play.received("next") == [{"n": 0}]


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


def test_only_so_many_lines_and_answers_are_remembered(monkeypatch):
    monkeypatch.setattr(people, "LINES_KEPT", 3)
    monkeypatch.setattr(people, "ANSWERED_KEPT", 3)
    play = gate(seeds=5)
    for number in range(1, 6):
        line(play, "human_input_received", f"l{number}", request_id=f"gate-{number}",
             decision="approve")  # fmt: skip
    kept = play.state.people
    assert list(kept.lines) == ["l3", "l4", "l5"]
    assert list(kept.answered) == ["gate-3", "gate-4", "gate-5"]
    replays(play)


def test_only_so_many_requests_wait(monkeypatch):
    monkeypatch.setattr(people, "PENDING_AT_MOST", 2)
    play = gate(seeds=3)
    assert ids(play) == ["gate-1", "gate-2"]
    (refused,) = play.told("human_input_rejected")
    assert (refused["request_id"], refused["reason"]) == (
        "gate-3",
        "more than 2 requests wait for a person",
    )
    (letter,) = play.told("dead_letter")
    assert letter["message"]["body"] == {"n": 2}
    answer(play, "gate-1")
    play.asked(Verb.REDRIVE, details={"message_id": letter["message_id"]})
    assert len(ids(play)) == 2
    replays(play)


# ---- gates of steps ----


def gated(config=None, *, rule="all_success", human=REQUIRED, **more):
    """draft → gate → send, with a fallback when the gate fails."""
    given = {"approval_mode": "approval_required", "emit_type": "gate_done", **(config or {})}
    agents = [
        agent("draft", "executor", output_message_type="draft_done"),
        agent("gate", **given),
        agent("send", "executor", output_message_type="send_done"),
    ]
    steps = [step("draft"), step("gate", **more), step("send", rule)]
    return Run(flow(steps, [after("draft", "gate"), after("gate", "send", "done", "skipped")],
                    agents=agents, human=human))  # fmt: skip


def test_a_step_waits_for_a_person_and_completes_before_it_sends():
    run = gated()
    run.finish("draft")
    (asked,) = waiting(run)
    assert (asked["step_id"], asked["agent_id"]) == ("gate", "gate")
    attempt = run.step("gate").current
    assert (attempt.deadline_at, attempt.heartbeat_deadline_at) == (None, None)
    assert run.timers == {"human:gate-1": 160.0}
    assert run.events[-1].step_id == "gate"
    answer(run, "gate-1")
    assert run.step("gate").status is StepStatus.COMPLETED
    assert run.step("gate").output["human"]["approved"] is True
    assert run.received("send")[0]["human"]["by"] == "ada"
    ends = ("human_decision_applied", "workflow_step_completed")
    assert [name for name in run.types if name in ends][-2:] == list(ends)
    run.finish_all()
    assert run.state.status is JobStatus.COMPLETED
    replays(run)


@pytest.mark.parametrize(
    "decide,reason,code",
    [
        (lambda run: answer(run, "gate-1", "reject"), "rejected by a person", "human.rejected"),
        (lambda run: run.fired("human:gate-1"), "not approved in time", "human.timeout"),
    ],
)
def test_a_rejected_step_fails_for_good(decide, reason, code):
    run = gated(max_attempts=3)
    run.finish("draft")
    decide(run)
    (failure,) = run.told("job_failed")
    assert (failure["reason"], failure["step_id"]) == (reason, "gate")
    assert failure["error"]["code"] == code
    assert run.step("gate").attempt_count == 1
    replays(run)


def test_the_failure_policy_of_a_rejected_step_applies():
    run = gated(policy="skip")
    run.finish("draft")
    answer(run, "gate-1", "reject")
    assert run.step("gate").status is StepStatus.SKIPPED
    assert run.step("send").status is not StepStatus.PENDING
    run.finish_all()
    assert run.state.status is not JobStatus.FAILED
    replays(run)


def test_a_rejection_with_a_type_completes_the_step():
    run = gated({"rejected_message_type": "gate_done"})
    run.finish("draft")
    answer(run, "gate-1", "reject")
    assert run.step("gate").status is StepStatus.COMPLETED
    assert run.received("send")[0]["human"]["decision"] == "reject"


def test_a_gate_among_others_lets_the_step_go_on_with_its_whole_time():
    agents = [
        agent("s__gate", approval_mode="required", emit_type="opened"),
        agent("s__work", "executor"),
    ]
    names = [one.agent_id for one in agents]
    run = Run(flow([step("s", agent_ids=names)], [], agents=agents, sink=None,
                   messages=[edge("s__gate", "s__work", "opened")], human=REQUIRED))  # fmt: skip
    assert run.timers == {"human:s__gate-1": 160.0}
    run.at = 150.0
    answer(run, "s__gate-1")
    assert run.step("s").status is StepStatus.RUNNING
    assert run.step("s").current.deadline_at == 450.0
    assert run.timers["step:s:deadline"] == 450.0
    run.finish("s")
    assert run.step("s").status is StepStatus.COMPLETED
    replays(run)


def test_the_deadline_rests_until_every_gate_of_the_attempt_is_open():
    agents = [agent("fork"), agent("g", approval_mode="required"), agent("x", "executor")]
    steps = [step("s", agent_ids=["fork", "g", "x"])]
    messages = [edge("fork", "g"), edge("g", "x"), edge("fork", "x")]
    run = Run(flow(steps, [], agents=agents, messages=messages, sink=None, human=REQUIRED))
    run.sent("fork", {"n": 2})
    assert len(ids(run)) == 2
    run.crashed()  # the worker that was lost gets its whole time, yet the gate still waits
    assert run.step("s").current.deadline_at is None
    answer(run, "g-1")
    assert run.step("s").current.deadline_at is None
    answer(run, "g-2")
    assert run.step("s").current.deadline_at == 400.0
    replays(run)


def test_a_decision_in_a_pause_sets_no_deadline_until_the_job_goes_on():
    agents = [agent("s__gate", approval_mode="required"), agent("s__work", "executor")]
    names = [one.agent_id for one in agents]
    run = Run(flow([step("s", agent_ids=names)], [], agents=agents, sink=None,
                   messages=[edge("s__gate", "s__work")], human=REQUIRED))  # fmt: skip
    run.asked(Verb.PAUSE)
    answer(run, "s__gate-1")
    assert run.timers == {}
    run.asked(Verb.RESUME)
    assert run.timers == {"step:s:deadline": 400.0}
    assert len(run.launches) == 1
    replays(run)


def test_a_request_of_an_attempt_that_is_over_is_withdrawn():
    agents = [agent("fork"), agent("g", approval_mode="required"), agent("x", "executor")]
    steps = [step("s", agent_ids=["fork", "g", "x"], max_attempts=2, retry_backoff_ms=0)]
    run = Run(flow(steps, [], agents=agents, messages=[edge("fork", "g"), edge("fork", "x")],
                   sink=None, human=REQUIRED))  # fmt: skip
    assert ids(run) == ["g-1"]
    run.fail("s")
    assert ids(run) == ["g-2"]  # the next attempt asks again
    (gone,) = run.told("human_decision_applied")
    assert (gone["request_id"], gone["source"], gone["decision"]) == ("g-1", "withdrawn", None)
    answer(run, "g-1")
    assert run.told("human_input_rejected")[0]["reason"] == "no longer asked"
    replays(run)


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


def test_what_waits_weighs():
    play = gate(seeds=2)
    before = play.state.kept_bytes
    answer(play, "gate-1")
    assert 0 < play.state.kept_bytes < before
    answer(play, "gate-2")
    assert play.state.people.pending == {}
    replays(play)


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
