"""A configuration as people and programs may see it: written as in the file, without secrets."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import inspect

from mnedge.config.read import Loaded
from mnedge.config.settings import Config, FileSettings
from mnedge.config.written import as_duration, as_size
from mnedge.model.redaction import REDACTED, Redactor

_HEADERS = "trace.otel.headers"
_FORMS: Mapping[str, Callable[[Any], str]] = {"duration": as_duration, "size": as_size}


def as_file(config: Config) -> FileSettings:
    """Return the settings as a file would hold them, each with its value."""
    return FileSettings(
        data_dir=str(config.data_dir),
        runs_root=str(config.runs_root),
        node=config.node,
        durability=config.durability,
        inherit_environment=config.inherit_environment,
        openshell_fallback=config.openshell_fallback,
        keep_workspaces=config.keep_workspaces,
        snapshot_bytes=config.snapshot_bytes,
        plugins=config.plugins,
        relay=config.relay,
        soul=config.soul,
        trace=config.trace,
        daemon=config.daemon,
    )


def shown(config: Config) -> dict[str, Any]:
    """Return every setting as the file spells it; secrets are hidden."""
    tree = msgspec.to_builtins(as_file(config), str_keys=True)
    value = _written(_root(), tree, "")
    return value if isinstance(value, dict) else {}


def shown_value(path: str, value: Any) -> Any:
    """Return one value as `shown` has it."""
    if path in ("data_dir", "runs_root"):
        return str(value)
    return _written(_kind_at(path), msgspec.to_builtins(value, str_keys=True), path)


def document(loaded: Loaded) -> dict[str, Any]:
    """Return the configuration with origins, for programs."""
    values = shown(loaded.config)
    return {
        "file": None if loaded.config.file is None else str(loaded.config.file),
        "config": values,
        "origins": {
            path: {"source": origin.source, "where": origin.where}
            for path, _ in leaves(values)
            for origin in [loaded.origin(path)]
        },
        "problems": [problem.record() for problem in loaded.problems],
    }


def leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each path and its value; a list counts as one value."""
    for key, value in tree.items():
        inner = f"{path}.{key}" if path else key
        if isinstance(value, Mapping) and value:
            yield from leaves(value, inner)
        else:
            yield inner, value


@lru_cache(maxsize=1)
def _root() -> inspect.Type:
    return inspect.type_info(FileSettings)


def _kind_at(path: str) -> inspect.Type:
    kind = _root()
    for name in path.split("."):
        kind = _bare(kind)
        if isinstance(kind, inspect.StructType):
            kind = next(field.type for field in kind.fields if field.encode_name == name)
    return kind


def _bare(kind: inspect.Type) -> inspect.Type:
    if isinstance(kind, inspect.UnionType):
        return next(one for one in kind.types if not isinstance(one, inspect.NoneType))
    return kind


def _written(kind: inspect.Type, value: Any, path: str) -> Any:
    if isinstance(kind, inspect.UnionType) and value is not None:
        structs = [one for one in kind.types if isinstance(one, inspect.StructType)]
        kind = structs[0] if structs and isinstance(value, dict) else _bare(kind)
    match kind:
        case inspect.Metadata(type=inner, extra=extra):
            write = _FORMS.get((extra or {}).get("written", ""))
            return _written(inner, value, path) if write is None else write(value)
        case inspect.StructType(fields=fields):
            return {
                field.encode_name: _written(
                    field.type,
                    value[field.encode_name],
                    f"{path}.{field.encode_name}" if path else field.encode_name,
                )
                for field in fields
            }
        case inspect.VarTupleType(item_type=inner):
            return [_written(inner, item, path) for item in value]
        case inspect.DictType(value_type=inner):
            return _mapping(inner, value, path)
        case inspect.StrType() if value is not None:
            return Redactor().text(value)
        case _:
            return value


def _mapping(kind: inspect.Type, value: dict[str, Any], path: str) -> Any:
    if path == _HEADERS:
        return {key: one if isinstance(one, dict) else REDACTED for key, one in value.items()}
    if isinstance(kind, inspect.AnyType):
        return _free(Redactor().tree(value))
    return {key: _written(kind, one, path) for key, one in value.items()}


def _free(value: Any) -> Any:
    """Hide where an address leads: the path of a webhook often is its secret."""
    if isinstance(value, dict):
        return {key: _free(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_free(one) for one in value]
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        parts = urlsplit(value)
        if parts.path.strip("/") or parts.query:
            return f"{parts.scheme}://{parts.hostname}/{REDACTED}"
    return value
