"""The rule about packages that a bundle depends on."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

from mnedge.bundle.files import tidy, unsafe_path
from mnedge.bundle.rules.registry import ERROR, Found, rule
from mnedge.bundle.subject import JsonObject, Subject, is_text, listing, mapping


@rule(
    "M-20",
    ERROR,
    "*",
    "manifest.dependency",
    "payload dependency is malformed",
    help='each entry: {"type": "pip", "source": "gar" or "payload", "name", "version", "path"}',
)
def dependencies_are_whole(subject: Subject) -> Iterator[Found]:
    """Yield each malformed, missing or doubled skill or agent dependency."""
    for key in ("skill_dependencies", "agent_dependencies"):
        entries = subject.manifest.get(key)
        if entries is not None and not isinstance(entries, list):
            yield Found(at=(key,), message=f"{key} must be a list", actual=entries)
            continue
        names: set[str] = set()
        for index, entry in enumerate(listing(entries)):
            at = (key, index)
            reason = _dependency_problem(subject, entry, names)
            if reason:
                yield Found(at=at, message=f"{key}[{index}] {reason}", actual=entry)


def _dependency_problem(subject: Subject, entry: Any, names: set[str]) -> str:
    if not isinstance(entry, dict):
        return "must be an object"
    if entry.get("type", "pip") != "pip":
        return "must have type pip"
    if entry.get("source") not in ("gar", "payload"):
        return "must have source gar or payload"
    name = entry.get("name")
    if not is_text(name):
        return "must have a name"
    normalised = _normalised(name)
    if normalised in names:
        return f"names {name} a second time"
    names.add(normalised)
    return _payload_problem(subject, entry) if entry["source"] == "payload" else ""


def _payload_problem(subject: Subject, entry: JsonObject) -> str:
    """Return what is wrong with a package that the bundle brings along."""
    path = entry.get("path")
    if not is_text(path):
        return "needs a path below skills/ or agents/ of the payloads"
    if unsafe_path(path):
        return f"has a path that {unsafe_path(path)}"
    inside = tidy(path).removeprefix("payloads/")
    if not inside.startswith(("skills/", "agents/")):
        return "needs a path below skills/ or agents/ of the payloads"
    place = f"payloads/{inside}"
    if not subject.files.is_file(place) and not subject.files.is_dir(place):
        return f"names {path}, which is not in payloads/"
    for key, declared in _identity(subject, place).items():
        wanted = entry.get(key)
        if is_text(wanted) and not _same(key, wanted, declared):
            return f"says {key} {wanted}, but {place} is {declared}"
    return ""


def _identity(subject: Subject, place: str) -> dict[str, str]:
    """Return name and version of a wheel or a source project, as far as they are told."""
    if place.endswith(".whl"):
        name, version = [*place.rpartition("/")[2].split("-"), "", ""][:2]
        return {"name": name, "version": version}
    try:
        content = subject.files.read(f"{place}/pyproject.toml") or b""
        project = mapping(tomllib.loads(content.decode()).get("project"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError):
        return {}
    return {key: project[key] for key in ("name", "version") if is_text(project.get(key))}


def _same(key: str, one: str, other: str) -> bool:
    if key == "name":
        return _normalised(one) == _normalised(other)
    return one.removeprefix("v") == other.removeprefix("v")


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
