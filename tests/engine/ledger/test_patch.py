"""Patches: every check by its name, and what an applied one leaves."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mnedge.engine.apply import apply
from mnedge.engine.state import new_state, snapshot
from mnedge.model.codec import decode_fact
from mnedge.model.facts import NamedEvent, Outcome, WorkerSaid
from mnedge.model.states import TERMINAL, Verb
from tests.engine.jobs import agent, failed
from tests.engine.ledger.dynamic import (
    add_edge,
    add_step,
    changing,
    detour,
    fan,
    fanned,
    inspection,
    patched,
    path,
    remove_edge,
    remove_step,
)
from tests.engine.ledger.flows import Run, after, flow, said, step
from tests.engine.ledger.recount import check_ledger


def why(run: Run) -> str:
    (told,) = run.told("workflow_graph_patch_rejected")
    return str(told["reason"])


def refused(run: Run, operations: Any, step_id: str = "inspect", **more: Any) -> str:
    """Let the controller publish the patch; return why it is refused, having changed nothing."""
    graph = run.view["edges"], run.view["step_order"], run.view["graph_revision"]
    run.finish(step_id, patched(operations, **more))
    assert graph == (run.view["edges"], run.view["step_order"], run.view["graph_revision"])
    assert run.step(step_id).attempts[0].status == "failed"
    check_ledger(run.job, run.state)
    return why(run)


# ---- an applied patch ----


def test_a_patch_puts_steps_between_controller_and_exit():
    run = inspection()
    ops = detour("dig_1")
    ops[1]["with"] = {"topic": "salinity"}
    run.finish("inspect", patched(ops, complete={"found": 1}))
    (applied,) = run.told("workflow_graph_patch_applied")
    assert (applied["patch_id"], applied["region_id"]) == ("p-1", "followups")
    assert (applied["graph_revision"], applied["strategy"]) == (1, "replace_path")
    assert applied["topology_delta"] == {
        "steps_added": ["dig_1"],
        "steps_removed": [],
        "edges_added": ["inspect-dig_1", "dig_1-report"],
        "edges_removed": ["inspect_to_report"],
    }
    assert applied["step_id"] == "inspect"
    assert applied["attempt_id"] == "inspect:attempt:1"
    assert run.statuses() == {"inspect": "completed", "report": "blocked", "dig_1": "running"}
    (body,) = run.received("dig")
    assert body["step_input"] == {"topic": "salinity"}
    assert body["_mn_step"]["template_id"] == "dig"
    assert body["_mn_step"]["graph_revision"] == 1
    assert [one["step_id"] for one in body["parents"]] == ["inspect"]
    check_ledger(run.job, run.state)
    run.finish_all()
    assert run.state.status == "completed"
    assert run.statuses()["dig_1"] == "completed"


def test_an_instance_is_shown_as_one():
    run = inspection()
    ops = detour("dig_1")
    ops[1] |= {"with": {"topic": "salinity"}, "label": "Dig for salt"}
    run.finish("inspect", patched(ops, complete=1))
    record = run.view["steps"]["dig_1"]
    assert record["dynamic_instance"] is True
    assert (record["template_id"], record["region_id"]) == ("dig", "followups")
    assert (record["patch_id"], record["label"]) == ("p-1", "Dig for salt")
    assert record["instance_input"] == {"topic": "salinity"}
    view = run.view
    assert view["patch_order"] == ["p-1"]
    assert view["applied_patches"]["p-1"]["revision"] == 1
    assert view["applied_patches"]["p-1"]["region_id"] == "followups"
    assert view["applied_patches"]["p-1"]["digest"].startswith("sha256:")
    assert view["dynamic_patch_instances"] == {"p-1": ["dig_1"]}
    assert view["dynamic_regions"]["followups"]["exit"] == "report"
    assert list(view["dynamic_templates"]) == ["dig"]
    assert view["dynamic_enabled"] is True


def test_the_worker_of_an_instance_is_told_its_input_and_its_template():
    run = inspection()
    ops = detour("dig_1")
    ops[1]["with"] = {"topic": "salinity"}
    run.finish("inspect", patched(ops, complete=1))
    (launch,) = run.out
    assert launch.workflow["step_input"] == {"topic": "salinity"}
    assert launch.workflow["template_id"] == "dig"
    assert launch.workflow["region_id"] == "followups"
    assert launch.workflow["graph_revision"] == 1


def test_a_controller_that_patches_nothing_leads_to_its_exit():
    run = inspection()
    run.finish_all()
    assert run.state.status == "completed"
    assert "workflow_step_triggered" in run.types


def test_a_running_worker_may_publish_its_patch():
    run = inspection()
    (launch,) = run.out
    payload = {
        "patch_id": "p-1",
        "region_id": "followups",
        "base_revision": 0,
        "operations": detour("dig_1"),
    }
    event = NamedEvent(type="workflow_graph_patch", payload=payload)
    run.give(WorkerSaid(at=run.at, work_id=launch.attempt_id, launch=launch.launch, event=event))
    assert run.step("inspect").status == "running"
    assert run.step("dig_1").status == "pending"
    run.finish_all()
    assert run.state.status == "completed"


def test_two_patches_of_one_attempt_build_on_each_other():
    run = inspection()
    first = patched(detour("a")).structured.events[0]
    more = [remove_edge("a-report"), add_step("b"), add_edge("a", "b"), add_edge("b", "report")]
    second = patched(more, patch_id="p-2", base=1).structured.events[0]
    run.finish("inspect", said((first.type, first.payload), (second.type, second.payload)))
    assert run.state.ledger.revision == 2
    run.finish_all()
    assert run.state.status == "completed"
    assert [one.workflow["step_id"] for one in run.launches] == ["inspect", "a", "b", "report"]


def test_instances_may_run_side_by_side_and_meet_again():
    run = inspection()
    ops = [remove_edge("inspect_to_report")]
    for name in ("a", "b"):
        ops += [add_step(name), add_edge("inspect", name), add_edge(name, "report")]
    run.finish("inspect", patched(ops))
    assert run.statuses() | {"a": "running", "b": "queued"} == run.statuses()
    run.finish_all()
    (launch,) = [one for one in run.launches if one.workflow["step_id"] == "report"]
    assert {one["step_id"] for one in launch.workflow["parents"]} == {"a", "b"}
    assert run.state.status == "completed"


def test_an_edge_keeps_what_it_accepts():
    run = inspection(templates=[step("dig", policy="continue_partial")])
    ops = detour("a")
    ops[-1] |= {"accepts": ["done", "partial"], "required": False}
    run.finish("inspect", patched(ops))
    (shown,) = [one for one in run.view["edges"] if one["id"] == "a-report"]
    assert (shown["accepts"], shown["required"]) == (["done", "partial"], False)
    run.fail("a")
    run.finish_all()
    assert run.statuses() == {"inspect": "completed", "a": "partial", "report": "completed"}


def test_a_mandatory_instance_that_fails_fails_the_job():
    run = inspection()
    run.finish("inspect", patched(detour("a")))
    run.fail("a")
    assert run.state.status == "failed"
    assert run.told("job_failed")[0]["step_id"] == "a"


def test_a_step_added_by_mistake_may_be_removed_again():
    run = inspection()
    ops = detour("a")
    first = patched(ops).structured.events[0]
    undo = [
        remove_edge("inspect-a"),
        remove_edge("a-report"),
        remove_step("a"),
        add_edge("inspect", "report", "back"),
    ]
    second = patched(undo, patch_id="p-2", base=1).structured.events[0]
    run.finish("inspect", said((first.type, first.payload), (second.type, second.payload)))
    (_, applied) = run.told("workflow_graph_patch_applied")
    assert applied["topology_delta"]["steps_removed"] == ["a"]
    assert list(run.statuses()) == ["inspect", "report"]
    check_ledger(run.job, run.state)
    run.finish_all()
    assert run.state.status == "completed"


# ---- the checks, in their order ----


def test_a_static_graph_takes_no_patch():
    run = Run(flow([step("inspect"), step("report")], [after("inspect", "report")]))
    assert refused(run, detour("a")) == "dynamic graphs are not enabled"
    assert run.state.status == "failed"
    assert run.told("job_failed")[0]["reason"] == "dynamic graphs are not enabled"


@pytest.mark.parametrize("given", [None, 7, "", "no blanks", "-dash", "x" * 129])
def test_a_patch_needs_an_id(given):
    assert "invalid patch_id" in refused(inspection(), detour("a"), patch_id=given)


@pytest.mark.parametrize("given", [7, "", "no blanks", "ü"])
def test_a_patch_needs_a_well_formed_region(given):
    assert "invalid region_id" in refused(inspection(), detour("a"), region_id=given)


@pytest.mark.parametrize("given", [None, -1, "0", 0.5, True])
def test_a_patch_needs_a_base_revision(given):
    assert "base_revision must be" in refused(inspection(), detour("a"), base=given)


@pytest.mark.parametrize("given", [None, [], {}, "x", [detour("a")[0], "x"]])
def test_a_patch_needs_operations(given):
    assert "operations must be" in refused(inspection(), given)


def test_an_unknown_region_is_refused():
    assert refused(inspection(), detour("a"), region_id="elsewhere") == "unknown region elsewhere"


def test_only_the_controller_may_patch():
    run = inspection()
    run.finish("inspect")
    reason = refused(run, detour("a"), "report")
    assert reason == "step report is not the controller of region followups"


def test_a_patch_on_an_old_revision_is_refused_and_may_be_tried_again():
    run = inspection(step("inspect", max_attempts=2, retry_backoff_ms=0))
    reason = refused(run, detour("a"), base=1)
    assert reason == "base_revision 1 is not the graph's revision 0"
    assert run.step("inspect").status == "running"
    run.finish("inspect", patched(detour("a")))
    run.finish_all()
    assert run.state.status == "completed"


def test_the_number_of_patches_is_bounded():
    run = inspection(limits={"max_patches": 1}, controller=step("inspect", max_attempts=2))
    first = patched(detour("a")).structured.events[0]
    second = patched([add_step("b")], patch_id="p-2", base=1).structured.events[0]
    run.finish("inspect", said((first.type, first.payload), (second.type, second.payload)))
    assert why(run) == "the job has had all of its 1 patches"
    assert run.state.ledger.revision == 1


def test_the_number_of_operations_is_bounded():
    run = inspection(limits={"max_operations_per_patch": 3})
    assert refused(run, detour("a")) == "4 operations are more than 3"


def test_the_number_of_active_instances_is_bounded():
    run = inspection(limits={"max_active_steps": 1})
    assert refused(run, detour("a", "b")) == "2 dynamic steps would be active, more than 1"


def test_instances_that_a_scatter_made_too_many_refuse_a_patch():
    run = inspection(limits={"max_active_steps": 1})
    first = patched(detour("a")).structured.events[0]
    scatter = ("workflow_step_scatter", {"target": "a", "items": [1, 2]})
    second = patched([add_step("b")], patch_id="p-2", base=1).structured.events[0]
    run.finish("inspect", said((first.type, first.payload), scatter, (second.type, second.payload)))
    assert why(run) == "2 dynamic steps are active, more than 1"


def test_the_input_of_an_instance_is_bounded():
    run = inspection(limits={"max_instance_input_bytes": 9})
    ops = detour("a")
    ops[1]["with"] = {"a": "xx"}
    assert refused(run, ops) == "with of step a has 10 bytes, more than 9"
    ops[1]["with"] = {"a": "x"}
    run = inspection(limits={"max_instance_input_bytes": 9})
    run.finish("inspect", patched(ops))
    assert run.told("workflow_graph_patch_applied")


def test_a_worker_that_names_no_region_means_the_only_one_of_its_step():
    run = inspection()
    run.finish("inspect", patched(detour("a"), region_id=None))
    assert run.told("workflow_graph_patch_applied")[0]["region_id"] == "followups"


# ---- the same patch again ----


def test_the_same_patch_again_changes_nothing():
    run = inspection()
    event = patched(detour("a")).structured.events[0]
    run.finish("inspect", said((event.type, event.payload), (event.type, event.payload)))
    (told,) = run.told("workflow_graph_patch_replayed")
    assert (told["patch_id"], told["graph_revision"]) == ("p-1", 1)
    assert run.step("inspect").status == "completed"
    run.finish_all()
    assert run.state.status == "completed"


def test_a_launch_cut_by_a_crash_may_publish_its_patch_again():
    run = inspection()
    (launch,) = run.out
    event = patched(detour("a")).structured.events[0]
    run.give(WorkerSaid(at=run.at, work_id=launch.attempt_id, launch=1, event=event))
    run.crashed()
    (again,) = run.out
    assert (again.launch, again.workflow["graph_revision"]) == (2, 1)
    run.finish("inspect", patched(detour("a"), base=1))
    assert len(run.told("workflow_graph_patch_replayed")) == 1
    run.finish_all()
    assert run.state.status == "completed"


def test_another_patch_under_the_same_id_is_refused():
    run = inspection(step("inspect", max_attempts=2))
    first = patched(detour("a")).structured.events[0]
    second = patched([add_step("b")], base=1).structured.events[0]
    run.finish("inspect", said((first.type, first.payload), (second.type, second.payload)))
    assert why(run) == "patch p-1 was applied with another content"
    assert "b" not in run.statuses()


# ---- regions, pauses, cuts ----


def test_two_regions_change_their_own_parts_only():
    spec = changing(
        [path("one", "a", "m"), path("two", "m", "z")],
        [step("a"), step("m"), step("z")],
        [after("a", "m"), after("m", "z")],
    )
    run = Run(spec)
    ops = [remove_edge("a_to_m"), add_step("x"), add_edge("a", "x"), add_edge("x", "m")]
    run.finish("a", patched(ops, region_id="one"))
    run.finish("x")
    run.finish("m", patched([remove_edge("a_to_m")], region_id="two", patch_id="p-2", base=1))
    assert why(run) == "edge a_to_m does not exist"
    run = Run(spec)
    run.finish("a", patched(ops, region_id="one"))
    run.finish("x")
    run.finish("m", patched([remove_edge("x-m")], region_id="two", patch_id="p-2", base=1))
    assert why(run) == "edge x-m does not belong to region two"
    run = Run(spec)
    run.finish("a", patched(ops, region_id="one"))
    run.finish("x")
    ops = [remove_edge("m_to_z"), add_step("y"), add_edge("m", "y"), add_edge("y", "z")]
    run.finish("m", patched(ops, region_id="two", patch_id="p-2", base=1))
    run.finish_all()
    assert run.state.status == "completed"
    assert run.state.ledger.revision == 2


def test_a_controller_that_must_not_be_cut_may_patch_in_a_pause():
    spec = changing([path()], [step("inspect"), step("report")], [after("inspect", "report")])
    writer = agent("inspect", "executor", output_message_type="inspect_done", side_effect="write")
    run = Run(replace(spec, agents=[writer, *spec.agents[1:]]))
    run.asked(Verb.PAUSE)
    run.finish("inspect", patched(detour("a")))
    assert (run.state.status, run.step("a").status) == ("paused", "queued")
    assert not run.out
    run.asked(Verb.RESUME)
    run.finish_all()
    assert run.state.status == "completed"


@pytest.mark.parametrize("cut_after", range(5))
def test_a_crash_anywhere_changes_nothing(cut_after):
    run = inspection()
    answers = {"inspect": patched(detour("a", "b")), "a": None, "b": None, "report": None}
    for count, (name, outcome) in enumerate(answers.items()):
        if count == cut_after:
            run.crashed()
        run.finish(name, outcome)
        check_ledger(run.job, run.state)
    assert run.state.status == "completed"
    assert [one.workflow["step_id"] for one in run.launches if one.launch == 1] == list(answers)


def test_the_default_output_of_a_refused_patch_is_not_sent():
    run = inspection(step("inspect", policy="continue_partial"))
    run.finish("inspect", patched([]))
    assert run.step("inspect").status == "partial"
    assert run.step("report").status == "skipped"
    assert not run.received("report")


# ---- any patches at all ----

NAMES = ["inspect", "mid", "report", "decide", "end", "a", "b", "c"]
KNOWN_EDGES = ["inspect_to_report", "decide_to_end", "e0", "e1", "e2", "e3"]
a_name = st.sampled_from(NAMES)
an_edge = st.sampled_from(KNOWN_EDGES)
an_operation = st.one_of(
    st.builds(add_step, a_name, st.sampled_from(["dig", "nope"])),
    st.builds(remove_step, a_name),
    st.builds(add_edge, a_name, a_name, an_edge),
    st.builds(remove_edge, an_edge),
)
a_detour = st.permutations(["a", "b", "c"]).flatmap(
    lambda names: st.integers(1, 3).map(lambda count: detour(*names[:count]))
)
a_fan = st.permutations(["a", "b", "c"]).flatmap(
    lambda names: st.integers(1, 3).map(lambda count: fanned(*names[:count]))
)
operations = st.one_of(st.lists(an_operation, min_size=1, max_size=6), a_detour, a_fan)


def two_regions() -> Run:
    """Return a job with both kinds of regions, whose steps may all fail."""
    names = ["inspect", "mid", "report", "decide", "end"]
    spec = changing(
        [path(), fan(leave="end")],
        [step(name, policy="continue_partial", max_attempts=2) for name in names],
        [after("inspect", "mid"), after("inspect", "report"), after("mid", "end"),
         after("decide", "end")],
        templates=[step("dig", policy="continue_partial", timeout_s=60)],
        seeds={"inspect": [{}], "decide": [{}]},
        limits={"max_patches": 6, "max_history": 2, "max_active_steps": 4},
    )  # fmt: skip
    return Run(spec)


def answer(data: st.DataObject, run: Run, step_id: str) -> Outcome:
    """Return any answer of a worker."""
    kind = data.draw(
        st.sampled_from(["plain", "patch", "patch", "patch", "fail", "rest", "spread"])
    )
    match kind:
        case "plain":
            return said(complete={"x": 1})
        case "fail":
            return failed()
        case "rest":
            return said(("workflow_controller_checkpoint", {}))
        case "spread":
            target = data.draw(a_name)
            return said(("workflow_step_scatter", {"target": target, "items": [1, 2]}))
    base = run.state.ledger.revision
    wanted = {"inspect": a_detour, "decide": a_fan}.get(step_id, operations)
    return patched(
        data.draw(st.one_of(wanted, operations)),
        patch_id=data.draw(st.sampled_from(["p-1", "p-2", "p-3", "p-4"])),
        region_id=data.draw(st.sampled_from([None, None, "followups", "fan"])),
        base=data.draw(st.sampled_from([base, base, base, 0])),
    )


def move(data: st.DataObject, run: Run) -> None:
    """Let anything happen that may."""
    kind = data.draw(st.sampled_from(["answer"] * 6 + ["crash", "pause", "timer", "mail"]))
    if kind == "answer" and run.out:
        launch = data.draw(st.sampled_from(run.out))
        run.ended(launch, answer(data, run, launch.workflow.get("step_id", "")))
    elif kind == "crash":
        run.crashed()
    elif kind == "pause":
        run.asked(Verb.PAUSE if run.state.status == "running" else Verb.RESUME)
    elif kind == "timer" and run.timers:
        run.fired(min(run.timers, key=lambda name: (run.timers[name], name)))
    else:
        run.sent(data.draw(st.sampled_from(["inspect", "decide", "dig"])), {"n": 1})


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_controllers_ask_for_the_ledger_holds_together(data):
    run = two_regions()
    for _ in range(data.draw(st.integers(1, 25))):
        if run.state.status in TERMINAL:
            break
        move(data, run)
        run.drained()
        check_ledger(run.job, run.state)
    state = new_state(run.job, run.state.job_id)
    for seq, record in enumerate(run.records, 1):
        commands, events = apply(run.job, state, decode_fact(record), seq)
        assert (commands, events) == run.steps[seq - 1]
    assert snapshot(state) == snapshot(run.state)
