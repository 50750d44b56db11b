"""Rules about names in steps that are probably meant otherwise; all only warn."""

from collections.abc import Iterator
from difflib import get_close_matches

from mnedge.bundle.problem import At
from mnedge.bundle.rules.registry import WARNING, Found, rule
from mnedge.bundle.steps import agent_of
from mnedge.bundle.subject import JsonObject, Subject, is_text, mapping

_STEP = (
    "id", "label", "kind", "goal", "action", "run", "agent_id", "agent_ids", "start_agent_id",
    "end_agent_id", "implementation", "in", "out", "emits", "on", "requires", "provides", "needs",
    "trigger_rule", "quorum", "join", "control", "worker", "binding", "description",
)  # fmt: skip
_CONTROL = (
    "required", "timeout_seconds", "retry", "max_attempts", "retry_backoff_ms",
    "beacon_timeout_ms", "failure_policy", "trigger_rule", "quorum", "uncertainty",
)  # fmt: skip
_RETRY = ("max_attempts", "backoff_seconds", "backoff_multiplier", "jitter")
_ALIKE = 0.82


@rule(
    "W-40",
    WARNING,
    "BCS",
    "workflow.spelling",
    "a member of a step is probably misspelt",
    help="rename it; as it is it has no effect",
)
def members_are_spelt_right(subject: Subject) -> Iterator[Found]:
    """Yield each member of a step, its control or its retry that looks like one that exists."""
    for at, step in subject.steps:
        control = mapping(step.get("control"))
        yield from _misspelt(at, step, _STEP)
        yield from _misspelt((*at, "control"), control, _CONTROL)
        yield from _misspelt((*at, "control", "retry"), mapping(control.get("retry")), _RETRY)


def _misspelt(at: At, members: JsonObject, known: tuple[str, ...]) -> Iterator[Found]:
    for name in members:
        if name in known:
            continue
        alike = get_close_matches(name, known, n=1, cutoff=_ALIKE)
        if alike and alike[0] not in members:
            yield Found(
                at=(*at, name),
                message=f"{name} has no effect; {alike[0]} is probably meant",
                expected=alike[0],
                actual=name,
            )


@rule(
    "W-41",
    WARNING,
    "BC",
    "workflow.agent_by_id",
    "a step names an agent that is not there",
    help="name an agent of the agent graph, or leave it out where the step's id is the agent's",
)
def named_agents_are_there(subject: Subject) -> Iterator[Found]:
    """Yield each `agent_id` and `run` that is no agent, though the step's id is one."""
    bound = mapping(mapping(subject.graph.get("runtime")).get("bindings"))
    for at, step in subject.steps:
        found = agent_of(step, subject.agent_ids)
        if found is None or found.agent_id != step.get("id"):
            continue
        for key in ("agent_id", "run"):
            name = step.get(key)
            if is_text(name) and name not in subject.agent_ids and name not in bound:
                yield Found(
                    at=(*at, key),
                    message=f"step {step['id']}: {key} {name} is no agent; {found.agent_id} works",
                    expected=list(subject.agent_ids)[:20],
                    actual=name,
                )
