"""Gates: what they keep, what opens them, and what a closed one means to its step."""

import pytest

from mnedge.engine import asking
from mnedge.engine.compile import compile_job
from mnedge.engine.state import new_state
from mnedge.model.body import BlobRef
from mnedge.model.facts import Submitted
from mnedge.model.manifest import HumanControl
from mnedge.model.message import iso_ms
from mnedge.model.states import JobStatus, StepStatus, Verb
from tests.engine.humans import REQUIRED, answer, event_types, gate, ids, waiting
from tests.engine.jobs import JOB_ID, Play, agent, edge, spec_of, timers_set
from tests.engine.ledger.flows import Run, after, flow, step
from tests.engine.replayed import replays

# ---- of no step ----


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
    assert play.state.agents[0].processed == 3
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


# ---- of steps ----


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
    run.commands.clear()
    answer(run, "g-1")
    assert run.step("s").current.deadline_at is None
    assert timers_set(run.commands) == {}
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


def test_a_gate_of_a_step_whose_request_finds_no_room_fails_the_attempt(monkeypatch):
    monkeypatch.setattr(asking, "PENDING_AT_MOST", 0)
    run = gated(max_attempts=2, retry_backoff_ms=0)
    run.finish("draft")
    (failure,) = run.told("job_failed")
    assert failure["step_id"] == "gate"
    assert "too many requests wait" in failure["reason"]
    assert len(run.told("workflow_message_dead_lettered")) == 2
    replays(run)
