"""The line for a place among the running steps."""

from mnedge.model.facts import MessageArrived, NamedEvent, WorkerSaid
from mnedge.model.message import normalise
from tests.engine.jobs import agent
from tests.engine.ledger.flows import Run, after, flow, said, step


def fan(most: int, names: str = "abcd", **more) -> Run:
    return Run(
        flow(
            [step("start"), *(step(name, **more) for name in names), step("end", "all_done")],
            [after("start", name) for name in names] + [after(name, "end") for name in names],
            workflow={"max_parallel_steps": most},
        )
    )


def out(run: Run) -> list[str]:
    return [launch.workflow["step_id"] for launch in run.out]


def test_without_a_limit_nobody_stands_in_line():
    run = Run(flow([step("a"), step("b")], [], seeds={"a": [{}], "b": [{}]}))
    assert out(run) == ["a", "b"]
    assert run.state.ledger.line == []


def test_a_freed_place_goes_to_the_step_that_was_queued_first():
    run = fan(1, max_attempts=2, retry_backoff_ms=0)
    run.finish("start")
    assert out(run) == ["a"]
    run.fail("a")  # its next attempt stands behind all others
    assert out(run) == ["b"]
    run.finish("b")
    run.finish("c")
    run.finish("d")
    assert out(run) == ["a"]


def test_a_busy_agent_holds_nobody_up():
    spec = flow(
        [step("start"), step("one"), step("two", agent_ids=["one"]), step("other"), step("end")],
        [
            after("start", "one"),
            after("start", "two"),
            after("start", "other"),
            after("one", "end"),
            after("two", "end"),
            after("other", "end"),
        ],
        agents=[agent(name, "executor", output_message_type=f"{name}_done")
                for name in ("start", "one", "other", "end")],
        messages=[],
        workflow={"max_parallel_steps": 2},
    )  # fmt: skip
    run = Run(spec)
    run.finish("start")
    assert out(run) == ["one", "other"]
    run.finish("other")
    assert out(run) == ["one"]
    run.finish("one")
    assert out(run) == ["two"]


def test_instances_of_one_agent_leave_places_to_others():
    run = Run(
        flow(
            [step("cut"), step("tile"), step("aside"), step("end", "all_done")],
            [after("cut", "tile"), after("cut", "aside"), after("tile", "end"),
             after("aside", "end")],
            workflow={"max_parallel_steps": 2},
        )
    )  # fmt: skip
    run.finish("cut", said(("workflow_step_scatter", {"target": "tile", "items": [1, 2, 3]})))
    assert out(run) == ["tile[0]", "aside"]


def test_a_skipped_step_leaves_the_line():
    run = fan(1, "ab")
    run.finish("start")
    run.finish("a", said(("workflow_step_skipped", {"step": "b"})))
    assert run.statuses()["b"] == "skipped"
    assert out(run) == ["end"]
    assert run.state.ledger.line == []


def test_the_line_survives_a_crash():
    run = fan(2)
    run.finish("start")
    run.crashed()
    run.finish("a")
    assert out(run) == ["b", "c"]
    run.finish_all()
    assert run.state.status == "completed"


def test_a_step_that_runs_is_worked_for_before_one_that_waits_for_a_place():
    steps = [
        step("pair", agent_ids=["q", "p"], max_attempts=2, timeout_s=None),
        step("first", agent_ids=["p"]),
        step("then", agent_ids=["p"]),
    ]
    spec = flow(
        steps,
        [after("first", "then")],
        agents=[agent(name, "executor", workflow_complete_step=False) for name in "pq"],
        messages=[],
        seeds={"q": [{}]},
        sink=None,
        workflow={"max_parallel_steps": 1},
    )
    run = Run(spec)
    sent_for(run, "p", "pair")
    run.ended(next(one for one in run.out if one.agent_id == "p"))
    run.fail("pair")  # both messages are to be delivered again
    sent_for(run, "p", "then")
    sent_for(run, "p", "first")
    (launch,) = run.out
    event = NamedEvent(type="workflow_step_completed", payload={})
    run.give(WorkerSaid(at=run.at, work_id=launch.attempt_id, launch=1, event=event))
    assert run.statuses() == {"pair": "retry_wait", "first": "completed", "then": "queued"}
    run.fired("step:pair:retry")
    run.ended(launch)
    assert [(one.agent_id, one.workflow["step_id"]) for one in run.out] == [
        ("q", "pair"),
        ("p", "pair"),
    ]


def sent_for(run: Run, to: str, step_id: str) -> None:
    value = {"envelope": {"to": to}, "headers": {"mn.workflow.step_id": step_id}, "body": {}}
    seed = f"{to}:{step_id}"
    message = normalise(value, at=run.at, seed=seed, sender="external", class_="command")
    run.give(MessageArrived(at=run.at, message=message))
