"""Workflows for the tests of the ledger, and a driver that finishes what is out."""

from collections.abc import Callable, Sequence
from typing import Any

from mnedge.engine.ledger.state import StepState
from mnedge.engine.ledger.view import workflow_state
from mnedge.model.facts import Completion, NamedEvent, Outcome, Structured
from mnedge.model.manifest import Agent, Edge, JobSpec, Step, StepEdge, Workflow
from mnedge.model.states import FailurePolicy, TriggerRule
from tests.engine.jobs import Play, agent, edge, failed, spec_of, succeeded

SINK = agent("sink", "aggregator", complete_on_message=True, terminal_sink=True, complete_run=True)


def step(
    step_id: str, rule: str = "all_success", policy: str = "fail_workflow", **more: Any
) -> Step:
    more.setdefault("agent_ids", [step_id])
    return Step(
        step_id=step_id, rule=TriggerRule(rule), failure_policy=FailurePolicy(policy), **more
    )


def after(source: str, target: str, *accepts: str) -> StepEdge:
    return StepEdge(
        edge_id=f"{source}_to_{target}",
        source=source,
        target=target,
        accepts=list(accepts) or ["done"],
    )


def flow(
    steps: Sequence[Step],
    edges: Sequence[StepEdge],
    *,
    agents: Sequence[Agent] | None = None,
    messages: Sequence[Edge] | None = None,
    seeds: dict[str, list[Any]] | None = None,
    sink: str | None = "",
    workflow: dict[str, Any] | None = None,
    **more: Any,
) -> JobSpec:
    """Return a job with one executor per step, messages along the step edges, and a sink.

    `sink`: the step whose output goes to it; "": the last one; None: no sink agent at all.
    """
    names = list(dict.fromkeys(name for one in steps for name in one.agent_ids))
    made = [agent(name, "executor", output_message_type=f"{name}_done") for name in names]
    agents = made if agents is None else list(agents)
    if messages is None:
        by_id = {one.step_id: one for one in steps}
        messages = [
            edge(
                by_id[one.source].agent_ids[-1],
                by_id[one.target].agent_ids[0],
                f"{by_id[one.source].agent_ids[-1]}_done",
                edge_id=one.edge_id,
            )
            for one in edges
        ]
    messages = list(messages)
    if sink is not None:
        last = sink if sink else steps[-1].agent_ids[-1]
        agents = [*agents, SINK]
        messages.append(edge(last, "sink", f"{last}_done"))
    return spec_of(
        agents,
        messages,
        seeds=seeds or {steps[0].agent_ids[0]: [{"n": 1}]},
        generation="C",
        workflow=Workflow(
            steps=list(steps),
            edges=list(edges),
            source=steps[0].step_id,
            sink=steps[-1].step_id,
            **(workflow or {}),
        ),
        **more,
    )


def said(*events: tuple[str, dict[str, Any]], complete: Any = None, **more: Any) -> Outcome:
    """Return a success whose worker published these events."""
    completions = [] if complete is None else [Completion(scope="step", value=complete)]
    named = [NamedEvent(type=name, payload=payload) for name, payload in events]
    return succeeded(structured=Structured(events=named, completions=completions, **more))


class Run(Play):
    """A play of a workflow."""

    def step(self, step_id: str) -> StepState:
        ledger = self.state.ledger
        assert ledger is not None
        return ledger.steps[ledger.step_of[step_id]]

    def statuses(self) -> dict[str, str]:
        ledger = self.state.ledger
        assert ledger is not None
        return {one.step_id: one.status.value for one in ledger.steps.values()}

    @property
    def view(self) -> dict[str, Any]:
        return workflow_state(self.job, self.state)

    @property
    def out(self) -> list[Any]:
        """Launches that are under way, oldest first."""
        flights = {
            agent.flight.work_id: agent.flight.launch
            for agent in self.state.agents
            if agent.flight is not None and agent.flight.phase == "running"
        }
        return [one for one in self.launches if flights.get(one.attempt_id) == one.launch]

    def finish(self, step_id: str, outcome: Outcome | None = None) -> None:
        """Let the launch that is out for this step answer."""
        launch = next(one for one in self.out if one.workflow.get("step_id") == step_id)
        self.ended(launch, outcome)

    def fail(self, step_id: str) -> None:
        self.finish(step_id, failed())

    def finish_all(self, outcome_of: Callable[[str], Outcome | None] = lambda _: None) -> None:
        """Let whatever is out answer until nothing is."""
        while self.out:
            launch = self.out[0]
            self.ended(launch, outcome_of(launch.workflow.get("step_id", "")))
            self.drained()
