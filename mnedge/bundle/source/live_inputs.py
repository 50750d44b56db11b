"""Inputs that arrive while the job runs.

Source: bundle format 2.5.3, rule S-08.
"""

import re
from collections.abc import Iterator
from typing import Any

from mnedge.bundle.problem import At
from mnedge.bundle.source.outcome import SourceProblem
from mnedge.bundle.subject import JsonObject, is_text, listing, mapping, objects

_ID = re.compile(r"[a-z][a-z0-9_]{0,63}")


def problems_in_live_inputs(
    declared: Any, at: At, agents: JsonObject, *, edges_known: bool = True
) -> Iterator[SourceProblem]:
    """Yield what is wrong with `live_inputs`, given the expanded agent graph.

    Without `edges_known` (a step's graph was not looked at) an edge may be missing.
    """
    if declared is None:
        return
    if not isinstance(declared, dict) or not declared:
        yield _wrong(at, "live_inputs must be a non-empty object", "remove it, or name an input")
        return
    entrypoints = [
        name
        for key in ("entrypoints", "auxiliary_entrypoints")
        for name in listing(agents.get(key))
    ]
    routes = {
        (edge.get("from_node"), edge.get("message_type"))
        for _, edge in objects(agents.get("edges"))
    }
    for name, spec in declared.items():
        yield from _one(name, spec, (*at, name), entrypoints, routes if edges_known else None)


def _one(
    name: str, spec: Any, at: At, entrypoints: list[Any], routes: set[Any] | None
) -> Iterator[SourceProblem]:
    if _ID.fullmatch(name) is None:
        yield _wrong(
            at,
            f"live input {name!r} must be called in lower_snake_case, with 64 characters at most",
            "rename it",
        )
    if not isinstance(spec, dict):
        yield _wrong(at, f"live input {name!r} must be an object", "give it an entrypoint", spec)
        return
    entrypoint, message_type = spec.get("entrypoint"), spec.get("message_type")
    if entrypoint not in entrypoints:
        yield _wrong(
            (*at, "entrypoint"),
            f"live input {name!r} goes to {entrypoint!r}, which is no entrypoint",
            "list it in agents.entrypoints or agents.auxiliary_entrypoints",
            entrypoint,
            entrypoints,
        )
    if not is_text(message_type):
        yield _wrong((*at, "message_type"), f"live input {name!r} needs a message_type", "name it")
    elif routes is not None and (entrypoint, message_type) not in routes:
        yield _wrong(
            (*at, "message_type"),
            f"no edge carries {message_type!r} from {entrypoint!r}",
            "add such an edge to agents.extra_edges",
            message_type,
        )
    if mapping(spec.get("schema")).get("type") != "object":
        yield _wrong(
            (*at, "schema"),
            f"live input {name!r} needs a schema of type object",
            'write "schema": {"type": "object"}',
            spec.get("schema"),
        )


def _wrong(
    at: At, message: str, hint: str, actual: Any = None, expected: Any = None
) -> SourceProblem:
    return SourceProblem(
        rule="S-08", at=at, message=message, hint=hint, actual=actual, expected=expected
    )
