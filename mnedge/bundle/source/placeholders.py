"""`{{name}}` inside the strings of a source.

Source: bundle format 2.6, 4.5.
"""

import re
from collections.abc import Mapping
from typing import Any

from mnedge.bundle.subject import JsonObject, is_text, mapping

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


def filled_in(value: Any, words: Mapping[str, str]) -> Any:
    """Return a copy with every known word in its place; unknown ones stay as they are."""
    if isinstance(value, str):
        if "{{" not in value:
            return value
        return _PLACEHOLDER.sub(lambda found: words.get(found[1], found[0]), value)
    if isinstance(value, dict):
        return {name: filled_in(member, words) for name, member in value.items()}
    if isinstance(value, list):
        return [filled_in(member, words) for member in value]
    return value


def title(name: str) -> str:
    """Return `Check The Mail` for `check_the-mail`."""
    return " ".join(word[:1].upper() + word[1:] for word in re.split(r"[\s_\-]+", name) if word)


def words_of_source(source: JsonObject) -> dict[str, str]:
    """Return the words known at the level of the manifest."""
    identity = mapping(source.get("identity"))
    blueprint_id = str(identity.get("id") or "")
    name = str(identity.get("name") or "")
    return {
        "id": blueprint_id,
        "blueprint_id": blueprint_id,
        "name": name,
        "job_name": job_name_of(identity),
        "id_title": title(blueprint_id),
        "label": name or title(blueprint_id),
    }


def words_of_step(step: JsonObject, blueprint_id: str) -> dict[str, str]:
    """Return the words known inside one step; `label` and `kind` are the step's own, resolved."""
    step_id = str(step.get("id") or "")
    words = {
        "id": step_id,
        "step_id": step_id,
        "id_title": title(step_id),
        "kind": str(step.get("kind") or "stage"),
        "blueprint_id": blueprint_id,
    }
    label = step.get("label")
    words["label"] = filled_in(label, words) if is_text(label) else words["id_title"]
    return words


def job_name_of(identity: JsonObject) -> str:
    """Return the declared job name, else the id in kebab case."""
    name = identity.get("job_name")
    return name if is_text(name) else str(identity.get("id") or "").replace("_", "-")
