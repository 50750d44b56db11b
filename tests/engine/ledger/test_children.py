"""Child workflows: planners, rounds, and how they end."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnedge.engine.apply import apply
from mnedge.engine.state import new_state, snapshot
from mnedge.model.codec import decode_fact
from mnedge.model.facts import NamedEvent, Outcome, WorkerSaid
from mnedge.model.manifest import ChildWorkflow
from mnedge.model.states import TERMINAL, Verb
from tests.engine.jobs import agent, edge, failed
from tests.engine.ledger.flows import Run, after, flow, said, step
from tests.engine.ledger.recount import check_ledger


def research(
    parent: dict[str, Any] | None = None,
    templates: dict[str, dict[str, Any]] | None = None,
    **child: Any,
) -> Run:
    """Return a run of `study`, which researches in rounds, and of `report` after it."""
    more = templates or {}
    made = [step(name, **more.get(name, {})) for name in ("plan", "read", "sum")]
    child = {"max_rounds": 3, "max_steps_per_round": 3} | child
    names = ["study", "report", "plan", "read", "sum"]
    return Run(
        flow(
            [step("study", **(parent or {})), step("report")],
            [after("study", "report", "done", "partial", "skipped")],
            agents=[agent(name, "executor", output_message_type=f"{name}_done") for name in names],
            messages=[edge("study", "report", "study_done")],
            workflow={
                "child_workflows": [
                    ChildWorkflow(parent="study", planner="plan", templates=made, **child)
                ]
            },
        )
    )


def task(name: str, template: str = "read", **more: Any) -> dict[str, Any]:
    return {"id": name, "template": template, **more}


def plan(revision: Any, *steps: Any, decision: Any = "execute", **more: Any) -> Outcome:
    """Return a planner's answer."""
    content = {"decision": decision, "revision": revision, "steps": list(steps), **more}
    return said(complete={"child_plan": content})


def stop(revision: int, output: Any = None, **more: Any) -> Outcome:
    return plan(revision, decision="stop", output=output, **more)


def out_of(run: Run) -> list[str]:
    return [launch.workflow["step_id"] for launch in run.out]


# ---- a whole one ----


def test_a_child_workflow_goes_round_after_round_until_it_is_told_to_stop():
    run = research(inputs={"topic": ["about"]}, outputs={"answer": ["best", "text"]})
    run.finish("study", said(complete={"about": "tides", "other": 1}))
    assert run.statuses() == {"study": "waiting", "report": "pending", "study:p1": "running"}
    (launch,) = run.out
    given_input = launch.workflow["step_input"]
    assert given_input["topic"] == "tides"
    assert given_input["child_workflow"] == {
        "revision": 1,
        "round": 0,
        "max_rounds": 3,
        "max_steps_per_round": 3,
        "templates": ["read", "sum"],
        "results": [],
    }
    run.finish(
        "study:p1",
        plan(1, task("a", input={"page": 1}), task("b"), task("s", "sum", needs=["a", "b"])),
    )
    assert out_of(run) == ["study:r1:a"]
    assert run.step("study:r1:s").status == "pending"
    assert run.out[0].workflow["step_input"] == {"topic": "tides", "page": 1}
    run.finish("study:r1:a", said(complete={"words": 10}))
    run.finish("study:r1:b", said(complete={"words": 20}))
    (launch,) = run.out
    assert launch.workflow["step_id"] == "study:r1:s"
    assert [one["output"] for one in launch.workflow["parents"]] == [{"words": 10}, {"words": 20}]
    check_ledger(run.job, run.state)
    run.finish("study:r1:s", said(complete={"sum": 30}))
    (launch,) = run.out
    about = launch.workflow["step_input"]["child_workflow"]
    assert (about["revision"], about["round"]) == (2, 1)
    assert [one["step_id"] for one in about["results"]] == [
        "study:r1:a", "study:r1:b", "study:r1:s",
    ]  # fmt: skip
    assert about["results"][2]["output"] == {"sum": 30}
    run.finish("study:p2", stop(2, {"best": {"text": "it depends"}}, reason="enough"))
    assert run.step("study").status == "completed"
    assert run.step("study").output == {"answer": "it depends"}
    run.finish_all()
    assert run.state.status == "completed"
    told = [name for name in run.types if name.startswith("workflow_child")]
    assert told == [
        "workflow_child_started",
        "workflow_child_plan_committed",
        "workflow_child_round_completed",
        "workflow_child_plan_committed",
        "workflow_child_completed",
    ]
    assert run.told("workflow_child_round_completed")[0]["statuses"] == {"completed": 3}
    assert run.told("workflow_child_completed")[0]["rounds"] == 1
    check_ledger(run.job, run.state)


def test_a_child_workflow_is_shown_with_its_steps():
    run = research(inputs={"topic": ["about"]})
    run.finish("study", said(complete={"about": "tides"}))
    run.finish("study:p1", plan(1, task("a"), reason="why not"))
    view = run.view
    record = view["steps"]["study:r1:a"]
    assert (record["parent_step_id"], record["child_workflow_id"]) == ("study", "study")
    assert (record["child_round"], record["child_phase"]) == (1, "task")
    assert view["steps"]["study:p1"]["child_phase"] == "planner"
    assert view["child_definitions"]["study"]["planner"] == "plan"
    assert list(view["child_templates"]["study"]) == ["plan", "read", "sum"]
    shown = view["child_workflows"]["study"]
    assert (shown["status"], shown["round"], shown["revision"]) == ("running", 1, 1)
    assert shown["steps"] == ["study:p1", "study:r1:a"]
    assert shown["decisions"] == [
        {
            "revision": 1,
            "decision": "execute",
            "reason": "why not",
            "round": 1,
            "steps": ["study:r1:a"],
        }
    ]


def test_the_step_after_a_parent_is_started_by_the_ledger_with_its_outputs():
    run = research()
    run.finish("study", said(complete={"own": 1}))
    assert not run.received("report")
    run.finish("study:p1", stop(1, {"whole": True}))
    (launch,) = run.out
    assert launch.message.type == "workflow_trigger"
    assert launch.workflow["parents"][0]["output"] == {"whole": True}
    run.finish_all()
    assert len(run.received("report")) == 1
    assert run.state.status == "completed"


def test_agents_of_no_step_get_the_outputs_when_all_is_done():
    templates = [step("plan"), step("read")]
    names = ["study", "plan", "read"]
    child = ChildWorkflow(
        parent="study", planner="plan", templates=templates, max_rounds=1, max_steps_per_round=1
    )
    run = Run(
        flow(
            [step("study")],
            [],
            agents=[agent(name, "executor", output_message_type=f"{name}_done") for name in names],
            workflow={"child_workflows": [child]},
        )
    )
    run.finish("study", said(complete={"own": 1}))
    assert not run.received("sink")
    run.finish("study:p1", stop(1, {"whole": True}))
    assert run.received("sink") == [{"whole": True}]
    assert run.state.status == "completed"
    assert run.told("job_completed")[0]["agent_id"] == "sink"


def test_a_plan_may_stand_in_the_outputs_of_a_step_result():
    run = research(inputs={"topic": ["about"]}, outputs={"a": ["a"], "gone": ["x", "y"]})
    run.finish("study", said(complete={"outputs": {"about": "tides"}}))
    assert run.out[0].workflow["step_input"]["topic"] == "tides"
    content = {"decision": "stop", "revision": 1, "output": {"a": 1}}
    run.finish("study:p1", said(complete={"outputs": {"child_plan": content}}))
    assert run.step("study").output == {"a": 1, "gone": None}


def test_a_parent_that_reports_more_while_it_waits_changes_nothing():
    run = research()
    run.finish("study", said(complete={"own": 1}))
    (launch,) = run.out
    event = NamedEvent(type="workflow_step_completed", payload={"step_id": "study", "x": 1})
    run.give(WorkerSaid(at=run.at, work_id=launch.attempt_id, launch=1, event=event))
    assert run.step("study").status == "waiting"
    assert len(run.told("workflow_child_started")) == 1


def test_messages_for_a_parent_that_waits_are_ignored_in_the_end():
    run = research()
    run.finish("study", said(complete={"own": 1}))
    run.sent("study", {"n": 2})
    assert len(run.step("study").waiting) == 1
    run.finish("study:p1", stop(1))
    assert "workflow_step_duplicate_message_ignored" in run.types
    check_ledger(run.job, run.state)


# ---- plans that are refused ----


@pytest.mark.parametrize(
    "answer, reason",
    [
        (said(complete={"nothing": 1}), "holds no child_plan"),
        (said(complete="text"), "holds no child_plan"),
        (plan(1, task("a"), decision="go"), "unknown decision 'go'"),
        (plan(2, task("a")), "the plan's revision is 2, expected 1"),
        (plan(None, task("a")), "the plan's revision is None, expected 1"),
        (plan(True, task("a")), "the plan's revision is True, expected 1"),
        (plan(1), "steps must be a list that is not empty"),
        (plan(1, *map(task, "abcd")), "4 steps are more than 3"),
        (plan(1, "a"), "every step must be an object"),
        (plan(1, task("a b")), "invalid id of a step: 'a b'"),
        (plan(1, task("a"), task("a")), "two steps have the id a"),
        (plan(1, task("a", "plan")), "step a: template 'plan' is none of read, sum"),
        (plan(1, task("a", "nope")), "step a: template 'nope' is none of read, sum"),
        (plan(1, task("a", input=[1])), "step a: input must be an object"),
        (plan(1, task("a", input={"topic": 2})), "step a: input topic comes from the parent"),
        (plan(1, task("a", needs="b")), "step a: needs must be a list of ids"),
        (plan(1, task("a", needs=["b"])), "step a needs b, which is not in the plan"),
        (plan(1, task("a", needs=["a"])), "the steps need each other in a circle"),
        (plan(1, task("a", input={"x": "y" * 140_000})), "more than 131072"),
    ],
)
def test_a_plan_that_breaks_a_rule_fails_its_planner(answer, reason):
    run = research(
        inputs={"topic": ["about"]},
        templates={"plan": {"max_attempts": 2, "retry_backoff_ms": 0}},
    )
    run.finish("study", said(complete={"about": "tides"}))
    run.finish("study:p1", answer)
    (told,) = run.told("workflow_step_attempt_retry_scheduled")
    assert reason in told["reason"]
    assert list(run.statuses()) == ["study", "report", "study:p1"]
    run.finish("study:p1", plan(1, task("a")))
    assert out_of(run) == ["study:r1:a"]
    check_ledger(run.job, run.state)


def test_after_the_last_round_a_planner_can_only_stop():
    run = research(max_rounds=1, templates={"plan": {"max_attempts": 2, "retry_backoff_ms": 0}})
    run.finish("study")
    run.finish("study:p1", plan(1, task("a")))
    run.finish("study:r1:a")
    run.finish("study:p2", plan(2, task("a")))
    assert "all of the 1 rounds are over" in run.step("study:p2").last_error["details"]["message"]
    run.finish("study:p2", stop(2, 7))
    assert run.step("study").output == 7


# ---- failures ----


def test_a_planner_that_fails_for_good_fails_its_parent():
    run = research()
    run.finish("study")
    run.finish("study:p1", plan(5, task("a")))
    (told,) = run.told("workflow_child_failed")
    assert "the plan's revision is 5, expected 1" in told["reason"]
    assert run.statuses() == {"study": "failed", "report": "pending", "study:p1": "failed"}
    assert run.told("job_failed")[0]["step_id"] == "study"
    assert run.told("job_failed")[0]["error"]["code"] == "workflow.child.failed"
    assert run.state.status == "failed"


def test_a_task_that_fails_ends_the_round_and_its_parent_decides():
    run = research(parent={"policy": "continue_partial"})
    run.finish("study")
    run.finish("study:p1", plan(1, task("a"), task("b"), task("s", "sum", needs=["a"])))
    run.fail("study:r1:a")
    assert run.statuses() == {
        "study": "partial",
        "report": "running",
        "study:p1": "completed",
        "study:r1:a": "partial",
        "study:r1:b": "skipped",
        "study:r1:s": "skipped",
    }
    assert run.step("study").outcome == "failed"
    assert [told["step_id"] for told in run.told("workflow_step_failed")] == ["study:r1:a", "study"]
    check_ledger(run.job, run.state)
    run.finish_all()
    assert run.state.status == "completed"


def test_an_optional_task_that_fails_is_for_the_planner_to_look_at():
    run = research(templates={"read": {"policy": "continue_partial"}})
    run.finish("study")
    run.finish("study:p1", plan(1, task("a")))
    run.fail("study:r1:a")
    (launch,) = run.out
    (result,) = launch.workflow["step_input"]["child_workflow"]["results"]
    assert (result["status"], result["outcome"], result["reason"]) == (
        "partial",
        "failed",
        "no luck",
    )
    run.finish("study:p2", stop(2))
    run.finish_all()
    assert run.state.status == "completed"


def test_a_planner_that_ends_without_a_plan_fails_its_parent():
    run = research(parent={"policy": "skip"})
    run.finish("study")
    run.finish("study:p1", said(("workflow_step_skipped", {"reason": "no idea"})))
    (told,) = run.told("workflow_child_failed")
    assert told["reason"] == "planner study:p1 is skipped and has left no plan"
    assert run.step("study").status == "skipped"
    check_ledger(run.job, run.state)


def test_a_parent_that_ends_otherwise_takes_its_child_workflow_along():
    run = research()
    run.finish("study")
    (launch,) = run.out
    event = NamedEvent(type="workflow_step_skipped", payload={"step_id": "study"})
    run.give(WorkerSaid(at=run.at, work_id=launch.attempt_id, launch=1, event=event))
    assert run.step("study").status == "skipped"
    assert run.step("study:p1").status == "skipped"
    assert run.told("workflow_child_failed")[0]["reason"] == "step study is skipped"
    check_ledger(run.job, run.state)


def test_a_task_may_be_spread_over_items():
    run = research()
    run.finish("study")
    run.finish("study:p1", plan(1, task("a"), task("s", "sum", needs=["a"])))
    scatter = ("workflow_step_scatter", {"target": "study:r1:s", "items": [1, 2]})
    run.finish("study:r1:a", said(scatter, complete=1))
    check_ledger(run.job, run.state)
    run.finish("study:r1:s[0]")
    assert "workflow_child_round_completed" not in run.types
    run.finish("study:r1:s[1]")
    assert out_of(run) == ["study:p2"]
    assert len(run.out[0].workflow["step_input"]["child_workflow"]["results"]) == 4


# ---- cuts and pauses ----

WHOLE = [
    ("study", said(complete={"about": "tides"})),
    ("study:p1", plan(1, task("a"), task("b", "sum"))),
    ("study:r1:a", None),
    ("study:r1:b", None),
    ("study:p2", plan(2, task("a"))),
    ("study:r2:a", None),
    ("study:p3", stop(3, {"end": True})),
    ("report", None),
]


@pytest.mark.parametrize("cut_after", range(len(WHOLE)))
@pytest.mark.parametrize("pauses", [False, True])
def test_a_crash_or_a_pause_anywhere_changes_nothing(cut_after, pauses):
    run = research(inputs={"topic": ["about"]})
    for count, (name, outcome) in enumerate(WHOLE):
        if count == cut_after and pauses:
            run.asked(Verb.PAUSE)
            assert run.out == []
            run.crashed()
            run.asked(Verb.RESUME)
        elif count == cut_after:
            run.crashed()
        run.finish(name, outcome)
        check_ledger(run.job, run.state)
    assert run.state.status == "completed"
    assert run.step("study").output == {"end": True}
    first = [one.workflow["step_id"] for one in run.launches if one.workflow["attempt"] == 1]
    assert list(dict.fromkeys(first)) == [name for name, _ in WHOLE]


any_task = st.builds(
    task,
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["read", "sum", "plan"]),
    needs=st.lists(st.sampled_from(["a", "b", "c"]), max_size=2),
)


def answer(data: st.DataObject, run: Run, step_id: str) -> Outcome:
    kind = data.draw(st.sampled_from(["plan", "plan", "plan", "fail", "spread", "skip"]))
    match kind:
        case "fail":
            return failed()
        case "skip":
            return said(("workflow_step_skipped", {}))
        case "spread":
            target = data.draw(st.sampled_from(list(run.statuses())))
            return said(("workflow_step_scatter", {"target": target, "items": [1, 2]}), complete=1)
    revision = int(step_id[-1]) if ":p" in step_id else 1
    if data.draw(st.booleans()):
        return stop(revision, {"x": 1})
    return plan(revision, *data.draw(st.lists(any_task, min_size=1, max_size=3)))


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_whatever_planners_decide_the_ledger_holds_together(data):
    policy = data.draw(st.sampled_from(["continue_partial", "fail_workflow"]))
    again = {"max_attempts": 2, "retry_backoff_ms": 0, "policy": policy}
    run = research(parent={"policy": "continue_partial"}, templates={"plan": again, "read": again})
    for _ in range(data.draw(st.integers(1, 25))):
        if run.state.status in TERMINAL:
            break
        kind = data.draw(st.sampled_from(["answer"] * 6 + ["crash", "pause", "timer"]))
        if kind == "answer" and run.out:
            launch = data.draw(st.sampled_from(run.out))
            run.ended(launch, answer(data, run, launch.workflow.get("step_id", "")))
        elif kind == "crash":
            run.crashed()
        elif kind == "timer" and run.timers:
            run.fired(min(run.timers, key=lambda name: (run.timers[name], name)))
        else:
            run.asked(Verb.PAUSE if run.state.status == "running" else Verb.RESUME)
        run.drained()
        check_ledger(run.job, run.state)
    state = new_state(run.job, run.state.job_id)
    for seq, record in enumerate(run.records, 1):
        assert apply(run.job, state, decode_fact(record), seq) == run.steps[seq - 1]
    assert snapshot(state) == snapshot(run.state)
