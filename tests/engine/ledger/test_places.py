"""The line for a place among the running steps."""

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
