"""The three programs, passing their messages on by hand, find what they were asked to find."""

import pytest

GOAL = {"target": 400.0, "tolerance": 2.0, "low": 0.0, "high": 100.0, "max_rounds": 20}


def searched(blueprint, goal):
    """Deliver messages until somebody ends the run; return the report and who was addressed."""
    states, route = {}, []
    to, kind, body = "proposer", "init", goal
    for _ in range(200):
        ran = blueprint.run(to, body, message_type=kind, state=states.get(to))
        assert ran.exit_code == 0, ran.stderr
        states[to] = ran.answer["next_state"]
        route.append(to)
        if "complete_run" in ran.answer:
            return ran.answer["complete_run"], route
        (message,) = ran.sent
        to, kind, body = message["to"], message["type"], message["body"]
    raise AssertionError("the loop does not end")


def test_the_loop_ends_with_the_power_of_the_specification(bench):
    report, route = searched(bench("closed_loop_lab"), GOAL)
    assert report["converged"]
    assert (report["rounds"], report["power"], report["temperature"]) == (8, 55.859375, 399.9419)
    assert route == ["proposer", "experiment", "analyst"] * 8
    history = report["evidence"]["history"]
    assert [entry["round"] for entry in history] == list(range(1, 9))
    assert [entry["run"] for entry in history] == list(range(1, 9))


@pytest.mark.parametrize("target", [363.75, 640])
def test_any_reachable_target_is_reached(bench, target):
    report, _ = searched(bench("closed_loop_lab"), {**GOAL, "target": target})
    assert report["converged"]
    assert abs(report["temperature"] - target) <= GOAL["tolerance"]


def test_an_unreachable_target_ends_at_the_limit_with_the_nearest_round(bench):
    report, _ = searched(bench("closed_loop_lab"), {**GOAL, "target": 1000, "max_rounds": 5})
    assert not report["converged"]
    assert report["confidence"] == 0.0
    assert (report["rounds"], report["power"]) == (5, 96.875)


def test_a_verdict_on_another_round_changes_nothing(bench):
    blueprint = bench("closed_loop_lab")
    search = blueprint.run("proposer", GOAL).answer["next_state"]
    stale = {"round": 7, "verdict": "too_hot", "error": 1.0}
    ran = blueprint.run("proposer", stale, message_type="verdict_given", state=search)
    assert ran.answer == {"events": [{"type": "stale_verdict_ignored", "payload": {"round": 7}}]}


def test_a_second_launch_answers_the_same(bench):
    blueprint = bench("closed_loop_lab")
    trial = blueprint.run("proposer", GOAL).sent[0]
    first, second = (
        blueprint.run("experiment", trial["body"], message_type=trial["type"], state={"runs": 3})
        for _ in range(2)
    )
    assert first.answer == second.answer
    assert first.answer["next_state"]["runs"] == 4


def test_an_empty_request_searches_for_the_default(bench):
    search = bench("closed_loop_lab").run("proposer", {}).answer["next_state"]
    bounds = {key: GOAL[key] for key in ("low", "high")}
    goal = {key: GOAL[key] for key in ("target", "tolerance", "max_rounds")}
    assert {key: search[key] for key in (*bounds, "goal")} == {**bounds, "goal": goal}


def test_each_program_notes_its_launch_once(bench):
    blueprint = bench("closed_loop_lab")
    trial = {"round": 1, "power": 50.0, "goal": GOAL, "run": 1, "temperature": 363.75}
    for agent_id in blueprint.executors():
        assert blueprint.run(agent_id, trial).launches == f"job/{agent_id}:1/1\n"
