"""The blueprint's config: layers merged in order, values pushed into the manifest, texts filled in.

Source: bundle format 4.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from mnedge.bundle.json_text import JsonInvalidError, read
from mnedge.bundle.problem import Problem, Severity
from mnedge.errors import UsageError

JsonObject = dict[str, Any]

_PLACE = re.compile(r"\$\{(config|env)\.([A-Za-z0-9_.\-]+)\}")


Setting = str | tuple[str, Any]
"""`a.b=VALUE` as a person writes it, or a path and a value."""


class ConfigInvalidError(UsageError):
    """An override of the config cannot be used."""

    code = "config.layer_invalid"


class Resolved(Struct, frozen=True, kw_only=True):
    """The config after all layers, and which layers there were."""

    config: JsonObject
    sources: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    """Layers from outside the bundle that cannot be used; they refuse a run, not a validation."""


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> JsonObject:
    """Return both, deep: objects merge, everything else is replaced; nothing is shared."""
    result: JsonObject = {}
    for name, value in below.items():
        if name in above:
            over = above[name]
            both = isinstance(value, dict) and isinstance(over, dict)
            result[name] = merged(value, over) if both else copied(over)
        else:
            result[name] = copied(value)
    for name, value in above.items():
        if name not in below:
            result[name] = copied(value)
    return result


def copied(value: Any) -> Any:
    """Return a copy that shares no object or list with the value."""
    if isinstance(value, dict):
        return {name: copied(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [copied(item) for item in value]
    return value


def shared_defaults(blueprint_id: str, name: str) -> JsonObject:
    """Return layer 1: what holds where a bundle says nothing.

    Source: bundle format 4.1.
    """
    return {
        "standard_version": "1.0",
        "identity": {"blueprint_id": blueprint_id, "name": name},
        "mode": "mock",
        "metadata": {},
        "inputs": {
            "adapter": "mock",
            "payload": {},
            "env": "MN_BLUEPRINT_INPUT_JSON",
            "path": None,
        },
        "simulation": {"enabled": True, "deterministic": True, "seed_field": "seed"},
        "llm": {"enabled": False},
        "outputs": {
            "adapter": "local_run_store",
            "run_root": "~/.mn/runs",
            "write_run_store": True,
            "required_artifacts": [
                "run.json",
                "config.json",
                "inputs.json",
                "events.jsonl",
                "errors.jsonl",
                "timeline.jsonl",
                "observability_summary.json",
                "result.json",
                "final_artifact.json",
            ],
            "skills": {},
            "tcp": {"enabled": False, "ports": []},
        },
        "logging": {
            "level": "INFO",
            "events_jsonl": True,
            "logs_jsonl": True,
            "stderr_jsonl": True,
            "redact_env_secrets": True,
            "redact_fields": [
                "api_key",
                "token",
                "authorization",
                "cookie",
                "password",
                "private_key",
            ],
        },
        "resources": {
            "enabled": True,
            "sample_interval_seconds": 10,
            "gpu_enabled": "auto",
            "gpu_sample_interval_seconds": 60,
            "history_window_hours": 24,
            "raw_retention_hours": 48,
            "rollup_bucket_seconds": 3600,
        },
        "human_control": {"mode": "disabled", "reason": "not declared"},
        "real_adapters": {},
        "interfaces": {},
        "execution_model": [],
    }


def resolve(
    blueprint_id: str,
    name: str,
    bundle_layers: Sequence[tuple[str, JsonObject]],
    *,
    overrides: Mapping[str, Any] | None = None,
    settings: Sequence[Setting] = (),
    environ: Mapping[str, str] | None = None,
) -> Resolved:
    """Return the config after all layers: defaults, bundle, environment, overrides, settings.

    Raises: ConfigInvalidError if a setting cannot be used.
    """
    environ = os.environ if environ is None else environ
    config = shared_defaults(blueprint_id, name)
    sources = ["defaults"]
    problems: list[Problem] = []
    layers = [*bundle_layers]
    for label, load in (
        ("MN_BLUEPRINT_CONFIG_PATH", _from_path),
        ("MN_BLUEPRINT_CONFIG_JSON", _from_text),
    ):
        if environ.get(label):
            try:
                layers.append((label, load(environ[label])))
            except (JsonInvalidError, OSError) as error:
                problems.append(_refused(label, error))
    if overrides:
        layers.append(("overrides", dict(overrides)))
    for label, layer in layers:
        config = merged(config, layer)
        sources.append(label)
    for setting in settings:
        config = with_setting(config, setting)
        path = setting[0] if isinstance(setting, tuple) else setting.partition("=")[0]
        sources.append(f"--set {path}")
    scalars = _environment_scalars(environ)
    if scalars:
        config = merged(config, scalars)
        sources.append("environment")
    return Resolved(config=config, sources=sources, problems=problems)


def for_run(config: JsonObject, run_id: str, runs_root: str) -> JsonObject:
    """Return the config of one run: what the launcher always sets is set."""
    outputs = config.get("outputs")
    write = outputs.get("write_run_store") if isinstance(outputs, dict) else None
    return merged(
        config,
        {
            "identity": {"run_id": run_id},
            "outputs": {"run_root": runs_root, "write_run_store": True if write is None else write},
        },
    )


def _from_path(path: str) -> JsonObject:
    return _object(read(Path(path).expanduser().read_bytes()).value)


def _from_text(text: str) -> JsonObject:
    return _object(read(text.encode(errors="surrogateescape")).value)


def _object(value: Any) -> JsonObject:
    if not isinstance(value, dict):
        raise JsonInvalidError("must be a JSON object")
    return value


def _refused(label: str, error: Exception) -> Problem:
    reason = error.message if isinstance(error, JsonInvalidError) else str(error)
    return Problem(
        rule="C-50",
        code="config.layer_invalid",
        severity=Severity.ERROR,
        message=f"the config that {label} names cannot be used: {reason}",
        help=f"mend what {label} points to, or unset it",
        file=label,
        expected="a JSON object",
        line=getattr(error, "line", None) or None,
        column=getattr(error, "column", None) or None,
    )


def _environment_scalars(environ: Mapping[str, str]) -> JsonObject:
    layer: JsonObject = {}
    for variable, section, key in (
        ("MN_RUN_ID", "identity", "run_id"),
        ("MN_BLUEPRINT_REVISION", "identity", "revision"),
        ("MN_RUNS_ROOT", "outputs", "run_root"),
    ):
        if environ.get(variable):
            layer.setdefault(section, {})[key] = environ[variable]
    return layer


def with_setting(config: JsonObject, setting: Setting) -> JsonObject:
    """Return the config with one `--set a.b=c` applied; the value is JSON, else text.

    Objects on the way are made; a number indexes an existing list.
    Raises: ConfigInvalidError.
    """
    path, value = _setting(setting)
    steps = path.strip().split(".")
    text = path if isinstance(setting, tuple) else setting
    if not all(steps):
        raise _unreadable(text)
    result: JsonObject = copied(config)
    place: Any = result
    for step in steps[:-1]:
        key = _key(place, step, text)
        inside = place[key] if isinstance(place, list) else place.get(key)
        if not isinstance(inside, dict | list):
            place[key] = inside = {}
        place = inside
    place[_key(place, steps[-1], text)] = value
    return result


def _setting(setting: Setting) -> tuple[str, Any]:
    if isinstance(setting, tuple):
        return setting
    path, equals, written = setting.partition("=")
    if not equals:
        raise _unreadable(setting)
    try:
        return path, read(written.encode(errors="surrogateescape")).value
    except JsonInvalidError:
        return path, written


def _unreadable(text: str) -> ConfigInvalidError:
    return ConfigInvalidError(
        f"cannot read the setting {text!r}", hint="write it as path.to.value=VALUE"
    )


def _key(place: Any, step: str, text: str) -> Any:
    if not isinstance(place, list):
        return step
    if not step.isdecimal() or int(step) >= len(place):
        raise ConfigInvalidError(
            f"the setting {text!r} does not fit: {step!r} is no position in a list of {len(place)}",
            hint="count list positions from 0",
        )
    return int(step)


def look_up(document: Any, path: str) -> Any:
    """Return the value at a dotted path through objects and lists, or None."""
    found = document
    for step in path.split("."):
        if isinstance(found, Mapping):
            found = found.get(step)
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found


def filled(value: Any, config: JsonObject, environ: Mapping[str, str] | None = None) -> Any:
    """Return the value with `${config.a.b}` filled in, all through.

    So is `${env.NAME}`, given an environment; else it stays for later. What cannot be found becomes
    the empty text.
    """
    if isinstance(value, str):
        if "${" not in value:
            return value
        return _PLACE.sub(lambda match: _fill(match, config, environ), value)
    if isinstance(value, list):
        return [filled(item, config, environ) for item in value]
    if isinstance(value, dict):
        return {name: filled(item, config, environ) for name, item in value.items()}
    return value


def _fill(match: re.Match[str], config: JsonObject, environ: Mapping[str, str] | None) -> str:
    kind, name = match.groups()
    if kind == "env":
        return match.group() if environ is None else environ.get(name, "")
    return as_text(look_up(config, name))


def as_text(value: Any) -> str:
    """Return a value as texts and environments show it: JSON, but nothing for null."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
