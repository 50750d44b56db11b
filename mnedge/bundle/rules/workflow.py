"""Rules about the graph of steps: what depends on what."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from mnedge.bundle.layout import (
    setting,
    source_of,
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
    "W-08",
    ERROR,
    "BCS",
    "workflow.edges",
    "edges must be a non-empty list",
    help='write edges as [{"id", "from", "to"}, …]',
)
def there_are_edges(subject: Subject) -> Iterator[Found]:
    """Yield if the step edges are no list, or (in C) missing where several steps need them."""
    at, edges = step_edge_list(subject.graph)
    if edges is None and not is_c(subject):
        return
    if not isinstance(edges, list):
        yield Found(
            at=at, message="edges must be a list", expected="a list of objects", actual=edges
        )
    elif is_c(subject) and not edges and len(subject.steps) > 1 and not _only_fans_out(subject):
        yield Found(at=at, expected="at least one edge", actual=[])


def _only_fans_out(subject: Subject) -> bool:
    dynamic = mapping(setting(subject.graph, "dynamic")[1])
    regions = listing(dynamic.get("regions"))
    return (
        is_dynamic(subject)
        and bool(regions)
        and all(mapping(region).get("strategy") == "checkpoint_fanout" for region in regions)
    )


@rule(
    "W-09",
    ERROR,
    "BCS",
    "workflow.edge",
    "a step edge is malformed",
    help='write {"id": "a_to_b", "from": "a", "to": "b"}, the ends two different steps',
)
def edges_join_steps(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with the id and the ends of each step edge."""
    ids = step_ids(subject)
    at, edges = step_edge_list(subject.graph)
    first: dict[str, int] = {}
    for index, edge in enumerate(listing(edges)):
        place = (*at, index)
        if not isinstance(edge, dict):
            yield Found(
                at=place,
                message=f"edge number {index + 1} must be an object",
                expected="an object",
                actual=edge,
            )
            continue
        name = edge.get("id")
        if (name is None and is_c(subject)) or (name is not None and not is_text(name)):
            severity = STRICT if name is None and subject.is_compiled_python else ""
            yield Found(
                at=(*place, "id"), message="edge id is required", actual=name, severity=severity
            )
        elif is_text(name) and first.setdefault(name, index) != index:
            yield Found(at=(*place, "id"), message=f"duplicate edge id {name}", actual=name)
        yield from _end_problems(place, edge, ids)


def _end_problems(place: At, edge: JsonObject, ids: dict[str, At]) -> Iterator[Found]:
    for key in ("from", "to"):
        end = edge.get(key)
        if not is_text(end) or end not in ids:
            yield Found(
                at=(*place, key),
                message=f"edge {edge.get('id')!r}: {key} must reference a step id",
                expected=list(ids)[:20],
                actual=end,
            )
    if is_text(edge.get("from")) and edge["from"] == edge.get("to"):
        yield Found(
            at=(*place, "to"),
            message=f"edge {edge.get('id')!r} leads from a step to itself",
            actual=edge["to"],
        )


@rule(
    "W-10",
    ERROR,
    "BCS",
    "workflow.edge_condition",
    "required and accepts of a step edge are malformed",
    help='required is true or false; accepts lists statuses, such as ["done", "skipped"]',
)
def edges_accept_statuses(subject: Subject) -> Iterator[Found]:
    """Yield each `required` that is no boolean, and each `accepts` that lists no statuses."""
    at, edges = step_edge_list(subject.graph)
    for index, edge in objects(edges):
        required = edge.get("required")
        if required is not None and not isinstance(required, bool):
            yield Found(
                at=(*at, index, "required"),
                message="required must be a boolean",
                expected="true or false",
                actual=required,
            )
        accepts = edge.get("accepts")
        if accepts is not None and not (
            isinstance(accepts, list) and accepts and all(is_text(status) for status in accepts)
        ):
            yield Found(
                at=(*at, index, "accepts"),
                message="accepts must be a non-empty list of statuses",
                expected="a list of texts",
                actual=accepts,
            )


@rule(
    "W-11",
    ERROR,
    "BCS",
    "workflow.cycle",
    "workflow graph must be acyclic",
    help="take out one of the edges of the circle; repeat work with retries or graph patches",
)
def graph_has_no_circle(subject: Subject) -> Iterator[Found]:
    """Yield the steps that wait for each other, once."""
    ways = [(source, target) for _, source, target, _ in known_edges(subject)]
    behind = _never_free(list(step_ids(subject)), ways)
    stuck = _never_free(behind, [(target, source) for source, target in ways])
    if stuck:
        yield Found(
            at=step_edge_list(subject.graph)[0],
            message=f"workflow graph must be acyclic; these steps wait for each other:"
            f" {', '.join(stuck[:10])}"[:300],
            actual=stuck[:10],
        )


def _never_free(names: list[str], ways: list[tuple[str, str]]) -> list[str]:
    """Return those that still wait for one another after all that can go first has gone."""
    waiting = dict.fromkeys(names, 0)
    leaving: dict[str, list[str]] = {}
    for source, target in ways:
        if source in waiting and target in waiting:
            waiting[target] += 1
            leaving.setdefault(source, []).append(target)
    free = [name for name, count in waiting.items() if count == 0]
    while free:
        for target in leaving.get(free.pop(), ()):
            waiting[target] -= 1
            if waiting[target] == 0:
                free.append(target)
    return [name for name, count in waiting.items() if count > 0]


@rule(
    "W-12",
    ERROR,
    "BCS",
    "workflow.unreached",
    "a step is not on a path from the source to the sink",
    help="add the missing edge, or take the step out",
)
def steps_are_on_a_path(subject: Subject) -> Iterator[Found]:
    """Yield each step of a fixed graph that no path from source to sink passes."""
    ids = step_ids(subject)
    source, sink = source_of(subject.graph), setting(subject.graph, "sink")[1]
    if is_dynamic(subject) or source not in ids:
        return
    edges = [(one, other) for _, one, other, _ in known_edges(subject)]
    forward = reached([source], edges)
    backward = set(ids)
    if is_text(sink) and sink in ids:
        backward = reached([sink], [(other, one) for one, other in edges])
    for name, at in ids.items():
        if name not in forward or name not in backward:
            where = "from the source" if name not in forward else "to the sink"
            yield Found(
                at=at,
                message=f"step {name} is not on a path from source to sink: no way {where}",
                severity=ERROR if is_c(subject) else STRICT,
                actual=name,
            )


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
