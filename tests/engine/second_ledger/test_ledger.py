"""The second ledger alone, against hand-made cases from the specification."""

from itertools import pairwise
from random import Random
from typing import Any

import pytest

from mnedge.model.facts import Completion, NamedEvent, Outcome, Structured
from mnedge.model.manifest import Agent, Dynamic, Edge, JobSpec, Region, Step, StepEdge, Workflow
from mnedge.model.states import AgentKind, FailurePolicy, OutcomeStatus, TriggerRule
from tests.engine.second_ledger.histories import draw_move, draw_spec
from tests.engine.second_ledger.ledger import OVER, Ledger
from tests.engine.second_ledger.plain import Plain

SINK = {"complete_on_message": True, "terminal_sink": True, "complete_run": True}
PARTIAL = {"failure_policy": FailurePolicy.CONTINUE_PARTIAL}


def step(name: str, **more: Any) -> Step:
    return Step(step_id=name, agent_id=name, agent_ids=[name], **more)


def spec(
    steps: list[Step],
    arrows: str,
    *,
    accepts: dict[str, list[str]] | None = None,
    unsent: str = "",
    configs: dict[str, dict[str, Any]] | None = None,
    sink: bool = True,
    **more: Any,
) -> JobSpec:
    """Return a job; `a>b` is an edge of steps, and one of agents unless `unsent` names it."""
    pairs = [tuple(arrow.split(">")) for arrow in arrows.split()]
    configs = configs or {}
    dynamic = more.get("dynamic")
    workers = [*steps, *(dynamic.templates if dynamic else [])]
    agents = [
        Agent(agent_id=s.step_id, kind=AgentKind.EXECUTOR, config=configs.get(s.step_id, {}))
        for s in workers
    ]
    sent = [pair for pair in pairs if ">".join(pair) not in unsent.split()]
    last = steps[-1].step_id
    if sink:
        agents.append(Agent(agent_id="sink", kind=AgentKind.AGGREGATOR, config=SINK))
        sent.append((last, "sink"))
    edges = [
        StepEdge(
            edge_id=f"{a}_{b}",
            source=a,
            target=b,
            accepts=(accepts or {}).get(f"{a}>{b}", ["done"]),
        )
        for a, b in pairs
    ]
    roots = [s.step_id for s in steps if all(e.target != s.step_id for e in edges)]
    return JobSpec(
        blueprint_id="trial",
        graph_id="trial",
        job_name="trial",
        agents=agents,
        edges=[Edge(edge_id=f"{a}{b}", sender=a, target=b, message_type="*") for a, b in sent],
        entrypoints=roots,
        seeds={name: [{"token": f"seed:{name}"}] for name in roots},
        workflow=Workflow(steps=steps, edges=edges, sink=last, **more),
    )


class Job:
    """A second ledger, told what happens in few words."""

    def __init__(self, *args: Any, **more: Any) -> None:
        self.ledger = Ledger(spec(*args, **more))
        self.at = 0.0
        self.ledger.submitted(0.0)

    def done(self, agent: str, *events: NamedEvent, complete: bool = False) -> None:
        said = None
        if events or complete:
            completions = [Completion(scope="step", default=True)] if complete else []
            said = Structured(events=list(events), completions=completions)
        outcome = Outcome(status=OutcomeStatus.SUCCEEDED, structured=said)
        self.ledger.ended(self.at, agent, outcome, f"out:{agent}")

    def failed(self, agent: str) -> None:
        outcome = Outcome(status=OutcomeStatus.FAILED, error={"error": "no luck"})
        self.ledger.ended(self.at, agent, outcome, f"out:{agent}")

    def passes(self, until: float) -> None:
        timers = self.ledger.timers()
        while timers and timers[0][0] <= until:
            self.at = timers[0][0]
            self.ledger.fired(*timers[0])
            timers = self.ledger.timers()
        self.at = until

    @property
    def out(self) -> list[str]:
        """What runs, as the attempts of steps."""
        return sorted(f["attempt"] for f in self.ledger.flights.values() if not f["parked"])

    def status(self, name: str) -> str:
        return str(self.ledger.steps[name]["status"])

    def outcome(self, name: str) -> Any:
        return self.ledger.steps[name]["outcome"]

    def told(self, name: str) -> list[str]:
        """What was said of a step, in order."""
        prefix = "workflow_step_"
        return [e.removeprefix(prefix) for e, about in self.ledger.events if about == name]

    @property
    def types(self) -> list[str]:
        return [event for event, _ in self.ledger.events]


def event(kind: str, **payload: Any) -> NamedEvent:
    return NamedEvent(type=f"workflow_{kind}", payload=payload)


# ---- the worked example of bundle format 3.17 ----


def worked(**report: Any) -> Job:
    fetch = step("fetch", timeout_s=20, max_attempts=2, retry_backoff_ms=500)
    radar = step("radar", timeout_s=20, **PARTIAL)
    last = step("report", **report)
    arrows = "fetch>radar fetch>buoy radar>report buoy>report"
    return Job([fetch, radar, step("buoy"), last], arrows)


def test_the_worked_example_goes_as_its_trace_says():
    job = worked(rule=TriggerRule.ONE_SUCCESS)
    assert job.out == ["fetch:attempt:1"]
    assert job.ledger.steps["fetch"]["deadline_at"] == 20
    job.passes(3)
    job.failed("fetch")
    assert (job.status("fetch"), job.ledger.steps["fetch"]["retry_at"]) == ("retry_wait", 3.5)
    job.passes(3.5)
    assert job.out == ["fetch:attempt:2"]
    job.passes(6)
    job.done("fetch")
    assert job.out == ["buoy:attempt:1", "radar:attempt:1"]
    job.passes(8)
    job.failed("radar")
    assert (job.status("radar"), job.outcome("radar")) == ("partial", "failed")
    assert job.told("radar")[-2:] == ["failed", "partial"]
    assert job.status("report") == "pending"
    job.passes(15)
    job.done("buoy")
    assert job.out == ["report:attempt:1"]
    job.passes(17)
    job.done("report")
    assert job.types[-2:] == ["workflow_step_completed", "job_completed"]


def test_the_variant_of_the_worked_example_skips_its_report_and_ends_by_silence():
    job = worked()
    job.done("fetch")
    job.failed("radar")
    job.done("buoy")
    assert (job.status("report"), job.outcome("report")) == ("skipped", "skipped")
    job.passes(1.5)
    assert job.types[-2:] == ["workflow_completion_inferred", "job_completed"]


# ---- rules ----


@pytest.mark.parametrize(
    "rule, ends, expected",
    [
        (TriggerRule.ALL_SUCCESS, "ss", "running"),
        (TriggerRule.ALL_SUCCESS, "sp", "skipped"),
        (TriggerRule.ALL_DONE, "pp", "running"),
        (TriggerRule.ALL_DONE, "s", "blocked"),
        (TriggerRule.ONE_SUCCESS, "s", "running"),
        (TriggerRule.ONE_SUCCESS, "p", "pending"),
        (TriggerRule.ONE_SUCCESS, "pp", "skipped"),
        (TriggerRule.ONE_DONE, "p", "running"),
        (TriggerRule.ONE_DONE, "s", "running"),
        (TriggerRule.ONE_FAILED, "p", "running"),
        (TriggerRule.ONE_FAILED, "s", "blocked"),
        (TriggerRule.ONE_FAILED, "ss", "skipped"),
        (TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, "ss", "running"),
        (TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, "sp", "skipped"),
        (TriggerRule.QUORUM_SUCCESS, "ss", "running"),
        (TriggerRule.QUORUM_SUCCESS, "s", "blocked"),
        (TriggerRule.QUORUM_SUCCESS, "p", "skipped"),
    ],
)
def test_what_a_rule_makes_of_its_parents(rule, ends, expected):
    """s: a parent succeeds, p: a parent fails and may."""
    parents = [step("a", **PARTIAL), step("b", **PARTIAL)]
    job = Job([*parents, step("c", rule=rule, quorum=2)], "a>c b>c")
    for parent, end in zip("ab", ends, strict=False):
        (job.done if end == "s" else job.failed)(parent)
    assert job.status("c") == expected


@pytest.mark.parametrize(
    "accepts, expected",
    [(["done"], "skipped"), (["completed"], "skipped"), (["done", "partial"], "running")],
)
def test_a_partial_parent_counts_where_the_edge_accepts_it(accepts, expected):
    steps = [step("a", **PARTIAL), step("b")]
    job = Job(steps, "a>b", accepts={"a>b": accepts}, unsent="a>b")
    job.failed("a")
    assert job.status("b") == expected


def test_done_and_completed_are_one():
    job = Job([step("a"), step("b")], "a>b", accepts={"a>b": ["completed"]})
    job.done("a")
    assert job.out == ["b:attempt:1"]


def test_a_message_is_made_where_none_will_come():
    job = Job([step("a"), step("b")], "a>b", unsent="a>b")
    job.done("a")
    assert job.told("b") == ["triggered", "attempt_started"]


def test_a_step_that_waits_for_a_message_in_vain_is_triggered_by_silence():
    config = {"a": {"output_message_type": None}}
    job = Job([step("a"), step("b")], "a>b", configs=config)
    job.done("a")
    assert job.status("b") == "ready"
    job.passes(1)
    assert job.told("b") == ["triggered", "attempt_started"]


# ---- messages ----


def test_messages_wait_in_order_and_a_join_runs_once():
    job = Job([step("a"), step("b"), step("c")], "a>c b>c", sink=False)
    job.done("a")
    assert job.told("c") == ["blocked"]
    job.done("b")
    assert job.ledger.flights["c"]["message"]["label"] == "out:a"
    job.done("c")
    assert job.told("c")[-2:] == ["completed", "duplicate_message_ignored"]


def test_a_step_that_completes_by_its_own_word_sees_every_message():
    config = {"c": {"workflow_complete_step": False}}
    job = Job([step("a"), step("b"), step("c")], "a>c b>c", configs=config)
    job.done("a")
    job.done("b")
    job.done("c")
    assert job.ledger.flights["c"]["message"]["label"] == "out:b"
    assert job.out == ["c:attempt:1"]
    job.done("c", complete=True)
    assert job.ledger.status == "completed"


# ---- attempts ----


def test_waits_between_attempts_grow_by_the_multiplier():
    job = Job([step("a", max_attempts=4, timeout_s=1)], "")
    starts = [0.0]
    for _ in range(3):
        job.failed("a")
        starts.append(job.ledger.steps["a"]["retry_at"])
        job.passes(starts[-1])
    assert [b - a for a, b in pairwise(starts)] == [1, 2, 4]
    job.failed("a")
    assert job.types[-2:] == ["workflow_step_failed", "job_failed"]


def test_a_deadline_and_silence_cut_an_attempt_short():
    first = step("a", timeout_s=20, beacon_timeout_ms=4000, max_attempts=2, retry_backoff_ms=0)
    job = Job([first], "")
    job.passes(3)
    job.ledger.beacon(3, "a", None)
    job.passes(6.9)
    assert job.out == ["a:attempt:1"]
    job.passes(7)
    assert job.out == ["a:attempt:2"]
    for beat in range(8, 27, 3):
        job.passes(beat)
        job.ledger.beacon(beat, "a", None)
    job.passes(27)
    assert job.types[-2:] == ["workflow_step_failed", "job_failed"]
    assert job.told("a").count("attempt_timed_out") == 2


def test_an_attempt_that_fails_itself_completes_nothing_and_sends_nothing():
    job = Job([step("a", max_attempts=2), step("b")], "a>b")
    job.done("a", event("step_failed", reason="so"))
    assert job.status("a") == "retry_wait"
    assert job.ledger.mail["b"] == []


def test_a_report_of_another_attempt_is_stale():
    job = Job([step("a", max_attempts=2, retry_backoff_ms=0)], "")
    job.failed("a")
    job.ledger.said(job.at, "a", event("step_completed", attempt_id="a:attempt:1"))
    assert job.told("a")[-1] == "stale_output_ignored"
    assert job.out == ["a:attempt:2"]


def test_a_crash_gives_an_attempt_all_its_time_again():
    job = Job([step("a", timeout_s=20)], "")
    job.ledger.recovered(500)
    assert job.out == ["a:attempt:1"]
    assert job.ledger.flights["a"]["launch"] == 2
    assert job.ledger.steps["a"]["deadline_at"] == 520


def test_a_pause_stops_the_clock():
    job = Job([step("a", timeout_s=20)], "")
    job.ledger.asked(5, "pause", "p")
    assert (job.out, job.ledger.timers()) == ([], [])
    assert job.told("a")[-1] == "blocked"
    job.ledger.asked(105, "resume", "r")
    assert job.out == ["a:attempt:1"]
    assert job.ledger.steps["a"]["deadline_at"] == 120


def test_work_that_writes_and_cannot_be_repeated_finishes_in_a_pause():
    job = Job([step("a"), step("b")], "a>b", configs={"a": {"side_effect": "write"}})
    job.ledger.asked(5, "pause", "p")
    job.done("a")
    assert (job.status("a"), job.out) == ("completed", [])
    job.ledger.asked(6, "resume", "r")
    assert job.out == ["b:attempt:1"]


# ---- branch, skip, scatter ----


def test_a_branch_skips_what_it_does_not_name_and_what_hangs_on_that_alone():
    steps = [step(name) for name in "abcd"]
    steps.append(step("e", rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS))
    job = Job(steps, "a>b a>c c>d b>e d>e")
    job.done("a", event("step_branch", branches=["b"]))
    assert [job.status(name) for name in "bcde"] == ["running", "skipped", "skipped", "pending"]
    job.done("b")
    assert job.out == ["e:attempt:1"]


def test_a_skip_with_downstream_stops_what_runs_below():
    steps = [step("a"), step("b"), step("c", rule=TriggerRule.ONE_SUCCESS), step("d")]
    job = Job(steps, "a>c b>c c>d")
    job.done("a")
    assert job.out == ["b:attempt:1", "c:attempt:1"]
    job.done("b", event("step_skipped", skip_downstream=True))
    assert [job.status(name) for name in "bcd"] == ["skipped", "skipped", "skipped"]
    assert job.out == []


def test_a_scatter_puts_instances_in_the_targets_place():
    job = Job([step("a"), step("b"), step("c"), step("d")], "a>b a>c b>d c>d", unsent="b>d c>d")
    job.done("a", event("step_scatter", targets=["b", "c"], items=[1, 2, 3]))
    assert job.ledger.order == ["a", "b", "c", "d", "b[0]", "c[1]", "b[2]"]
    assert (job.status("b"), job.outcome("b")) == ("skipped", "mapped")
    assert job.out == ["b[0]:attempt:1", "c[1]:attempt:1"]
    job.done("b")
    assert job.out == ["b[2]:attempt:1", "c[1]:attempt:1"]
    job.done("c")
    assert job.status("d") == "pending"
    job.done("b")
    assert job.told("d") == ["triggered", "attempt_started"]


def test_a_scatter_of_nothing_skips_its_targets_when_the_scatterer_completes():
    job = Job([step("a"), step("b")], "a>b", unsent="a>b")
    job.done("a", event("step_scatter", target="b", items=[]))
    assert (job.status("b"), job.outcome("b")) == ("skipped", "mapped")


def test_a_scatter_to_a_step_that_is_over_is_refused():
    job = Job([step("a"), step("b"), step("c")], "a>b b>c")
    job.done("a")
    job.done("b", event("step_scatter", target="a", items=[1]))
    assert "scatter_rejected" in job.told("b")
    assert job.status("b") == "completed"


# ---- graphs that change ----


def dynamic(strategy: str, leaves: str | None) -> dict[str, Any]:
    mutable = ["a_b"] if strategy == "replace_path" else []
    region = Region(
        region_id="r",
        strategy=strategy,
        controller="a",
        exit=leaves,
        templates=["t"],
        mutable_edges=mutable,
    )
    return {"mode": "dynamic_dag", "dynamic": Dynamic(templates=[step("t")], regions=[region])}


def patch(*operations: dict[str, Any], patch_id: str = "p", base: int = 0) -> NamedEvent:
    return event(
        "graph_patch",
        patch_id=patch_id,
        region_id="r",
        base_revision=base,
        operations=list(operations),
    )


def add(name: str) -> dict[str, Any]:
    return {"op": "add_step", "id": name, "template": "t", "with": {}}


def link(source: str, target: str) -> dict[str, Any]:
    return {"op": "add_edge", "id": f"{source}-{target}", "from": source, "to": target}


def test_a_path_is_replaced_and_every_step_of_it_triggered():
    job = Job([step("a"), step("b")], "a>b", **dynamic("replace_path", "b"))
    cut = {"op": "remove_edge", "id": "a_b"}
    job.done("a", patch(cut, add("x"), link("a", "x"), link("x", "b")))
    assert job.ledger.revision == 1
    assert job.out == ["x:attempt:1"]
    assert job.told("b") == ["blocked"]
    job.done("t")
    assert job.out == ["b:attempt:1"]


@pytest.mark.parametrize(
    "change",
    [
        patch(add("x"), link("a", "x"), link("x", "b"), base=1),
        patch(add("x"), link("a", "x")),
        patch({"op": "remove_edge", "id": "a_b"}),
        patch(add("x"), link("a", "x"), link("x", "b"), link("b", "x")),
        patch({**add("x"), "template": "none"}),
        patch(link("a", "nowhere")),
    ],
)
def test_a_patch_that_breaks_a_rule_changes_nothing_and_fails_the_attempt(change):
    first = step("a", max_attempts=2)
    job = Job([first, step("b")], "a>b", **dynamic("replace_path", "b"))
    job.done("a", change)
    assert "workflow_graph_patch_rejected" in job.types
    assert (job.ledger.revision, job.ledger.order) == (0, ["a", "b"])
    assert job.status("a") == "retry_wait"


def test_a_known_patch_is_replayed():
    job = Job([step("a"), step("b")], "a>b", **dynamic("replace_path", "b"))
    change = patch(add("x"), link("a", "x"), link("x", "b"))
    job.done("a", change, change)
    assert "workflow_graph_patch_replayed" in job.types
    assert job.ledger.revision == 1


def test_a_fan_out_starts_at_once_and_leaves_the_graph_when_it_is_over():
    job = Job([step("a"), step("b")], "a>b", **dynamic("checkpoint_fanout", None))
    job.ledger.said(0, "a", patch(add("x"), link("a", "x")))
    assert job.status("a") == "waiting"
    assert "x:attempt:1" in job.out
    job.done("t")
    assert "workflow_dynamic_steps_retired" in job.types
    assert job.ledger.order == ["a", "b"]


# ---- the end ----


def test_a_result_that_comes_too_soon_waits_for_the_steps():
    job = Job([step("a"), step("b"), step("c")], "a>c", unsent="")
    job.done("a")
    job.done("c")
    assert job.types[-1] == "workflow_completion_deferred"
    job.done("b")
    assert job.types[-2:] == ["workflow_completion_resumed", "job_completed"]


def test_a_job_that_cannot_go_on_fails_after_half_a_minute():
    config = {"a": {"workflow_complete_step": False}}
    job = Job([step("a", timeout_s=None), step("b")], "a>b", configs=config)
    job.done("a")
    job.passes(29)
    assert job.ledger.status == "running"
    job.passes(30)
    assert job.ledger.status == "failed"


# ---- whatever happens ----


@pytest.mark.parametrize("seed", range(150))
def test_a_history_keeps_what_must_hold(seed):
    rng = Random(seed)
    side = Plain(draw_spec(rng))
    ledger, number = side.ledger, 0
    while (move := draw_move(rng, ledger, number)) is not None:
        side.move(move)
        number += 1
        for name, one in ledger.steps.items():
            assert (one["attempt"] is not None) == (one["status"] == "running")
            assert (one["retry_at"] is not None) == (one["status"] == "retry_wait")
            assert ledger.spent_attempts(one) <= one["definition"].max_attempts
            if ledger.status == "running" and one["status"] in ("pending", "ready", "blocked"):
                assert not ledger.impossible(name)
                assert not (one["waiting"] and ledger.satisfied(name))
        for flight in ledger.flights.values():
            assert not flight["parked"] or ledger.status == "paused"
        if ledger.flow.max_parallel_steps is not None:
            assert ledger.running() <= ledger.flow.max_parallel_steps
    assert ledger.status in OVER or ledger.spec.job_type == "service"
