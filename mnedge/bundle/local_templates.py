"""Agent templates that a bundle brings along below `payloads/agents`.

Source: bundle format 2.8. `index.json` names them; each is an `agent.json` with `defaults` and the
names of the inputs it needs.
"""

from typing import Any

from mnedge.bundle.files import Files, tidy, unsafe_path
from mnedge.bundle.json_text import JsonInvalidError, read
from mnedge.bundle.subject import JsonObject, is_text, listing, mapping, objects
from mnedge.bundle.templates import BUILT_IN, Template, same_version

INDEX = "payloads/agents/index.json"
UNSEEN = BUILT_IN["worker.python_host"]
"""Stands for a template that is known to be there, but whose content is not at hand."""


class LocalTemplates:
    """The templates of one bundle; each is read when it is asked for."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._entries: list[JsonObject] | None = None

    def named(self, name: str, version: str) -> Template | None:
        """Return the template, or None if the bundle has none that can be used."""
        if not self._files.is_file(INDEX):
            return None
        if self._entries is None:
            content = self._read(INDEX)
            if content is None:
                return UNSEEN
            listed = content if isinstance(content, list) else mapping(content).get("agents")
            self._entries = [entry for _, entry in objects(listed)]
        for entry in self._entries:
            if name in (entry.get("template_id"), entry.get("agent_id")) and (
                same_version(str(entry.get("version", "1")), version)
            ):
                return self._template(entry)
        return None

    def _template(self, entry: JsonObject) -> Template | None:
        if entry.get("package_kind", "runtime_node") != "runtime_node":
            return None
        file = self._file(entry.get("resource_path") or entry.get("path"))
        if file is None:
            return None
        content = self._read(file)
        return UNSEEN if content is None else template_from(mapping(content))

    def _file(self, path: Any) -> str | None:
        """Return the agent.json that an entry of the index leads to."""
        if not is_text(path) or unsafe_path(path):
            return None
        path = tidy(path)
        for place in (f"payloads/agents/{path}", f"payloads/{path}", path):
            if self._files.is_file(place):
                return place
            if self._files.is_dir(place):
                inside = [
                    name
                    for name in self._files.names()
                    if name.startswith(f"{place}/") and name.endswith("/agent.json")
                ]
                return inside[0] if inside else None
        return None

    def _read(self, name: str) -> Any:
        """Return a JSON file's content; None if it is not at hand, empty if it is broken."""
        try:
            content = self._files.read(name)
            return None if content is None else read(content)[0]
        except (OSError, JsonInvalidError):
            return {}


def template_from(document: JsonObject) -> Template | None:
    """Return the template that an agent.json describes, or None if it describes none."""
    defaults = mapping(document.get("defaults"))
    agent_type = document.get("agent_type") or defaults.get("agent_type")
    if not is_text(agent_type):
        return None
    kind = document.get("type") or defaults.get("type")
    defaults = {name: value for name, value in defaults.items() if name not in ("type",)}
    return Template(
        agent_type=str(agent_type),
        type=kind if is_text(kind) else "generic",
        defaults=defaults,
        required=_texts(document.get("required_inputs") or document.get("required")),
        unless_command=_texts(document.get("required_unless_command")),
        python="script" in defaults or document.get("language") == "python",
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in listing(value) if is_text(item))
