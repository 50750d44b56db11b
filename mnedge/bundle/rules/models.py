"""The rule about language models that a workflow needs at hand."""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle.files import tidy, unsafe_path
from mnedge.bundle.problem import At
from mnedge.bundle.rules.registry import ERROR, WARNING, Found, rule
from mnedge.bundle.subject import JsonObject, Subject, is_count, is_text, mapping

BACKENDS = ("auto", "llama.cpp", "vllm")
FORMATS = ("gguf", "safetensors", "dduf")
_FILES = ("mmproj_path", "chat_template_path", "config_path", "license_path")


@rule(
    "R-12",
    ERROR,
    "BCS",
    "runtime.model",
    "a model of runtime.models is malformed",
    help='write {"<id>": {"provider", "model", "backend": "auto", "context_size": 4096}}',
)
def models_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with each model, and each file of one that is not there."""
    at: At = ("runtime", "models")
    models = mapping(subject.graph.get("runtime")).get("models")
    if models is None:
        return
    if not isinstance(models, dict):
        yield Found(at=at, message="runtime.models must be an object", actual=models)
        return
    for name, model in models.items():
        place = (*at, name)
        if not isinstance(model, dict):
            yield Found(at=place, message=f"model {name} must be an object", actual=model)
            continue
        for below, reason, expected, weight in _wrong_model(subject, model):
            yield Found(
                at=(*place, *below),
                message=f"{'.'.join(below)} of model {name} {reason}"[:300],
                expected=expected,
                severity=weight,
            )


Wrong = Iterator[tuple[tuple[str, ...], str, Any, str]]


def _wrong_model(subject: Subject, model: JsonObject) -> Wrong:
    backend = model.get("backend")
    if backend is not None and backend not in BACKENDS:
        yield ("backend",), "is unknown", list(BACKENDS), ERROR
    size = model.get("context_size")
    if size is not None and not is_count(size, 1):
        yield ("context_size",), "must be a whole number of at least 1", "a number", ERROR
    for key in ("customize_mode", "required"):
        if model.get(key) is not None and not isinstance(model[key], bool):
            yield (key,), "must be a boolean", "true or false", ERROR
    source = model.get("source")
    if isinstance(source, dict) and source.get("type") == "payload":
        yield from _wrong_source(subject, source)
    elif source is not None and not isinstance(source, dict | str):
        yield ("source",), "must be an object", "an object", ERROR


def _wrong_source(subject: Subject, source: JsonObject) -> Wrong:
    kind, digest = source.get("format"), source.get("digest")
    if kind is not None and kind not in FORMATS:
        yield ("source", "format"), "is unknown", list(FORMATS), ERROR
    if digest is not None and not (is_text(digest) and digest.startswith("sha256:")):
        yield ("source", "digest"), "must be sha256:<hex>", "sha256:<hex>", ERROR
    path = source.get("path")
    if not is_text(path):
        yield ("source", "path"), "is required", "a path below payloads/models", ERROR
    elif unsafe_path(path) or not _below_models(path):
        yield ("source", "path"), "must be below payloads/models", "a relative path", ERROR
    elif not _is_there(subject, path):
        yield ("source", "path"), "is not in payloads/", f"payloads/{tidy(path)}", WARNING
    for key in _FILES:
        extra = source.get(key)
        if extra is None:
            continue
        if not is_text(extra) or unsafe_path(extra):
            yield ("source", key), "must be a path below payloads/", "a relative path", ERROR
        elif not _is_there(subject, extra):
            yield ("source", key), "is not in payloads/", f"payloads/{tidy(extra)}", WARNING


def _below_models(path: str) -> bool:
    return tidy(path).removeprefix("payloads/").startswith("models/")


def _is_there(subject: Subject, path: str) -> bool:
    name = f"payloads/{tidy(path).removeprefix('payloads/')}"
    return subject.files.is_file(name) or subject.files.is_dir(name)
