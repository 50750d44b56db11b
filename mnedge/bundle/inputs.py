"""What a run is given to work on: one JSON object, from the adapter the config names.

Source: bundle format 5.
"""

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from mnedge.bundle.config import JsonObject, Setting, copied, look_up
from mnedge.bundle.files import Files, tidy, unsafe_path
from mnedge.bundle.json_text import MAX_BYTES, JsonInvalidError, read
from mnedge.bundle.problem import Problem, Severity

ADAPTERS = ("mock", "json", "file", "env_json")
MAX_PATTERN = 2000
_SEARCHED = 10_000
"""Characters of a value that a pattern is tried on."""
_DEFAULT_ENV = "MN_BLUEPRINT_INPUT_JSON"


class ResolvedInputs(Struct, frozen=True, kw_only=True):
    """The payload, where it came from, and what is wrong with it (only a run cares)."""

    payload: JsonObject = field(default_factory=dict)
    source: JsonObject = field(default_factory=lambda: {"adapter": "mock", "real_ready": False})
    problems: list[Problem] = field(default_factory=list)


class _SourceError(ValueError):
    """The adapter's source cannot be used; becomes a problem of rule I-05."""


def resolve_inputs(
    config: JsonObject,
    files: Files,
    *,
    scenario: JsonObject | None = None,
    given: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> ResolvedInputs:
    """Return the resolved inputs; `given` replaces what the config says.

    Source: bundle format 5.1.
    """
    section = config.get("inputs")
    section = section if isinstance(section, dict) else {}
    if given is not None:
        return ResolvedInputs(payload=copied(given), source={"adapter": "json", "real_ready": True})
    adapter = section.get("adapter")
    adapter = adapter if adapter in ADAPTERS else "mock"
    source: JsonObject = {"adapter": adapter, "real_ready": adapter != "mock"}
    if isinstance(section.get("description"), str):
        source["description"] = section["description"]
    try:
        payload = _payload(adapter, section, config, files, scenario, environ, source)
    except _SourceError as error:
        return ResolvedInputs(source=source, problems=[_problem(str(error))])
    return ResolvedInputs(payload=payload, source=source)


def _payload(
    adapter: Any,
    section: JsonObject,
    config: JsonObject,
    files: Files,
    scenario: JsonObject | None,
    environ: Mapping[str, str] | None,
    source: JsonObject,
) -> JsonObject:
    if adapter == "file":
        path = section.get("path")
        if not isinstance(path, str) or not path:
            raise _SourceError("the input adapter is `file`, but inputs.path is not set")
        source["path"] = path
        return _object(_file(path, files), f"the input file {path}")
    if adapter == "env_json":
        name = section.get("env")
        name = name if isinstance(name, str) and name else _DEFAULT_ENV
        text = (os.environ if environ is None else environ).get(name, "")
        if not text:
            raise _SourceError(f"the input adapter is `env_json`, but {name} is not set")
        return _object(text.encode(errors="surrogateescape"), f"the variable {name}")
    payload = section.get("payload")
    if adapter == "json" and not payload:
        payload = look_up(config, "real_adapters.inline_json.payload") or payload
    if isinstance(payload, dict) and (payload or adapter == "json"):
        return dict(copied(payload))
    if adapter == "json":
        raise _SourceError("the input adapter is `json`, but inputs.payload is no JSON object")
    return dict(copied(scenario)) if scenario else {}


def _file(path: str, files: Files) -> bytes:
    if path.startswith("@/"):
        inside = path[2:]
        content = None if unsafe_path(inside) else files.read(tidy(inside))
        if content is None:
            raise _SourceError(f"the input file {path} is not in the bundle")
        return content
    try:
        place = Path(path).expanduser()
        if place.is_file():
            if place.stat().st_size > MAX_BYTES:
                raise _SourceError(f"the input file {path} is larger than {MAX_BYTES >> 20} MiB")
            return place.read_bytes()
    except (OSError, ValueError, RuntimeError) as error:
        raise _SourceError(f"the input file {path} cannot be read: {error}") from error
    content = None if unsafe_path(path) else files.read(tidy(path))
    if content is None:
        raise _SourceError(f"the input file {path} does not exist")
    return content


def _object(content: bytes, label: str) -> JsonObject:
    try:
        value = read(content).value
    except JsonInvalidError as error:
        place = f" (line {error.line}, column {error.column})" if error.line else ""
        raise _SourceError(f"{label} is not JSON: {error.message}{place}") from error
    if not isinstance(value, dict):
        raise _SourceError(f"{label} must hold a JSON object")
    return value


def _problem(message: str) -> Problem:
    return Problem(
        rule="I-05",
        code="input.source",
        severity=Severity.ERROR,
        message=message,
        help="mend inputs in the config, give --input, or run with the mock adapter",
        file="config/default.json",
        at=("inputs",),
        expected="a JSON object",
    )


def as_settings(inputs: Mapping[str, Any]) -> list[Setting]:
    """Return what makes these the inputs that a config names."""
    return [("inputs.payload", copied(dict(inputs))), ("inputs.adapter", "json")]


def failed_patterns(rules: list[Any], config: JsonObject, manifest: JsonObject) -> list[Problem]:
    """Return a problem for each pattern rule that the resolved config does not satisfy.

    Source: bundle format 5.6.
    """
    problems = []
    for index, rule in enumerate(rules):
        if isinstance(rule, dict) and rule.get("type") == "pattern":
            problem = _failed_pattern(index, rule, config, manifest)
            if problem is not None:
                problems.append(problem)
    return problems


def _failed_pattern(
    index: int, rule: JsonObject, config: JsonObject, manifest: JsonObject
) -> Problem | None:
    path = rule.get("path") or rule.get("input")
    pattern = rule.get("pattern")
    if not isinstance(path, str) or not isinstance(pattern, str):
        return None  # rule I-03 refused it
    value = look_up(manifest if rule.get("source") == "manifest" else config, path)
    if value is None:
        if rule.get("required") is False:
            return None
        message = f"input rule {_label(rule, index)}: {path} is required"
    else:
        flags = 0 if rule.get("ignore_case") is False else re.IGNORECASE
        compiled = compile_pattern(pattern, flags)
        if isinstance(compiled, str) or compiled.search(str(value)[:_SEARCHED]):
            return None  # rule I-03 refused what cannot be compiled
        message = f"input rule {_label(rule, index)}: {path} does not match {pattern!r}"
    return Problem(
        rule="I-06",
        code="input.rule_failed",
        severity=Severity.ERROR,
        message=str(rule.get("message") or message),
        help=str(rule.get("help") or rule.get("fix") or f"give {path} a value that fits"),
        file="manifest.json" if rule.get("source") == "manifest" else "config/default.json",
        at=tuple(path.split(".")),
        expected=pattern,
    )


def _label(rule: JsonObject, index: int) -> str:
    name = rule.get("name") or rule.get("id")
    return repr(name) if isinstance(name, str) else f"number {index + 1}"


def compile_pattern(pattern: str, flags: int = 0) -> re.Pattern[str] | str:
    """Return the compiled regular expression, or why there is none."""
    if not pattern:
        return "is empty"
    if len(pattern) > MAX_PATTERN:
        return f"is longer than {MAX_PATTERN} characters"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(pattern, flags)
    except (re.error, RecursionError, OverflowError) as error:
        return f"is no regular expression: {error}"
