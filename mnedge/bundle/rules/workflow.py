"""Rules about the graph of steps: what depends on what."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from mnedge.bundle.layout import (
    setting,
    step_edge_list,
    step_list,
    value_below,
)
from mnedge.bundle.problem import At, dotted
from mnedge.bundle.rules.agents import MAX_ID
from mnedge.bundle.rules.registry import ERROR, STRICT, WARNING, Found, rule
from mnedge.bundle.subject import JsonObject, Subject, is_count, is_text, listing, mapping, objects
from mnedge.bundle.workflow import MODES

SCHEMA = "mn.workflow.problem_graph/v1"
AGENTS_SCHEMA = "mn.agents.communication_graph/v1"
STRATEGIES = ("serial", "parallel")
_OLD_SCHEMA = "problem_graph/v1"


def is_c(subject: Subject) -> bool:
    """Tell whether the graph stands in a manifest of generation C."""
    return subject.graph_generation.letter == "C"


def step_ids(subject: Subject) -> dict[str, At]:
    """Return the ids of the steps with the places of the steps."""
    return {step["id"]: at for at, step in subject.steps}


def known_edges(subject: Subject) -> list[tuple[At, str, str, JsonObject]]:
    """Return the step edges that join two different steps: place, from, to, edge."""
    at, edges = step_edge_list(subject.graph)
    ids = step_ids(subject)
    found: list[tuple[At, str, str, JsonObject]] = []
    for index, edge in objects(edges):
        source, target = edge.get("from"), edge.get("to")
        joined = is_text(source) and is_text(target) and source in ids and target in ids
        if joined and source != target:
            found.append(((*at, index), str(source), str(target), edge))
    if setting(subject.graph, "mode")[1] == "linear" or not isinstance(edges, list):
        return [(at, *ends, {}) for ends in pairwise(ids)]
    return found


def reached(starts: Iterable[str], ways: Iterable[tuple[str, str]]) -> set[str]:
    """Return all that can be reached from `starts` along `ways`, the starts included."""
    leaving: dict[str, list[str]] = {}
    for source, target in ways:
        leaving.setdefault(source, []).append(target)
    seen: set[str] = set()
    pending = list(starts)
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            pending.extend(leaving.get(name, ()))
    return seen


def is_dynamic(subject: Subject) -> bool:
    """Tell whether the graph may change while the job runs."""
    return bool(setting(subject.graph, "mode")[1] == "dynamic_dag")


@rule(
    "W-01",
    ERROR,
    "BCS",
    "workflow.schema",
    f"workflow.schema must be {SCHEMA}",
    help=f'write "schema": "{SCHEMA}"',
)
def schema_is_known(subject: Subject) -> Iterator[Found]:
    """Yield if the schema of the step graph is missing (in C) or unknown."""
    at: At = ("workflow", "schema") if is_c(subject) else ("flow", "graph", "schema")
    schema = value_below(subject.graph, at)
    allowed = (SCHEMA,) if is_c(subject) else (SCHEMA, _OLD_SCHEMA, None)
    if schema not in allowed:
        yield Found(at=at, message=f"{dotted(at)} must be {SCHEMA}", expected=SCHEMA, actual=schema)


@rule(
    "W-02",
    ERROR,
    "CS",
    "workflow.id",
    "workflow_id must be a non-empty string",
    help="give the workflow an id, usually <blueprint_id>_v1",
)
def workflow_has_an_id(subject: Subject) -> Iterator[Found]:
    """Yield if `workflow.workflow_id` is no text."""
    at = ("workflow", "workflow_id")
    workflow_id = value_below(subject.graph, at)
    if not is_text(workflow_id):
        yield Found(at=at, expected="a non-empty text", actual=workflow_id)


@rule(
    "W-03",
    ERROR,
    "BCS",
    "workflow.no_steps",
    "steps must be a non-empty list",
    help='list the steps: [{"id": "read"}, …]',
)
def there_are_steps(subject: Subject) -> Iterator[Found]:
    """Yield if there are no steps; older manifests may do without."""
    at, steps = step_list(subject.graph)
    if not isinstance(steps, list) or not steps:
        wrong_type = steps is not None and not isinstance(steps, list)
        yield Found(
            at=at,
            expected="a list of objects",
            actual=steps,
            severity=ERROR if is_c(subject) or wrong_type else STRICT,
        )


@rule(
    "W-04",
    ERROR,
    "BCS",
    "workflow.step_id",
    "workflow step id is required",
    help="give each step an id, a non-empty text",
)
def steps_have_ids(subject: Subject) -> Iterator[Found]:
    """Yield each step that is no object, has no id, or one that is no name."""
    at, steps = step_list(subject.graph)
    for index, step in enumerate(listing(steps)):
        name = step.get("id") if isinstance(step, dict) else None
        if not isinstance(step, dict) or not is_text(name):
            yield Found(
                at=(*at, index),
                message=f"workflow step id is required; step number {index + 1} has none",
                expected="an object with an id",
                actual=step if not isinstance(step, dict) else name,
            )
        elif len(name) > MAX_ID or not name.isprintable():
            yield Found(
                at=(*at, index, "id"),
                message=f"the id of step number {index + 1} is no name: {name[:40]!r}",
                expected=f"at most {MAX_ID} printable characters",
                actual=name,
            )


@rule(
    "W-05",
    ERROR,
    "BCS",
    "workflow.duplicate_step",
    "duplicate workflow step id",
    help="give each step an id of its own",
)
def step_ids_are_unique(subject: Subject) -> Iterator[Found]:
    """Yield each step that takes the id of an earlier one."""
    at, steps = step_list(subject.graph)
    first: dict[str, int] = {}
    for index, step in objects(steps):
        name = step.get("id")
        if is_text(name) and first.setdefault(name, index) != index:
            yield Found(
                at=(*at, index, "id"),
                message=f"duplicate workflow step id {name}",
                actual=name,
            )


@rule(
    "W-06",
    ERROR,
    "CS",
    "workflow.source",
    "source must match entrypoint, and be a step",
    help="name the step that work starts at in both",
)
def source_is_the_entrypoint(subject: Subject) -> Iterator[Found]:
    """Yield if `source` and `entrypoint` differ, or name no step."""
    if not subject.steps:
        return
    source = setting(subject.graph, "source")[1]
    entrypoint = setting(subject.graph, "entrypoint")[1]
    ids = step_ids(subject)
    if source != entrypoint or not is_text(source) or source not in ids:
        yield Found(
            at=setting(subject.graph, "source")[0],
            message=f"source {source!r} must match entrypoint {entrypoint!r}, and be a step"[:300],
            expected=list(ids)[:20],
            actual=source,
        )


@rule(
    "W-07",
    ERROR,
    "BCS",
    "workflow.unknown_end",
    "sink, source and entrypoint must reference a step id",
    help="name the id of a step",
)
def ends_are_steps(subject: Subject) -> Iterator[Found]:
    """Yield each end of the graph that is no step; C must name its sink.

    An entrypoint of generation B may name an agent: some published bundle does.
    """
    ids = step_ids(subject)
    if not ids:
        return
    for key in ("entrypoint", "source", "sink"):
        at, name = setting(subject.graph, key)
        if name is not None and (not is_text(name) or name not in ids):
            of_an_agent = not is_c(subject) and key == "entrypoint" and is_text(name)
            yield Found(
                at=at,
                message=f"{key} must reference a step id",
                expected=list(ids)[:20],
                actual=name,
                severity=WARNING if of_an_agent and name in subject.agent_ids else "",
            )
        elif name is None and key == "sink" and is_c(subject):
            yield Found(at=at, message="sink is required", expected="a step id", severity=STRICT)


@rule(
    "W-22",
    ERROR,
    "CS",
    "workflow.agents",
    "agents must hold a communication graph",
    help='write "agents": {"schema": "mn.agents.communication_graph/v1", "nodes", "edges",'
    ' "entrypoints"}',
)
def agents_are_a_graph(subject: Subject) -> Iterator[Found]:
    """Yield if `agents`, its schema, its nodes or its entrypoints are missing."""
    agents = subject.graph.get("agents")
    if not isinstance(agents, dict):
        yield Found(at=("agents",), message="agents is required", actual=agents)
        return
    if agents.get("schema") != AGENTS_SCHEMA:
        yield Found(
            at=("agents", "schema"),
            message=f"agents.schema must be {AGENTS_SCHEMA}",
            expected=AGENTS_SCHEMA,
            actual=agents.get("schema"),
        )
    for key in ("nodes", "entrypoints"):
        if not agents.get(key):
            yield Found(at=("agents", key), message=f"agents.{key} must not be empty")


@rule(
    "W-23",
    ERROR,
    "BCS",
    "workflow.mode",
    "unsupported workflow mode",
    help="use static_dag, or dynamic_dag for a graph that changes while the job runs",
)
def mode_is_known(subject: Subject) -> Iterator[Found]:
    """Yield if `mode` is unknown; linear is a word of generation B only."""
    at, mode = setting(subject.graph, "mode")
    allowed = MODES[:2] if is_c(subject) else MODES
    if mode is not None and mode not in allowed:
        yield Found(at=at, expected=list(allowed), actual=mode)


@rule(
    "W-24",
    ERROR,
    "BCS",
    "workflow.execution",
    "execution must be serial or parallel",
    help='write "execution": {"strategy": "parallel", "max_parallel_steps": 4}',
)
def execution_is_known(subject: Subject) -> Iterator[Found]:
    """Yield if the strategy is unknown or its bound no positive number."""
    at, execution = setting(subject.graph, "execution")
    if execution is None:
        return
    declared: Any = {"strategy": execution} if isinstance(execution, str) else execution
    if not isinstance(declared, dict):
        yield Found(at=at, expected="an object or a text", actual=execution)
        return
    strategy = declared.get("strategy")
    if strategy is not None and strategy not in STRATEGIES:
        yield Found(
            at=at if isinstance(execution, str) else (*at, "strategy"),
            expected=list(STRATEGIES),
            actual=strategy,
        )
    most = declared.get("max_parallel_steps")
    if most is not None and not is_count(most, 1):
        yield Found(
            at=(*at, "max_parallel_steps"),
            message="max_parallel_steps must be a whole number of at least 1",
            expected="a positive number",
            actual=most,
        )


@rule(
    "W-31",
    WARNING,
    "BCS",
    "workflow.dynamic_unused",
    "dynamic.enabled has no effect in a static_dag",
    help="set mode to dynamic_dag, or dynamic.enabled to false",
)
def static_graphs_do_not_change(subject: Subject) -> Iterator[Found]:
    """Yield if a fixed graph is said to change."""
    at, dynamic = setting(subject.graph, "dynamic")
    if mapping(dynamic).get("enabled") is True and not is_dynamic(subject):
        yield Found(at=(*at, "enabled"), expected=False, actual=True)


@rule(
    "W-33",
    WARNING,
    "CS",
    "workflow.single_step",
    "a workflow of a single step",
    help="nothing has to change; more steps show more of what happens",
)
def one_step_is_few(subject: Subject) -> Iterator[Found]:
    """Yield if there is one step and no edge."""
    if len(subject.steps) == 1 and not listing(step_edge_list(subject.graph)[1]):
        yield Found(at=step_list(subject.graph)[0])
