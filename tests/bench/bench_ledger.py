"""The step ledger: steps a second of a scatter, however wide it is, beside the same work bare."""

import gc
import time
from typing import Any

from rows import Row

from mnedge.engine.apply import apply
from mnedge.engine.compile import compile_job
from mnedge.engine.state import new_state
from mnedge.model.codec import decode_fact, encode_fact
from mnedge.model.commands import RunAttempt
from mnedge.model.facts import AttemptEnded, NamedEvent, Outcome, Structured, Submitted
from mnedge.model.manifest import Agent, Edge, JobSpec, Step, StepEdge, Workflow
from mnedge.model.states import AgentKind, JobStatus, OutcomeStatus

WIDTHS = (100, 1_000, 10_000)
ROUNDS = 3
RESULT = {"exit_code": 0, "stdout": "x" * 200, "attempts": 1}
DONE = Outcome(status=OutcomeStatus.SUCCEEDED, result=RESULT)


def main() -> list[Row]:
    """Return steps a second at each width; the floor is the same attempts without steps."""
    rows = []
    for width in WIDTHS:
        rate, floor = 0.0, 0.0
        for _ in range(ROUNDS):
            rate = max(rate, width / _seconds(scatter(), width, items=width))
            floor = max(floor, width / _seconds(bare(width), width))
        rows.append(Row(f"steps of a scatter over {width:,} items", rate, "/s", floor))
    return rows


def scatter() -> JobSpec:
    """Return a job that spreads its work over items and joins what comes back."""
    names = ("plan", "work", "join")
    agents = [
        Agent(
            agent_id=name,
            kind=AgentKind.EXECUTOR,
            config={"output_message_type": f"{name}_done"},
        )
        for name in names
    ]
    sink = {"complete_on_message": True, "terminal_sink": True, "complete_run": True}
    agents.append(Agent(agent_id="sink", kind=AgentKind.AGGREGATOR, config=sink))
    pairs = [("plan", "work"), ("work", "join")]
    edges = [
        Edge(edge_id=f"{one}_{two}", sender=one, target=two, message_type=f"{one}_done")
        for one, two in [*pairs, ("join", "sink")]
    ]
    workflow = Workflow(
        steps=[Step(step_id=name, agent_ids=[name]) for name in names],
        edges=[StepEdge(edge_id=f"{one}_{two}", source=one, target=two) for one, two in pairs],
        source="plan",
        sink="join",
    )
    return _spec(agents, edges, {"plan": [{}]}, workflow=workflow, generation="C")


def bare(width: int) -> JobSpec:
    """Return one worker with so many messages, and no ledger."""
    worker = Agent(agent_id="work", kind=AgentKind.EXECUTOR)
    return _spec([worker], [], {"work": [{"item": n, "map_index": n} for n in range(width)]})


def _spec(
    agents: list[Agent], edges: list[Edge], seeds: dict[str, list[Any]], **more: Any
) -> JobSpec:
    return JobSpec(
        blueprint_id="bench",
        graph_id="bench_v1",
        job_name="bench",
        agents=agents,
        edges=edges,
        entrypoints=list(seeds),
        seeds=seeds,
        **more,
    )


def _seconds(spec: JobSpec, width: int, *, items: int = 0) -> float:
    """Play the job through, each fact recorded and read back, and return how long it took."""
    job = compile_job(spec)
    state, seq = new_state(job, "bench-1"), 1
    gc.collect()
    started = time.perf_counter()
    out = _launches(apply(job, state, Submitted(at=1.0), seq)[0])
    answered = 0
    while out:
        launch = out.pop()
        outcome = DONE
        if launch.agent_id == "plan":
            spread = {"target": "work", "items": list(range(items)), "max_items": items}
            events = [NamedEvent(type="workflow_step_scatter", payload=spread)]
            outcome = Outcome(
                status=OutcomeStatus.SUCCEEDED,
                result=RESULT,
                structured=Structured(events=events),
            )
        seq += 1
        answer = AttemptEnded(
            at=1.0, attempt_id=launch.attempt_id, launch=launch.launch, outcome=outcome
        )
        out += _launches(apply(job, state, decode_fact(encode_fact(answer)), seq)[0])
        answered += 1
    elapsed_s = time.perf_counter() - started
    assert answered >= width
    assert not items or state.status is JobStatus.COMPLETED
    return elapsed_s


def _launches(commands: list[Any]) -> list[RunAttempt]:
    return [command for command in commands if isinstance(command, RunAttempt)]
