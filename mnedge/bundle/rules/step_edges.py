"""Rules about edges between steps: what waits for what."""

from collections.abc import Iterator

from mnedge.bundle.layout import (
    setting,
    source_of,
    step_edge_list,
)
from mnedge.bundle.problem import At
from mnedge.bundle.rules.registry import ERROR, STRICT, Found, rule
from mnedge.bundle.rules.workflow import is_c, is_dynamic, known_edges, reached, step_ids
from mnedge.bundle.subject import JsonObject, Subject, is_text, listing, mapping, objects


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
