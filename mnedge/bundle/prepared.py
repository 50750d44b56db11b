"""A manifest that a client prepared for its own run, made plain again."""

from typing import Any

from msgspec import Struct, field

from mnedge.bundle.generation import detect
from mnedge.bundle.problem import Problem
from mnedge.bundle.subject import JsonObject, is_text, mapping


class Prepared(Struct, frozen=True, kw_only=True):
    """What is left when that is taken out which the client added for itself."""

    manifest: JsonObject
    blueprint_id: str
    config: JsonObject | None = None
    """The resolved config that the client embedded, else an empty one; None for an authoring
    source, which brings its own."""
    problems: list[Problem] = field(default_factory=list)


def plain(manifest: JsonObject, *, node: str) -> Prepared:
    """Return the manifest as it was before the client prepared it, for the node called `node`."""
    config: JsonObject | None = {}
    if detect(manifest).letter == "S":
        config = None
    return Prepared(manifest=manifest, blueprint_id=_blueprint_id(manifest), config=config)


def _blueprint_id(manifest: JsonObject) -> str:
    workflow = mapping(manifest.get("workflow"))
    names: tuple[Any, ...] = (
        mapping(manifest.get("metadata")).get("blueprint_id"),
        manifest.get("id"),
        manifest.get("graph_id"),
        workflow.get("workflow_id"),
        manifest.get("name"),
    )
    return next((name for name in names if is_text(name)), "received")
