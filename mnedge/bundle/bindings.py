"""Values of the config that the bundle wants pushed into its manifest before anything runs.

Source: bundle format 4.4.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from mnedge.bundle.config import as_text, copied, look_up
from mnedge.bundle.subject import JsonObject, is_text, listing

SECTION = "manifest_config_bindings"


class Binding(Struct, frozen=True, kw_only=True):
    """One entry: where a value comes from and where it goes."""

    source: str
    target: str
    stringify: bool = False
    allow_null: bool = False


def declared(config: JsonObject) -> Iterator[tuple[int, Binding | str]]:
    """Yield each entry with its position, or why it cannot be used."""
    for index, entry in enumerate(listing(config.get(SECTION))):
        if not isinstance(entry, dict):
            yield index, "must be an object with config_path and manifest_path"
            continue
        source = entry.get("config_path") or entry.get("from")
        target = entry.get("manifest_path") or entry.get("to")
        if not is_text(source) or not is_text(target):
            yield index, "needs config_path and manifest_path, both texts"
            continue
        yield (
            index,
            Binding(
                source=str(source),
                target=str(target),
                stringify=entry.get("stringify") is True,
                allow_null=entry.get("allow_null") is True,
            ),
        )


def applied(manifest: JsonObject, config: JsonObject) -> JsonObject:
    """Return the manifest with every usable entry's value in its place."""
    usable = [entry for _, entry in declared(config) if isinstance(entry, Binding)]
    if not usable:
        return manifest
    result: JsonObject = copied(manifest)
    for binding in usable:
        value = look_up(config, binding.source)
        if value is None and not binding.allow_null:
            continue
        put(result, binding.target, as_text(value) if binding.stringify else value)
    return result


def put(document: Any, path: str, value: Any) -> int:
    """Put the value at every place the path names; return how many there were.

    In a list a step is `*`, a position, an id, or the start of an id followed by `*`. Objects on
    the way are made, list members never.
    """
    steps = path.split(".")
    places = [document]
    for step in steps[:-1]:
        places = [found for place in places for found in _members(place, step)]
    count = 0
    for place in places:
        if isinstance(place, dict):
            place[steps[-1]] = copied(value)
            count += 1
        elif isinstance(place, list):
            for index in _positions(place, steps[-1]):
                place[index] = copied(value)
                count += 1
    return count


def _members(place: Any, step: str) -> list[Any]:
    if isinstance(place, dict):
        if not isinstance(place.get(step), dict | list):
            if place.get(step) is not None:
                return []
            place[step] = {}
        return [place[step]]
    if isinstance(place, list):
        return [place[index] for index in _positions(place, step)]
    return []


def _positions(items: list[Any], step: str) -> list[int]:
    if step == "*":
        return list(range(len(items)))
    if step.isdecimal() and int(step) < len(items):
        return [int(step)]
    return [index for index, item in enumerate(items) if _is_called(item, step)]


def _is_called(item: Any, step: str) -> bool:
    if not isinstance(item, dict):
        return False
    names = [item.get(key) for key in ("node_id", "id", "edge_id")]
    if step.endswith("*"):
        return any(isinstance(name, str) and name.startswith(step[:-1]) for name in names)
    return step in names


def leads_somewhere(manifest: JsonObject, path: str) -> bool:
    """Tell whether a value put at this path would land in the manifest; nothing is changed."""
    places: list[Any] = [manifest]
    for step in path.split(".")[:-1]:
        found: list[Any] = []
        for place in places:
            if isinstance(place, list):
                found += [place[index] for index in _positions(place, step)]
            elif isinstance(place, dict) and isinstance(place.get(step, {}), dict | list):
                found.append(place.get(step, {}))
        places = found
    last = path.rpartition(".")[2]
    return any(
        isinstance(place, dict) or (isinstance(place, list) and bool(_positions(place, last)))
        for place in places
    )
