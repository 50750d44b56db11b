"""References in the fields of a step's start and end: what they name, and what stands there.

Source: worker contract 2.11, bundle format 2.6.3.
"""

from collections.abc import Callable, Iterator
from typing import Any

from mnedge.engine.settings import mapping
from mnedge.model.body import Gathered, value_at
from mnedge.model.states import AgentKind

Path = tuple[str, ...]
Lookup = Callable[[str, str, Path], Any]
"""Source (`run_input`, `upstream`, `flow_output`), step id and path → the value there."""

OUTPUTS = "outputs"
METADATA = "_mn_step"
UNWRAPPED = ("kwargs", "body", "payload", "data", "content", "input")
"""Where the first message of a run may carry the run's inputs, the likeliest place first."""
_ALWAYS = ("step_id", "artifacts", METADATA)


def resolved(fields: Any, lookup: Lookup) -> Any:
    """Return the fields with every reference replaced by what it names; a miss is null."""
    if isinstance(fields, dict):
        if "$ref" in fields:
            source, step_id = fields["$ref"], fields.get("step_id")
            named = step_id if isinstance(step_id, str) else ""
            return lookup(source, named, path_of(fields)) if isinstance(source, str) else None
        return {key: resolved(item, lookup) for key, item in fields.items()}
    if isinstance(fields, list):
        return [resolved(item, lookup) for item in fields]
    return fields


def path_of(reference: dict[str, Any]) -> Path:
    """Return where a reference leads below its source."""
    path = reference.get("path")
    return tuple(map(str, path)) if isinstance(path, list) else ()


def references(fields: Any) -> Iterator[dict[str, Any]]:
    """Yield every reference in the fields."""
    if isinstance(fields, dict) and "$ref" in fields:
        yield fields
    elif isinstance(fields, dict | list):
        for item in fields.values() if isinstance(fields, dict) else fields:
            yield from references(item)


def missing(schema: Any, outputs: Any) -> list[str]:
    """Return the required names that the outputs lack; null counts as lacking."""
    declared = mapping(schema)
    required = declared.get("required")
    if declared.get("type", "object") != "object" or not isinstance(required, list):
        return []
    found = mapping(outputs)
    return [name for name in required if isinstance(name, str) and found.get(name) is None]


def output_of(body: Any, path: Path) -> Any:
    """Return what stands at the path of a message's outputs, or of its body if it has none."""
    if value_at(body, (OUTPUTS,)) is None:
        found = value_at(body, (OUTPUTS, *path)) if path else None
        return found if found is not None else value_at(body, path)
    return value_at(body, (OUTPUTS, *path))


def unwrapped(body: Any) -> Any:
    """Return the innermost object that carries a run's inputs."""
    while isinstance(body, dict):
        inner = next((body[key] for key in UNWRAPPED if isinstance(body.get(key), dict)), None)
        if inner is None:
            break
        body = inner
    return body


def plain_list(value: Any) -> list[Any]:
    """Return the value as a list: itself, the items of a view, a reference alone, or nothing."""
    if isinstance(value, Gathered):
        return value.items()
    return value if isinstance(value, list) else [] if value is None else [value]


def paths_asked(kind: AgentKind, config: dict[str, Any]) -> list[str]:
    """Return the dotted paths of bodies that such an agent asks for."""
    if kind not in (AgentKind.STEP_SOURCE, AgentKind.STEP_JOIN, AgentKind.STEP_SINK):
        return []
    found = [*_ALWAYS]
    if kind is AgentKind.STEP_JOIN:
        return found
    for reference in references(config.get("fields")):
        path = path_of(reference)
        if reference["$ref"] != "run_input" and path:
            found += [".".join((OUTPUTS, *path)), ".".join(path)]
        elif path:
            found += [".".join((key, *path)) for key in UNWRAPPED]
    return found
