"""Random workflows: joins of every rule, fallbacks, retries, scatters, branches, patches.

What a worker does follows from the step and the number of its attempt, never from the launch. So
what becomes of each step does not depend on who crashed when, and can be told beforehand.
"""

from itertools import pairwise
from random import Random
from typing import Any

from msgspec import Struct

from mnedge.engine.ledger.state import StepState
from mnedge.execution.output import said
from mnedge.model.commands import RunAttempt
from mnedge.model.facts import NamedEvent, Outcome, WorkerSaid
from mnedge.model.manifest import Agent, Dynamic, Edge, JobSpec, Region, Step, StepEdge, Workflow
from mnedge.model.states import TERMINAL, AgentKind, FailurePolicy, OutcomeStatus, TriggerRule
from tests.engine.jobs import Play
from tests.simulation.outside import EARLY, Doing, doing_of_step, stdout_of_step

RULES = (
    *[TriggerRule.ALL_SUCCESS] * 4,
    TriggerRule.ALL_DONE,
    TriggerRule.ONE_SUCCESS,
    TriggerRule.ONE_DONE,
    TriggerRule.ONE_FAILED,
    TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
    TriggerRule.QUORUM_SUCCESS,
)
PATIENT = (
    TriggerRule.ALL_SUCCESS,
    TriggerRule.ALL_DONE,
    TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
)
"""Rules under which a step waits for all its parents."""
SOFT = (FailurePolicy.CONTINUE_PARTIAL, FailurePolicy.SKIP)
MOST_FACTS = 2000
SILENT = ("hang", "mute")


class End(Struct, frozen=True):
    """What became of a step."""

    status: str
    outcome: str | None
    attempts: int


def ends(steps: dict[int, StepState]) -> dict[str, End]:
    """Return what became of each step."""
    return {one.step_id: End(one.status, one.outcome, one.attempt_count) for one in steps.values()}


# ---- making them ----


def workflow(random: Random, *, sturdy: bool) -> JobSpec:
    """Return a job of two to seven steps.

    `sturdy`: a step that must succeed does so at last, so that the job completes.
    """
    names = [f"s{number}" for number in range(random.randint(2, 7))]
    parents = {
        name: sorted(random.sample(names[:at], random.randint(1, min(at, 3))))
        for at, name in enumerate(names)
        if at
    }
    edges = [
        StepEdge(
            edge_id=f"{parent}_to_{name}",
            source=parent,
            target=name,
            accepts=random.choice((["done"], ["done"], ["done", "partial", "skipped"])),
        )
        for name, above in parents.items()
        for parent in above
    ]
    steps = [_step(random, name, len(parents.get(name, ()))) for name in names]
    agents = [_agent(random, step, sturdy=sturdy) for step in steps]
    agents, dynamic = _with_changes(random, agents, steps, edges, sturdy=sturdy)
    sink = {"complete_on_message": True, "terminal_sink": True, "complete_run": True}
    ending = Agent(agent_id="sink", kind=AgentKind.AGGREGATOR, config=sink)
    messages = [_edge(edge.source, edge.target) for edge in edges]
    leaves = [name for name in names if all(edge.source != name for edge in edges)]
    return JobSpec(
        blueprint_id="simulated",
        graph_id="simulated_flow_v1",
        job_name="simulated-flow",
        generation="C",
        agents=[*agents, ending],
        edges=[*messages, *(_edge(leaf, "sink") for leaf in leaves)],
        entrypoints=["s0"],
        seeds={"s0": [{"n": 1}]},
        workflow=Workflow(
            steps=steps,
            edges=edges,
            mode="dynamic_dag" if dynamic else "static_dag",
            source="s0",
            sink=names[-1],
            max_parallel_steps=random.choice((None, None, None, 1, 2)),
            dynamic=dynamic,
        ),
    )


def _step(random: Random, name: str, parents: int) -> Step:
    rule = random.choice(RULES) if parents else TriggerRule.ALL_SUCCESS
    return Step(
        step_id=name,
        agent_id=name,
        agent_ids=[name],
        required=random.random() < 0.6,
        failure_policy=random.choice((FailurePolicy.FAIL_WORKFLOW, *SOFT)),
        rule=rule,
        quorum=random.randint(1, parents) if rule is TriggerRule.QUORUM_SUCCESS else None,
        max_attempts=random.randint(1, 3),
        retry_backoff_ms=random.choice((0, 5, 1000)),
        timeout_s=random.choice((None, 100.0, 3600.0)),
        beacon_timeout_ms=random.choice((None, 70_000.0)),
    )


def _agent(random: Random, step: Step, *, sturdy: bool) -> Agent:
    trouble = random.sample(("fail", "hang", "mute", "die"), random.randint(0, 3))
    if step.timeout_s != 100:
        trouble = [way for way in trouble if way not in SILENT]
    config: dict[str, Any] = {
        "command": ["simulated"],
        "runner_module": "simulated",
        "output_message_type": f"{step.step_id}_done",
        "step": True,
        "trouble": trouble,
        "tries": step.max_attempts,
        "gives_up": step.optional or not sturdy,
    }
    if step.timeout_s == 100:
        config["pool"] = "roomy"  # a wait for a place counts as time of the attempt
        if random.random() < 0.5:
            config |= {"beacon_enabled": True, "agent_beacon_required": True}
            config |= {"beacon_interval_ms": 20_000, "beacon_timeout_ms": 30_000}
    elif random.random() < 0.1:
        config["pool_slots"] = 3
    return Agent(agent_id=step.step_id, kind=AgentKind.EXECUTOR, config=config)


def _with_changes(
    random: Random,
    agents: list[Agent],
    steps: list[Step],
    edges: list[StepEdge],
    *,
    sturdy: bool,
) -> tuple[list[Agent], Dynamic | None]:
    """Let some step scatter, branch or patch the graph."""
    speaker = random.choice(steps).step_id
    children = sorted({edge.target for edge in edges if edge.source == speaker})
    agent = next(one for one in agents if one.agent_id == speaker)
    eager = {step.step_id for step in steps if step.rule not in PATIENT}
    if not children or not eager.isdisjoint(children):
        return agents, None  # what has begun when the speaker speaks is left to chance
    match random.choice(("nothing", "nothing", "scatter", "branch", "patch", "fan")):
        case "scatter":
            payload = {
                "target": random.choice(children),
                "items": list(range(random.randint(1, 3))),
            }
            agent.config["says"] = [{"type": "workflow_step_scatter", "payload": payload}]
        case "branch":
            payload = {"branches": random.sample(children, random.randint(0, len(children)))}
            agent.config["says"] = [{"type": "workflow_step_branch", "payload": payload}]
        case "patch":
            return _patching(random, agents, agent, speaker, children[0])
        case "fan":
            agent.config["trouble"] = []
            return _patching(random, agents, agent, speaker, None)
    return agents, None


def _patching(
    random: Random, agents: list[Agent], agent: Agent, speaker: str, leave: str | None
) -> tuple[list[Agent], Dynamic]:
    """Let the speaker put steps before `leave`, or fan out and rest until they are over."""
    template = Step(step_id="dig", agent_id="dig", agent_ids=["dig"], max_attempts=2)
    new = [f"dig{number}" for number in range(random.randint(1, 2))]
    operations: list[dict[str, Any]] = [
        {"op": "add_step", "id": name, "template": "dig"} for name in new
    ]
    if leave is None:
        region = Region(
            region_id="detour",
            strategy="checkpoint_fanout",
            controller=speaker,
            templates=["dig"],
        )
        links = [(speaker, name) for name in new]
    else:
        old = f"{speaker}_to_{leave}"
        region = Region(
            region_id="detour",
            strategy="replace_path",
            controller=speaker,
            exit=leave,
            templates=["dig"],
            mutable_edges=[old],
        )
        links = list(pairwise([speaker, *new, leave]))
        operations.insert(0, {"op": "remove_edge", "id": old})
    operations += [{"op": "add_edge", "id": f"{a}-{b}", "from": a, "to": b} for a, b in links]
    patch = {
        "patch_id": "p-1",
        "region_id": "detour",
        "base_revision": 0,
        "operations": operations,
    }
    agent.config["says"] = [{"type": "workflow_graph_patch", "payload": patch}]
    digger = _agent(random, template, sturdy=True)
    return [*agents, digger], Dynamic(templates=[template], regions=[region])


def _edge(source: str, target: str) -> Edge:
    return Edge(
        edge_id=f"{source}_to_{target}",
        sender=source,
        target=target,
        message_type=f"{source}_done",
    )


# ---- telling beforehand what becomes of them ----


def told_beforehand(seed: int, job_id: str, spec: JobSpec) -> tuple[str, dict[str, End]]:
    """Return the job's final status and its steps' ends, as they are where nothing crashes."""
    play = Play(spec)
    for _ in range(MOST_FACTS):
        state = play.state
        if state.status in TERMINAL:
            return state.status, ends(state.ledger.steps) if state.ledger else {}
        play.drained()
        flights = [one.flight for one in state.agents if one.flight is not None]
        running = {one.work_id for one in flights if one.phase == "running"}
        out = next(
            (
                one
                for one in reversed(play.launches)
                if one.attempt_id in running and _doing(seed, job_id, spec, one).how not in SILENT
            ),
            None,
        )
        if out is not None:
            doing = _doing(seed, job_id, spec, out)
            if doing.early:
                said_early = NamedEvent(type="workflow_step_completed", payload={"output": EARLY})
                play.give(
                    WorkerSaid(
                        at=play.at, work_id=out.attempt_id, launch=out.launch, event=said_early
                    )
                )
            play.ended(out, _outcome(spec, doing, out))
        else:
            play.fired(min(play.timers, key=lambda name: (play.timers[name], name)))
    raise AssertionError(f"the flow does not end: {play.types[-20:]}")


def _doing(seed: int, job_id: str, spec: JobSpec, launch: RunAttempt) -> Doing:
    config = next(one.config for one in spec.agents if one.agent_id == launch.agent_id)
    return doing_of_step(seed, job_id, launch, config)


def _outcome(spec: JobSpec, doing: Doing, launch: RunAttempt) -> Outcome:
    if doing.how == "fail":
        return Outcome(status=OutcomeStatus.FAILED, error={"error": "no", "attempts": 1})
    if doing.how == "die":
        return Outcome(status=OutcomeStatus.STOPPED)
    config = next(one.config for one in spec.agents if one.agent_id == launch.agent_id)
    stdout = stdout_of_step(launch, config)
    result = {"exit_code": 0, "stdout": stdout, "stderr": "", "attempts": 1, "lease": {}}
    return Outcome(
        status=OutcomeStatus.SUCCEEDED, result=result, structured=said(stdout).structured
    )
