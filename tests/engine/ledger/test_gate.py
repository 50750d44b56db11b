"""What an agent may take, and when."""

from mnedge.engine.ledger import gate
from mnedge.model.facts import Emission, MessageArrived, Structured
from mnedge.model.message import normalise
from mnedge.model.states import Verb
from tests.engine.jobs import agent, edge, succeeded
from tests.engine.ledger.dynamic import changing, detour, patched, path
from tests.engine.ledger.flows import Run, after, flow, said, step


def joined(**more):
    """Two parents and a join."""
    return flow(
        [step("a"), step("b"), step("join", **more)],
        [after("a", "join"), after("b", "join")],
        seeds={"a": [{"n": 1}], "b": [{"n": 2}]},
    )


def test_a_message_for_a_step_whose_trigger_does_not_hold_waits_and_says_so():
    run = Run(joined())
    run.finish("a")
    assert run.statuses()["join"] == "blocked"
    blocked = run.told("workflow_step_blocked")
    assert [one["step_id"] for one in blocked] == ["join"]
    assert blocked[0]["reason"] == "waiting for workflow dependencies"
    assert blocked[0]["blocked_on"] == [
        {"from": "b", "status": "running", "accepts": ["done"], "outcome": None}
    ]
    assert run.received("join") == []


def test_a_join_runs_once_with_the_first_message_and_ignores_the_rest():
    run = Run(joined())
    run.finish("a")
    run.finish("b")
    run.finish("join")
    assert len(run.received("join")) == 1
    assert run.received("join")[0]["agent_id"] == "a"
    ignored = run.told("workflow_step_duplicate_message_ignored")
    assert [one["step_id"] for one in ignored] == ["join"]
    assert run.state.status == "completed"


def test_a_gathering_step_handles_all_that_waited_in_order_in_one_attempt():
    spec = joined()
    agents = [
        agent("join", "executor", output_message_type="join_done", workflow_complete_step=False)
        if one.agent_id == "join"
        else one
        for one in spec.agents
    ]
    run = Run(flow(spec.workflow.steps, spec.workflow.edges, agents=agents[:3], seeds=spec.seeds))
    run.finish("b")
    run.finish("a")
    run.finish("join")
    assert run.statuses()["join"] == "running"
    run.finish("join", said(complete={"all": 2}))
    assert [one["agent_id"] for one in run.received("join")] == ["b", "a"]
    assert run.step("join").attempt_count == 1
    assert run.state.status == "completed"


def test_every_waiting_message_is_told_of():
    run = Run(
        flow(
            [step("a"), step("b"), step("c"), step("join")],
            [after("a", "join"), after("b", "join"), after("c", "join")],
            seeds={"a": [{}], "b": [{}], "c": [{}]},
        )
    )
    run.finish("a")
    run.finish("b")
    assert len(run.told("workflow_step_blocked")) == 2
    assert run.view["steps"]["join"]["waiting_messages"] == 2


def test_what_waits_weighs_in_the_state_and_is_gone_when_it_was_taken():
    run = Run(joined())
    before = run.state.queued_bytes
    run.finish("a")
    assert run.state.queued_bytes > 0
    run.finish("b")
    run.finish("join")
    assert run.state.queued_bytes == 0 < before


def test_agents_of_no_step_are_never_gated():
    spec = flow([step("a"), step("b")], [after("a", "b")])
    watcher = agent("watcher", "router")
    messages = [*spec.edges, edge("a", "watcher", "a_done")]
    run = Run(flow(spec.workflow.steps, spec.workflow.edges, agents=[*spec.agents[:2], watcher],
                   messages=[*messages[:-2], messages[-1]]))  # fmt: skip
    run.finish("a")
    assert len(run.received("watcher")) == 1


def test_messages_for_a_retrying_step_wait_behind_the_retry():
    run = Run(flow([step("a", max_attempts=2, retry_backoff_ms=1000)], []))
    run.fail("a")
    run.sent("a", {"second": True})
    assert run.statuses()["a"] == "retry_wait"
    assert run.received("a") == [{"n": 1}]
    run.fired("step:a:retry")
    assert run.received("a") == [{"n": 1}, {"n": 1}]


def test_too_many_waiting_messages_are_dead_letters(monkeypatch):
    monkeypatch.setattr(gate, "WAITING_AT_MOST", 1)
    run = Run(joined())
    run.sent("join", {"n": 1})
    run.sent("join", {"n": 2})
    assert [one["message"]["body"] for one in run.told("dead_letter")] == [{"n": 2}]


def test_no_more_steps_run_than_the_manifest_allows_and_the_first_comer_goes_first():
    spec = flow(
        [step("start"), *(step(name) for name in "abcd"), step("end", "all_done")],
        [after("start", name) for name in "abcd"] + [after(name, "end") for name in "abcd"],
        workflow={"max_parallel_steps": 2},
    )
    run = Run(spec)
    run.finish("start")
    assert [one.agent_id for one in run.out] == ["a", "b"]
    assert run.statuses()["c"] == run.statuses()["d"] == "queued"
    run.finish("b")
    assert [one.agent_id for one in run.out] == ["a", "c"]
    run.finish_all()
    assert run.state.status == "completed"
    started = [one["step_id"] for one in run.told("workflow_step_attempt_started")]
    assert started == ["start", "a", "b", "c", "d", "end"]


def test_a_place_is_free_while_a_step_waits_for_its_retry():
    spec = flow(
        [step("start"), step("a", max_attempts=2), step("b"), step("end")],
        [after("start", "a"), after("start", "b"), after("a", "end"), after("b", "end")],
        workflow={"max_parallel_steps": 1},
    )
    run = Run(spec)
    run.finish("start")
    assert [one.agent_id for one in run.out] == ["a"]
    run.fail("a")
    assert [one.agent_id for one in run.out] == ["b"]
    run.fired("step:a:retry")
    assert run.statuses()["a"] == "queued"
    run.finish_all()
    assert run.state.status == "completed"


def team(**more):
    """One step of three agents: the first hands on to two others, the last of which completes."""
    config = {"workflow_complete_step": False}
    agents = [
        agent("head", "executor", output_message_type="head_done", **config),
        agent("hand", "executor", output_message_type="hand_done", **config),
        agent("tail", "executor", output_message_type="tail_done"),
    ]
    messages = [edge("head", "hand", "head_done"), edge("hand", "tail", "hand_done")]
    return flow(
        [step("work", agent_ids=["head", "hand", "tail"], **more)],
        [],
        agents=agents,
        messages=messages,
        seeds={"head": [{"n": 1}]},
    )


def test_agents_of_one_step_share_its_attempt():
    run = Run(team())
    run.finish("work")
    run.finish("work")
    assert run.out[-1].workflow["attempt_id"] == "work:attempt:1"
    run.finish("work")
    assert run.step("work").attempt_count == 1
    assert run.state.status == "completed"


def test_a_step_of_many_agents_begins_anew_when_one_of_them_fails():
    run = Run(team(max_attempts=2, retry_backoff_ms=0))
    run.finish("work")
    run.fail("work")
    assert [one.agent_id for one in run.out] == ["head"]
    assert run.received("head") == [{"n": 1}, {"n": 1}]
    assert run.out[0].workflow["attempt"] == 2


def test_a_message_sent_inside_an_attempt_that_is_over_is_stale():
    spec = team(max_attempts=2, retry_backoff_ms=0)
    run = Run(spec)
    twice = [Emission(type="head_done", body={"extra": True})]
    run.finish("work", succeeded(structured=Structured(emissions=twice)))
    run.fail("work")  # the hand's first message; its second one waits in the inbox
    assert run.told("workflow_step_stale_output_ignored")
    assert run.received("hand")[-1] != {"extra": True}


def test_a_paused_job_takes_nothing_and_goes_on_where_it_was():
    run = Run(joined())
    run.finish("a")
    run.asked(Verb.PAUSE)
    assert run.out == []
    run.asked(Verb.RESUME)
    run.finish("b")
    run.finish_all()
    assert run.state.status == "completed"


def test_a_message_is_taken_for_the_step_that_it_has_waited_for():
    """What its header names may have come into the graph, and ended, in the meantime."""
    dig = step("dig", agent_ids=["report"])
    steps = [step("inspect"), step("report")]
    run = Run(changing([path()], steps, [after("inspect", "report")], templates=[dig]))
    value = {"envelope": {"to": "report"}, "headers": {"mn.workflow.step_id": "d1"}, "body": {}}
    message = normalise(value, at=run.at, seed="d1", sender="external", class_="command")
    run.give(MessageArrived(at=run.at, message=message))
    assert run.statuses()["report"] == "blocked"
    run.finish("inspect", patched(detour("d1"), complete={}))
    run.finish("d1", said(complete={}))
    assert run.out[0].workflow["step_id"] == "report"
    assert run.out[0].message.message_id == message.message_id
