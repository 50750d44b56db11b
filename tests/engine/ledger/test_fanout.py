"""Controllers at rest, their fan-outs, and what wakes them."""

import pytest
from msgspec.structs import replace

from mnedge.model.commands import RunAttempt
from mnedge.model.facts import Emission, MessageArrived, NamedEvent, WorkerSaid
from mnedge.model.message import normalise
from mnedge.model.states import Verb
from tests.engine.jobs import agent, edge, failed
from tests.engine.ledger.dynamic import (
    add_edge,
    add_step,
    changing,
    checkpointed,
    decision,
    fan,
    fan_out,
    fanned,
    inspection,
    patched,
)
from tests.engine.ledger.flows import Run, after, said, step
from tests.engine.ledger.recount import check_ledger


def test_a_fan_out_closes_the_attempt_and_the_controller_waits():
    run = decision()
    run.finish("decide", fan_out("a", "b"))
    assert run.statuses() == {
        "decide": "waiting", "report": "pending", "a": "running", "b": "queued",
    }  # fmt: skip
    (attempt,) = run.step("decide").attempts
    assert attempt.status == "checkpointed"
    (told,) = run.told("workflow_graph_patch_applied")
    assert (told["status"], told["strategy"]) == ("waiting", "checkpoint_fanout")
    assert told["attempt_id"] == "decide:attempt:1"
    assert not run.received("report"), "what an attempt that goes on sends by itself is held back"
    assert "step:decide:deadline" not in run.timers
    check_ledger(run.job, run.state)


def test_a_fan_out_that_is_over_leaves_the_graph_and_wakes_its_controller():
    run = decision()
    run.finish("decide", fan_out("a", "b"))
    run.finish("a", said(complete={"depth": 3}))
    assert "workflow_dynamic_steps_retired" not in run.types
    run.finish("b", said(complete={"depth": 5}))
    assert run.statuses() == {"decide": "running", "report": "pending"}
    (told,) = run.told("workflow_dynamic_steps_retired")
    assert (told["step_id"], told["patch_id"]) == ("decide", "p-1")
    assert (told["steps"], told["statuses"]) == (["a", "b"], {"completed": 2})
    assert run.view["dynamic_history"][0]["patch_id"] == "p-1"
    assert run.view["dynamic_history"][0]["count"] == 2
    assert run.view["dynamic_patch_instances"] == {}
    assert [one["id"] for one in run.view["edges"]] == ["decide_to_report"]
    check_ledger(run.job, run.state)
    (launch,) = run.out
    assert launch.workflow["attempt"] == 2
    assert launch.message.type == "workflow_trigger"
    for place in (launch.workflow, launch.message.body):
        assert [one["output"] for one in place["fan_out"]] == [{"depth": 3}, {"depth": 5}]
        assert place["fan_out"][0] == {
            "step_id": "a",
            "patch_id": "p-1",
            "template_id": "dig",
            "status": "completed",
            "outcome": "success",
            "reason": None,
            "output": {"depth": 3},
        }
    run.finish_all()
    assert run.state.status == "completed"
    assert run.statuses() == {"decide": "completed", "report": "completed"}


def test_a_controller_decides_again_until_it_completes():
    run = decision()
    for number in range(3):
        run.finish("decide", fan_out("a", "b", patch_id=f"p-{number}", base=number))
        run.finish("a")
        run.finish("b")
    run.finish_all()
    assert run.state.status == "completed"
    assert len(run.told("workflow_dynamic_steps_retired")) == 3
    assert run.view["steps"]["decide"]["attempt_count"] == 4


def test_a_hundred_fan_outs_leave_the_state_small():
    run = decision(limits={"max_patches": 200, "max_history": 3})
    sizes = []
    for number in range(100):
        run.finish("decide", fan_out("a", "b", patch_id=f"p-{number:03}", base=number))
        run.finish("a", said(complete={"x": "y" * 1000}))
        run.finish("b")
        check_ledger(run.job, run.state)
        sizes.append(run.state.size_bytes)
    ledger = run.state.ledger
    assert len(ledger.history) == 3
    assert [one["patch_id"] for one in ledger.history] == ["p-097", "p-098", "p-099"]
    assert (len(ledger.steps), len(ledger.edges)) == (2, 1)
    assert sizes[-1] - sizes[49] < 50 * 400, "a patch leaves its digest, and a while its messages"
    assert len(run.step("decide").attempts) == 50


def test_a_failed_instance_is_told_to_its_controller():
    run = decision(templates=[step("dig", policy="continue_partial")])
    run.finish("decide", fan_out("a", "b"))
    run.fail("a")
    run.finish("b")
    (launch,) = run.out
    first, second = launch.workflow["fan_out"]
    assert (first["status"], first["outcome"], first["reason"]) == ("partial", "failed", "no luck")
    assert second["status"] == "completed"


def test_messages_that_came_meanwhile_wake_the_controller_in_their_order():
    run = decision()
    run.finish("decide", fan_out("a"))
    run.sent("decide", {"n": 2})
    run.sent("decide", {"n": 3})
    assert run.step("decide").status == "waiting"
    assert "workflow_step_blocked" not in run.types
    run.finish("a")
    (launch,) = run.out
    assert launch.message.body == {"n": 2}
    assert launch.workflow["fan_out"][0]["step_id"] == "a"
    run.finish("decide", fan_out("c", patch_id="p-2", base=1))
    run.finish("c")
    (launch,) = run.out
    assert launch.message.body == {"n": 3}


def test_the_controller_of_a_service_rests_until_there_is_something_to_do():
    run = decision(job_type="service")
    run.finish("decide", fan_out("a"))
    run.finish("a")
    assert "workflow_dynamic_steps_retired" in run.types
    assert (run.step("decide").status, run.out) == ("waiting", [])
    assert run.state.status == "running"
    run.sent("decide", {"n": 2})
    (launch,) = run.out
    assert launch.message.body == {"n": 2}
    assert launch.workflow["fan_out"][0]["step_id"] == "a"


def feeding() -> Run:
    """Return a run whose instances' agent sends what it finds to the controller."""
    steps = [step("decide"), step("report")]
    back = edge("dig", "decide", "dig_done")
    return Run(changing([fan()], steps, [after("decide", "report")], messages=[back]))


def test_results_that_come_by_message_need_no_trigger():
    run = feeding()
    run.finish("decide", fan_out("a", "b"))
    run.finish("a")
    assert run.step("decide").status == "waiting"
    run.finish("b")
    assert "workflow_step_triggered" in run.types
    assert all(told["step_id"] != "decide" for told in run.told("workflow_step_triggered"))
    (launch,) = run.out
    assert launch.message.type == "dig_done"
    run.finish("decide")
    run.finish_all()
    assert run.state.status == "completed"


def test_messages_that_do_not_come_are_not_awaited_for_ever():
    run = feeding()
    run.finish("decide", fan_out("a"))
    run.finish("a", said(("workflow_step_skipped", {"reason": "nothing there"})))
    if not run.out:
        run.fired("idle")
    (launch,) = run.out
    assert launch.workflow["step_id"] == "decide"


# ---- checkpoints without a fan-out ----


def test_a_checkpoint_ends_the_attempt_and_waits_for_a_message():
    run = decision()
    run.finish("decide", checkpointed(region_id="fan"))
    (told,) = run.told("workflow_controller_checkpointed")
    assert (told["region_id"], told["status"]) == ("fan", "waiting")
    assert told["attempt_id"] == "decide:attempt:1"
    assert run.step("decide").attempts[0].status == "checkpointed"
    run.sent("decide", {"n": 2})
    (launch,) = run.out
    assert (launch.message.body, launch.workflow["attempt"]) == ({"n": 2}, 2)
    run.finish_all()
    assert run.state.status == "completed"


def test_a_checkpoint_names_its_region_or_means_the_only_one():
    run = decision()
    run.finish("decide", checkpointed())
    assert run.told("workflow_controller_checkpointed")[0]["region_id"] == "fan"


def test_a_message_that_waits_already_follows_a_checkpoint_at_once():
    run = decision(seeds={"decide": [{"n": 1}, {"n": 2}]})
    run.finish("decide", checkpointed())
    (launch,) = run.out
    assert (launch.message.body, launch.workflow["attempt"]) == ({"n": 2}, 2)


def test_silence_starts_a_resting_controller_once():
    run = decision()
    run.finish("decide", checkpointed())
    run.fired("idle")
    (told,) = run.told("workflow_step_triggered")
    assert (told["step_id"], told["reason"]) == ("decide", "no message will come")
    run.finish("decide", checkpointed())
    run.fired("idle")
    assert not run.out
    run.fired("idle")
    assert run.state.status == "failed"
    assert "decide (waiting)" in run.told("job_failed")[0]["reason"]


def test_a_resting_controller_keeps_a_service_alive():
    run = decision(job_type="service")
    run.finish("decide", checkpointed())
    assert run.timers == {}
    assert run.state.status == "running"


@pytest.mark.parametrize(
    "payload, reason",
    [
        ({"region_id": "nope"}, "unknown region 'nope'"),
        ({"region_id": 4}, "unknown region 4"),
        ({"region_id": "followups"}, "region followups is no checkpoint_fanout"),
        ({}, "region followups is no checkpoint_fanout"),
    ],
)
def test_a_checkpoint_that_is_refused_leaves_the_attempt_as_it_is(payload, reason):
    run = inspection()
    run.finish("inspect", checkpointed(**payload))
    (told,) = run.told("workflow_controller_checkpoint_rejected")
    assert told["reason"] == reason
    assert run.step("inspect").status == "completed"


def test_only_a_controller_may_checkpoint():
    run = decision()
    run.finish("decide")
    run.finish("report", checkpointed())
    (told,) = run.told("workflow_controller_checkpoint_rejected")
    assert told["reason"] == "step report controls no region"
    assert run.state.status == "completed"


# ---- cuts, pauses, crashes ----


def spoken(run: Run) -> RunAttempt:
    """Let the controller's worker publish its fan-out while it runs; return its launch."""
    (launch,) = run.out
    event = fan_out("a").structured.events[0]
    run.give(WorkerSaid(at=run.at, work_id=launch.attempt_id, launch=1, event=event))
    return launch


def test_a_worker_that_fans_out_while_it_runs_may_end_what_it_does():
    run = decision()
    launch = spoken(run)
    assert run.statuses()["decide"] == "waiting"
    assert [one.workflow["step_id"] for one in run.out] == ["decide", "a"]
    mail = Emission(type="note", to="sink", body={"n": 1})
    run.ended(launch, said(emissions=[mail], has_next_state=True, next_state={"seen": 1}))
    assert {"n": 1} in run.received("sink")
    assert not run.received("report")
    run.finish("a")
    (launch,) = run.out
    assert (launch.workflow["attempt"], launch.agent_state) == (2, {"seen": 1})


def test_a_controller_is_not_woken_before_its_worker_has_ended():
    run = decision()
    launch = spoken(run)
    run.finish("a")
    assert run.step("decide").status == "queued"
    run.ended(launch, failed())
    (launch,) = run.out
    assert launch.workflow["attempt"] == 2
    assert run.state.status == "running"
    check_ledger(run.job, run.state)


def test_a_crash_after_a_fan_out_was_published_does_not_make_it_twice():
    run = decision()
    spoken(run)
    run.crashed()
    launch = next(one for one in run.out if one.agent_id == "decide")
    assert launch.launch == 2
    run.ended(launch, fan_out("a", base=1))
    assert len(run.told("workflow_graph_patch_applied")) == 1
    assert list(run.statuses()) == ["decide", "report", "a"]
    run.finish("a")
    run.finish_all()
    assert run.state.status == "completed"
    check_ledger(run.job, run.state)


def test_a_pause_lets_a_worker_whose_attempt_is_over_end():
    run = decision()
    launch = spoken(run)
    run.asked(Verb.PAUSE)
    assert launch in run.out
    run.ended(launch)
    run.asked(Verb.RESUME)
    run.finish_all()
    assert run.state.status == "completed"


def test_an_answer_that_completes_what_it_has_checkpointed_is_stale():
    run = decision()
    run.finish("decide", patched(fanned("a"), region_id="fan", complete={"done": True}))
    assert run.step("decide").status == "waiting"
    assert "workflow_step_stale_output_ignored" in run.types


def test_what_a_checkpointing_worker_sends_itself_is_sent():
    run = decision()
    mail = Emission(type="note", to="sink", body={"n": 1})
    run.finish("decide", patched(fanned("a"), region_id="fan", emissions=[mail]))
    assert {"n": 1} in run.received("sink")


def test_a_retry_of_a_woken_controller_still_knows_its_fan_out():
    run = decision(step("decide", max_attempts=2, retry_backoff_ms=0))
    run.finish("decide", fan_out("a"))
    run.finish("a", said(complete={"depth": 3}))
    run.fail("decide")
    (launch,) = run.out
    assert (launch.workflow["attempt"], launch.workflow["fan_out"][0]["output"]) == (
        3,
        {"depth": 3},
    )
    run.fail("decide")
    assert run.state.status == "failed"


def test_a_patch_that_adds_nothing_rests_not_at_all():
    run = decision()
    ops = [*fanned("a"), {"op": "remove_edge", "id": "decide-a"}, {"op": "remove_step", "id": "a"}]
    run.finish("decide", patched(ops, region_id="fan"))
    (launch,) = run.out
    assert (launch.workflow["step_id"], launch.workflow["fan_out"]) == ("decide", [])


def test_an_instance_may_be_spread_over_items():
    run = decision()
    ops = [*fanned("a"), add_step("b"), add_edge("a", "b")]
    run.finish("decide", patched(ops, region_id="fan"))
    run.finish("a", said(("workflow_step_scatter", {"target": "b", "items": [1, 2]}), complete=1))
    check_ledger(run.job, run.state)
    assert run.view["dynamic_patch_instances"] == {"p-1": ["a", "b", "b[0]", "b[1]"]}
    run.finish("b[0]")
    run.finish("b[1]")
    (launch,) = run.out
    assert [one["step_id"] for one in launch.workflow["fan_out"]] == ["a", "b", "b[0]", "b[1]"]
    check_ledger(run.job, run.state)


def test_a_message_from_inside_a_step_that_has_left_reaches_nobody():
    run = decision()
    run.finish("decide", fan_out("a"))
    run.finish("a")
    headers = {"mn.workflow.step_id": "a", "mn.workflow.attempt_id": "a:attempt:1"}
    before = len(run.received("dig"))
    value = {"envelope": {"to": "dig", "type": "late"}, "headers": headers, "body": {}}
    message = normalise(value, at=run.at, seed="late", sender="dig", class_="event")
    run.give(MessageArrived(at=run.at, message=message))
    assert len(run.received("dig")) == before
    (told,) = run.told("workflow_step_duplicate_message_ignored")
    assert told["step_id"] == "a"


def test_a_completed_controller_leaves_its_fan_out_to_end_alone():
    run = decision()
    run.finish("decide", fan_out("a", "b"))
    event = NamedEvent(type="workflow_step_completed", payload={"step_id": "decide"})
    (launch,) = run.out
    run.give(WorkerSaid(at=run.at, work_id=launch.attempt_id, launch=1, event=event))
    assert run.step("decide").status == "completed"
    run.finish_all()
    assert list(run.statuses()) == ["decide", "report"]
    check_ledger(run.job, run.state)
    assert run.state.ledger.fan_outs == {}


def test_a_pause_holds_a_fan_out_and_its_end():
    run = decision(templates=[step("dig", timeout_s=60)])
    run.finish("decide", fan_out("a", "b"))
    run.asked(Verb.PAUSE)
    blocked = {told["step_id"] for told in run.told("workflow_step_blocked")}
    assert blocked == {"decide", "a", "b"}
    assert not run.out
    run.at += 1000
    run.asked(Verb.RESUME)
    run.finish("a")
    run.finish("b")
    assert run.step("decide").status == "running"
    run.finish_all()
    assert run.state.status == "completed"


def test_a_cancelled_job_keeps_its_fan_out_as_it_stood():
    run = decision()
    run.finish("decide", fan_out("a"))
    run.asked(Verb.CANCEL)
    assert run.state.status == "cancelled"
    assert run.statuses() == {"decide": "waiting", "report": "pending", "a": "running"}


@pytest.mark.parametrize("cut_after", range(6))
def test_a_crash_anywhere_changes_nothing(cut_after):
    answers = [
        ("decide", fan_out("a", "b")),
        ("a", None),
        ("b", None),
        ("decide", fan_out("c", patch_id="p-2", base=1)),
        ("c", None),
        ("decide", None),
        ("report", None),
    ]
    run = decision()
    for count, (name, outcome) in enumerate(answers):
        if count == cut_after:
            run.crashed()
        run.finish(name, outcome)
        check_ledger(run.job, run.state)
    assert run.state.status == "completed"
    assert run.view["steps"]["decide"]["attempt_count"] == 3
    assert [one.workflow["step_id"] for one in run.launches if one.launch == 1] == [
        name for name, _ in answers
    ]


def test_two_controllers_fan_out_side_by_side():
    steps = [step("one", max_attempts=2, retry_backoff_ms=0), step("two", max_attempts=2)]
    spec = changing(
        [fan("fan", "one"), fan("wide", "two")],
        [*steps, step("report")],
        [after("one", "report"), after("two", "report")],
        seeds={"one": [{}], "two": [{}]},
    )
    run = Run(spec)
    ops = [add_step("a"), add_edge("one", "a")]
    run.finish("one", patched(ops, region_id="fan"))
    ops = [add_step("b"), add_edge("two", "b")]
    run.finish("two", patched(ops, region_id="wide", patch_id="p-2"))
    assert "is not the graph's revision 1" in run.told("workflow_graph_patch_rejected")[0]["reason"]
    run.fired("step:two:retry")
    run.finish("two", patched(ops, region_id="wide", patch_id="p-2", base=1))
    assert run.statuses() == {
        "one": "waiting", "two": "waiting", "report": "pending", "a": "running", "b": "queued",
    }  # fmt: skip
    run.finish("a")
    assert run.statuses()["one"] == "running"
    assert run.statuses()["two"] == "waiting"
    check_ledger(run.job, run.state)
    run.finish_all()
    assert run.state.status == "completed"
    assert [one["patch_id"] for one in run.view["dynamic_history"]] == ["p-1", "p-2"]


def test_a_controller_at_rest_takes_no_place_among_the_running():
    base = changing([fan()], [step("decide"), step("report")], [after("decide", "report")])
    workflow = replace(base.workflow, max_parallel_steps=1)
    run = Run(replace(base, workflow=workflow))
    run.finish("decide", fan_out("a", "b"))
    assert [one.workflow["step_id"] for one in run.out] == ["a"]
    run.finish("a")
    run.finish("b")
    assert run.step("decide").status == "running"
    check_ledger(run.job, run.state)
    run.finish_all()
    assert run.state.status == "completed"


def test_an_agent_of_no_step_cannot_speak_for_a_controller():
    back = edge("decide", "aside", "decide_done")
    spec = changing(
        [fan()], [step("decide"), step("report")], [after("decide", "report")], messages=[back]
    )
    run = Run(replace(spec, agents=[*spec.agents, agent("aside", "executor")]))
    run.finish("decide")
    launch = next(one for one in run.out if one.agent_id == "aside")
    run.ended(launch, fan_out("a"))
    assert "a" not in run.statuses()
    assert "workflow_graph_patch_rejected" not in run.types
    run.finish_all()
    assert run.state.status == "completed"
