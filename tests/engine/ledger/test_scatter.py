"""One step over many items."""

import pytest

from mnedge.engine.ledger import scatter
from mnedge.model.facts import AttemptEnded
from mnedge.model.states import Verb
from tests.engine.jobs import agent, succeeded
from tests.engine.ledger.flows import Run, after, flow, said, step


def tiles(*targets: str, **more) -> Run:
    targets = targets or ("tile",)
    return Run(
        flow(
            [step("cut"), *(step(name, **more) for name in targets), step("join")],
            [after("cut", name) for name in targets] + [after(name, "join") for name in targets],
        )
    )


def spread(run: Run, **payload) -> None:
    run.finish("cut", said(("workflow_step_scatter", payload), complete={"cut": True}))


def test_each_item_gets_an_instance_that_takes_the_place_of_its_target():
    run = tiles()
    spread(run, target="tile", items=["a", "b", "c"])
    assert run.statuses() == {
        "cut": "completed",
        "tile": "skipped",
        "join": "pending",
        "tile[0]": "running",
        "tile[1]": "queued",
        "tile[2]": "queued",
    }
    assert (run.step("tile").outcome, run.step("tile[2]").outcome) == ("mapped", None)
    (told,) = run.told("workflow_step_scattered")
    assert told["count"] == 3
    assert told["instance_ids"] == ["tile[0]", "tile[1]", "tile[2]"]
    run.finish_all()
    assert list(run.received("tile")) == [
        {"item": "a", "map_index": 0},
        {"item": "b", "map_index": 1},
        {"item": "c", "map_index": 2},
    ]
    assert run.state.status == "completed"
    record = run.view["steps"]["tile[1]"]
    assert (record["map_index"], record["map_item"], record["label"]) == (1, "b", "tile [1]")


def test_targets_take_turns_under_the_index_of_all():
    run = tiles("left", "right")
    spread(run, targets=["left", "right"], items=[1, 2, 3])
    assert list(run.statuses())[4:] == ["left[0]", "right[1]", "left[2]"]
    assert [one.workflow["step_id"] for one in run.out] == ["left[0]", "right[1]"]


def test_an_instance_knows_what_it_is():
    run = tiles()
    spread(run, target="tile", items=[{"n": 7}])
    (launch,) = run.out
    assert launch.workflow["step_id"] == "tile[0]"
    assert launch.workflow["map_item"] == {"n": 7}
    assert launch.message.headers["mn.workflow.step_id"] == "tile[0]"
    assert launch.message.type == "workflow_scatter_item"


def test_the_join_waits_for_all_instances_and_every_edge_is_crossed():
    run = tiles()
    spread(run, target="tile", items=[1, 2])
    ends = [(edge["from"], edge["to"]) for edge in run.view["edges"]]
    assert ends == [
        ("cut", "tile[0]"),
        ("cut", "tile[1]"),
        ("tile[0]", "join"),
        ("tile[1]", "join"),
    ]
    run.finish("tile[0]")
    assert run.statuses()["join"] == "blocked"
    run.finish("tile[1]")
    assert run.statuses()["join"] == "running"


def test_one_failing_instance_follows_the_policy_of_its_target():
    run = tiles(policy="continue_partial", max_attempts=2, retry_backoff_ms=0)
    spread(run, target="tile", items=[1, 2])
    run.fail("tile[0]")
    assert run.statuses()["tile[0]"] == "queued"
    run.finish("tile[1]")
    run.fail("tile[0]")
    assert (run.statuses()["tile[0]"], run.step("tile[0]").outcome) == ("partial", "failed")
    assert run.statuses()["join"] == "skipped"


def test_nothing_to_scatter_skips_the_target_once_the_scatterer_is_done():
    run = tiles()
    spread(run, target="tile", items=[])
    assert (run.statuses()["tile"], run.step("tile").outcome) == ("skipped", "mapped")
    assert run.told("workflow_step_scattered")[0]["count"] == 0


def test_instances_of_a_step_without_parents_start_at_once():
    run = Run(flow([step("cut"), step("root")], [], seeds={"cut": [{}], "root": [{}]}, sink=None))
    run.finish("cut", said(("workflow_step_scatter", {"target": "root", "items": [1, 2]})))
    assert run.statuses()["root[0]"] == "running"
    assert run.statuses()["root[1]"] == "queued"
    run.finish_all()
    run.fired("idle")
    assert run.state.status == "completed"


@pytest.mark.parametrize(
    "payload, reason",
    [
        ({"items": [1]}, "it names no target"),
        ({"target": "tile", "items": "many"}, "items must be a list"),
        ({"target": "tile", "items": [1, 2], "max_items": 1}, "2 items are more than max_items 1"),
        ({"target": "tile", "items": list(range(1001))}, "1001 items are more than max_items 1000"),
        ({"target": "mosaic", "items": [1]}, "unknown target mosaic"),
        ({"target": "cut", "items": [1]}, "a step cannot scatter over itself"),
    ],
)
def test_a_scatter_that_cannot_be_is_rejected_and_the_step_goes_on(payload, reason):
    run = tiles()
    spread(run, **payload)
    (told,) = run.told("workflow_step_scatter_rejected")
    assert told["reason"] == reason
    assert run.statuses()["cut"] == "completed"


def test_a_terminal_target_takes_no_items():
    run = Run(
        flow([step("done"), step("cut"), step("end")], [after("done", "cut"), after("cut", "end")])
    )
    run.finish("done")
    spread(run, target="done", items=[1])
    assert run.told("workflow_step_scatter_rejected")[0]["reason"] == (
        "target done is already completed"
    )


def test_a_scattered_job_goes_on_after_a_crash_and_a_pause():
    run = tiles()
    spread(run, target="tile", items=[1, 2, 3])
    run.crashed()
    run.finish("tile[0]")
    run.asked(Verb.PAUSE)
    run.crashed()
    run.asked(Verb.RESUME)
    run.finish_all()
    assert run.state.status == "completed"
    assert run.step("tile[1]").attempt_count == 1


def test_a_gathering_join_sees_every_item():
    agents = [
        agent("cut", "executor", output_message_type="cut_done"),
        agent("tile", "executor", output_message_type="tile_done"),
        agent("join", "executor", output_message_type="join_done", workflow_complete_step=False),
    ]
    run = Run(
        flow(
            [step("cut"), step("tile"), step("join")],
            [after("cut", "tile"), after("tile", "join")],
            agents=agents,
        )
    )
    spread(run, target="tile", items=[1, 2, 3])
    seen = []

    def outcome(step_id: str):
        if step_id == "join":
            seen.append(step_id)
            return said(complete={"items": 3}) if len(seen) == 3 else None
        return None

    run.finish_all(outcome)
    assert len(run.received("join")) == 3
    assert run.state.status == "completed"


def test_the_ids_that_are_told_are_bounded(monkeypatch):
    monkeypatch.setattr(scatter, "IDS_TOLD", 2)
    run = tiles()
    spread(run, target="tile", items=[1, 2, 3])
    assert run.told("workflow_step_scattered")[0]["instance_ids"] == ["tile[0]", "tile[1]"]


def test_a_scatter_of_ten_thousand_steps_completes():
    run = tiles()
    spread(run, target="tile", items=list(range(10_000)), max_items=10_000)
    run.drained()
    while run.state.status == "running":
        flights = [one.flight for one in run.state.agents if one.flight is not None]
        for flight in flights:
            answer = AttemptEnded(
                at=run.at, attempt_id=flight.work_id, launch=flight.launch, outcome=succeeded()
            )
            run.give(answer)
            run.drained()
    assert run.state.status == "completed"
    statuses = list(run.statuses().values())
    assert (statuses.count("completed"), statuses.count("skipped")) == (10_002, 1)


def test_scatters_that_multiply_each_other_fail_the_job_before_they_fill_the_memory():
    run = Run(
        flow(
            [step("a"), step("b"), step("c")],
            [after("a", "b"), after("b", "c")],
            policies={"max_state_bytes": 20_000_000},
        )
    )
    payload = {"target": "b", "items": list(range(1000))}
    run.finish("a", said(("workflow_step_scatter", payload), complete={}))
    payload = {"target": "c", "items": list(range(100_000)), "max_items": 100_000}
    run.finish("b[0]", said(("workflow_step_scatter", payload)))
    assert run.finished.error["code"] == "job.max_state_bytes"
    assert "step b[0] scatters" in run.finished.error["details"]["message"]
    assert len(run.state.ledger.edges) < 5000


def test_an_instance_takes_no_other_steps_id():
    run = Run(flow([step("cut"), step("tile"), step("tile[1]")], [after("cut", "tile")]))
    spread(run, target="tile", items=[1, 2])
    rejected = run.told("workflow_step_scatter_rejected")[0]
    assert rejected["reason"] == "step tile[1] exists already"
    assert run.statuses()["tile"] == "running"


def test_the_items_of_instances_weigh():
    run, other = tiles(), tiles()
    spread(run, target="tile", items=["x" * 10_000])
    spread(other, target="tile", items=["x"])
    for one in (run, other):
        one.finish("tile[0]", succeeded())
    assert run.state.kept_bytes > other.state.kept_bytes + 19_000  # and in its agent's output
