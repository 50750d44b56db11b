"""Ways not taken."""

from tests.engine.ledger.flows import Run, after, flow, said, step


def fork(join: str = "none_failed_min_one_success") -> Run:
    return Run(
        flow(
            [step("choose"), step("dry"), step("wet"), step("drain"), step("report", join)],
            [
                after("choose", "dry"),
                after("choose", "wet"),
                after("wet", "drain"),
                after("dry", "report"),
                after("drain", "report"),
            ],
        )
    )


def test_children_that_are_not_selected_are_skipped_with_all_that_only_follows_them():
    run = fork()
    run.finish("choose", said(("workflow_step_branch", {"branches": ["dry"]})))
    assert run.statuses() == {
        "choose": "completed",
        "dry": "running",
        "wet": "skipped",
        "drain": "skipped",
        "report": "pending",
    }
    assert run.step("wet").reason == "not selected by branch choose"
    (told,) = run.told("workflow_branch_selected")
    assert (told["selected"], told["skipped"]) == (["dry"], ["wet", "drain"])
    run.finish_all()
    assert run.state.status == "completed"
    assert run.statuses()["report"] == "completed"


def test_a_branch_may_be_named_alone_and_an_unknown_one_is_told():
    run = fork()
    run.finish("choose", said(("workflow_step_branch", {"branch": "mud"})))
    (told,) = run.told("workflow_branch_selected")
    assert told["unknown"] == ["mud"]
    assert run.statuses()["dry"] == run.statuses()["wet"] == "skipped"
    assert run.statuses()["report"] == "skipped"
    run.fired("idle")
    assert run.state.status == "completed"


def test_a_step_that_skips_itself_stays_alone_in_that():
    run = Run(flow([step("a"), step("b", "all_done")], [after("a", "b")]))
    run.finish("a", said(("workflow_step_skipped", {"reason": "nothing new"})))
    assert run.statuses() == {"a": "skipped", "b": "running"}
    assert run.step("a").reason == "nothing new"


def test_a_short_circuit_skips_all_descendants_and_stops_those_that_run():
    run = Run(
        flow(
            [step("check"), step("early"), step("late", "all_done"), step("aside")],
            [after("check", "late"), after("early", "late"), after("aside", "late")],
            seeds={"check": [{}], "early": [{}], "aside": [{}]},
            sink="late",
        )
    )
    run.finish("early")
    run.finish("check", said(("workflow_step_skipped", {"skip_downstream": True})))
    assert run.statuses() == {
        "check": "skipped",
        "early": "completed",
        "late": "skipped",
        "aside": "running",
    }
    assert run.step("late").reason == "short-circuited by check"


def test_what_waited_for_a_skipped_step_is_ignored():
    run = Run(
        flow(
            [step("a"), step("check"), step("join")],
            [after("a", "join"), after("check", "join")],
            seeds={"a": [{}], "check": [{}]},
        )
    )
    run.finish("a")
    run.finish("check", said(("workflow_step_skipped", {"skip_downstream": True})))
    assert next(one["step_id"] for one in run.told("workflow_step_duplicate_message_ignored")) == (
        "join"
    )
    assert run.state.queued_bytes == 0
