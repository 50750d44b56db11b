"""The rule about packages that a bundle depends on."""

import re
from collections.abc import Iterator
from typing import Any

from mnedge.bundle.files import tidy, unsafe_path
from mnedge.bundle.rules.registry import ERROR, Found, rule
from mnedge.bundle.subject import Subject, is_text, listing


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
    normalised = re.sub(r"[-_.]+", "-", name).lower()
    if normalised in names:
        return f"names {name} a second time"
    names.add(normalised)
    if entry["source"] == "payload":
        return _payload_path_problem(subject, entry.get("path"))
    return ""


def _payload_path_problem(subject: Subject, path: Any) -> str:
    if not is_text(path):
        return "needs a path below payloads/skills or payloads/agents"
    if unsafe_path(path):
        return f"has a path that {unsafe_path(path)}"
    name = tidy(path)
    if not name.startswith(("payloads/skills/", "payloads/agents/")):
        return "needs a path below payloads/skills or payloads/agents"
    if not subject.files.is_file(name) and not subject.files.is_dir(name):
        return f"names {path}, which is not in the bundle"
    return ""
