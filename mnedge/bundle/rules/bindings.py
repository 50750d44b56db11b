"""Rules about what binds steps to agents, and about the control of their life."""

from collections.abc import Iterator

from mnedge.bundle.layout import value_below
from mnedge.bundle.problem import At
from mnedge.bundle.rules.registry import STRICT, WARNING, Found, rule
from mnedge.bundle.steps import agent_ids_of
from mnedge.bundle.subject import Subject, is_text, mapping
from mnedge.bundle.workflow import is_controlling, placed_templates, repair_of


@rule(
    "W-19",
    STRICT,
    "BCS",
    "workflow.binding",
    "runtime.bindings must describe the steps",
    help="add runtime.bindings with the id of a step as each key",
)
def bindings_are_of_steps(subject: Subject) -> Iterator[Found]:
    """Yield if there are no bindings, and each that no step, template or run asks for."""
    if not subject.steps:
        return
    at: At = ("runtime", "bindings")
    bindings = value_below(subject.graph, at)
    if not isinstance(bindings, dict):
        yield Found(at=at, message="runtime.bindings is required", actual=bindings)
        return
    known: set[str] = set()
    for _, step in [*subject.steps, *placed_templates(subject.graph)]:
        known |= {name for name in (step["id"], step.get("run")) if is_text(name)}
    for name in bindings:
        if name not in known:
            yield Found(
                at=(*at, name), message=f"binding references unknown step {name}", actual=name
            )


@rule(
    "W-20",
    WARNING,
    "BCS",
    "workflow.binding_worker",
    "a step only has a worker in runtime.bindings; an agent is made of it",
    help="add the agent to the agent graph, with the edges that lead to it and from it",
)
def workers_are_agents(subject: Subject) -> Iterator[Found]:
    """Yield each agent that was made from a binding."""
    for agent in subject.agents:
        if agent.at[:2] == ("runtime", "bindings"):
            yield Found(at=agent.at, message=f"{agent.label} is made of a binding's worker")


@rule(
    "W-21",
    STRICT,
    "BCS",
    "workflow.control_missing",
    "runtime.workflow_control must be enabled",
    help='write {"enabled": true, "source_of_truth": "workflow.steps"} (flow.steps with `flow`)',
)
def control_is_enabled(subject: Subject) -> Iterator[Found]:
    """Yield if nothing says that the ledger of steps controls the run."""
    if not subject.steps:
        return
    at: At = ("runtime", "workflow_control")
    control = mapping(value_below(subject.graph, at))
    truths = ("workflow.steps", "flow.steps")
    truth = control.get("source_of_truth")
    if control.get("enabled") is not True:
        yield Found(at=at, expected={"enabled": True})
    elif truth is not None and truth not in truths:
        yield Found(at=(*at, "source_of_truth"), expected=list(truths), actual=truth)


@rule(
    "W-25",
    STRICT,
    "BCS",
    "workflow.no_agent",
    "a step has no agent",
    help="name an agent of the agent graph in agent_id or run",
)
def steps_have_agents(subject: Subject) -> Iterator[Found]:
    """Yield each step that nobody can do; one for all if no step names an agent."""
    known = subject.agent_ids
    steps = [step for _, step in subject.steps]
    if not steps or not known:
        return
    if not is_controlling(steps, known):
        yield Found(
            at=subject.steps[0][0][:-1],
            message="no step names an agent; the steps only decorate the run",
            expected=list(known)[:20],
        )
        return
    for at, step in subject.steps:
        ids = agent_ids_of(step, known)
        if not any(name in known for name in ids) and not repair_of(subject.graph, step, known):
            yield Found(
                at=at,
                message=f"step {step['id']} has no agent: {ids[0]} is none",
                expected=list(known)[:20],
                actual=ids[0],
            )
