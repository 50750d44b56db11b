"""Lay one part of a source over another.

Source: bundle format 2.6.
"""

from typing import Any

from mnedge.bundle.config import copied
from mnedge.bundle.subject import JsonObject, mapping

DELETE = {"$delete": True}
"""As a value it removes the key."""
STEREOTYPE = "stereotype"


def laid_over(below: JsonObject, *layers: Any) -> JsonObject:
    """Return all layers in one, later ones on top; a layer that is no object is left out.

    Objects merge, other values replace. Names of stereotypes add up, unless a list is given.
    """
    result = _merged({}, below)
    for layer in layers:
        result = _merged(result, mapping(layer))
    return result


def _merged(below: JsonObject, above: JsonObject) -> JsonObject:
    result: JsonObject = {name: copied(value) for name, value in below.items()}
    for name, value in above.items():
        if value == DELETE:
            result.pop(name, None)
        elif name == STEREOTYPE:
            result[name] = _stereotypes(result.get(name), value)
        elif isinstance(value, dict):
            result[name] = _merged(mapping(result.get(name)), value)
        else:
            result[name] = copied(value)
    return result


def _stereotypes(below: Any, above: Any) -> Any:
    if isinstance(above, list) or below is None:
        return copied(above)
    names = [*(below if isinstance(below, list) else [below]), above]
    unique = [name for index, name in enumerate(names) if name not in names[:index]]
    return unique[0] if len(unique) == 1 else unique
