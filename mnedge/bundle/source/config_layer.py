"""The default config of a source, with what its manifest lends it.

Source: bundle format 2.6.2, rules S-05 and S-06.
"""

from typing import Any

from mnedge.bundle.config import merged
from mnedge.bundle.files import Files
from mnedge.bundle.json_text import JsonInvalidError, read
from mnedge.bundle.problem import At
from mnedge.bundle.source.checks import manifest_defaults
from mnedge.bundle.source.outcome import WARNING, SourceProblem
from mnedge.bundle.source.sentinels import bundle_path
from mnedge.bundle.subject import JsonObject, mapping

DEFAULT_FILE = "config/default.json"
_MISSING = object()


def config_of(
    source: JsonObject,
    files: Files,
    config_default: JsonObject | None,
    problems: list[SourceProblem],
) -> JsonObject | None:
    """Return the default config over what comes from the manifest; None if there is neither."""
    lent: JsonObject = {}
    for index, taken, put in manifest_defaults(source):
        value = _at_path(source, taken)
        if value is _MISSING:
            problems.append(_nothing_there(index, taken))
        else:
            lent = merged(lent, _under(put.split("."), value))
    default = _default(source, files, config_default, problems)
    if default is None:
        return lent or None
    return merged(lent, default)


def _default(
    source: JsonObject,
    files: Files,
    config_default: JsonObject | None,
    problems: list[SourceProblem],
) -> JsonObject | None:
    declared = mapping(source.get("config"))
    for key in ("data", "default"):
        if isinstance(declared.get(key), dict):
            return mapping(declared[key])
    key = "default" if declared.get("default") is not None else "default_file"
    name = declared.get(key)
    if name is None or name == DEFAULT_FILE:
        if config_default is not None:
            return config_default
        return _read(DEFAULT_FILE, files) if files.is_file(DEFAULT_FILE) else None
    at: At = ("config", key)
    try:
        path = bundle_path(name)
    except (TypeError, ValueError) as error:
        problems.append(_unreadable(at, f"config.{key} {name!r} {error}", name))
        return config_default
    content = _read(path, files) if files.is_file(path) else None
    if content is None:
        problems.append(_unreadable(at, f"{path} is not there, or is no JSON object", name))
        return config_default
    return content


def _read(path: str, files: Files) -> JsonObject | None:
    try:
        content = files.read(path)
        value = None if content is None else read(content).value
    except (OSError, JsonInvalidError):
        return None
    return value if isinstance(value, dict) else None


def _at_path(document: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(document, dict) or part not in document:
            return _MISSING
        document = document[part]
    return document


def _under(path: list[str], value: Any) -> JsonObject:
    for part in reversed(path):
        value = {part: value}
    return mapping(value)


def _nothing_there(index: int, path: str) -> SourceProblem:
    return SourceProblem(
        rule="S-05",
        at=("config", "manifest_defaults", index),
        message=f"the manifest says nothing at {path}",
        hint="remove the entry, or add what it names",
        severity=WARNING,
        actual=path,
    )


def _unreadable(at: At, message: str, actual: Any) -> SourceProblem:
    return SourceProblem(
        rule="S-06",
        at=at,
        message=message,
        hint="name a JSON file inside the bundle",
        actual=actual,
    )
