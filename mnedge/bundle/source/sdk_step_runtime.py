"""Runs the handler of one step: `python3 -m mn_sdk.step_runtime`, stood in for.

Laid out as a package of its own by `stand_in`; standard library only, Python 3.9 and later.

The handler is `MN_WORKFLOW_STEP_HANDLER`, a module whose `run` is called, or `module:function`;
its keyword arguments are `MN_WORKFLOW_STEP_WITH_JSON`. What it returns is printed as one JSON
object, or written to `MN_STEP_RESULT_FILE`. What it prints goes to standard error, lines for the
runtime (`__MN_EVENT__`, beacons) to standard output. While it works, beacons are sent for it.
Source: bundle format 3.4, worker contract 3.9.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, TextIO

ROUTING_FIELDS = frozenset(
    ("from", "to", "from_node", "to_node", "message_type", "route", "routing")
)
"""What a handler may not decide: edges do."""
_WRAPPERS = ("stdout", "sandbox", "body", "payload", "data", "message", "content", "kwargs")
_CONTEXT_NAMES = ("context", "ctx", "step_context")
_STAGED = "mn.staged_artifact/v1"


@dataclass
class StepContext:
    """Where a handler stands."""

    step_id: str = ""
    graph_revision: int = 0
    template_id: str = ""
    region_id: str = ""
    job_id: str = ""
    run_id: str = ""
    attempt_id: str = ""
    job_data_dir: str = ""
    attempt: int = 1
    idempotency_key: str = ""
    message: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    agent_id: str = ""
    invocation_id: str = ""

    @classmethod
    def from_environment(cls, env: Mapping[str, str] | None = None) -> StepContext:
        """Return what the runtime says in the environment and in the files named there."""
        told = dict(os.environ if env is None else env)

        def text(*names: str) -> str:
            return next((told[name].strip() for name in names if told.get(name)), "")

        workflow = _object(_file_text(text("MN_CONTEXT_FILE"))).get("workflow")
        running = workflow.get("step_id") if isinstance(workflow, dict) else None
        return cls(
            step_id=str(running or text("MN_WORKFLOW_STEP_ID")),
            graph_revision=_whole(text("MN_WORKFLOW_GRAPH_REVISION"), 0),
            template_id=text("MN_WORKFLOW_TEMPLATE_ID"),
            region_id=text("MN_WORKFLOW_REGION_ID"),
            job_id=text("MN_JOB_ID"),
            run_id=text("MN_WORKFLOW_RUN_ID", "MN_RUN_ID"),
            attempt_id=text("MN_WORKFLOW_ATTEMPT_ID", "MN_ATTEMPT_ID"),
            job_data_dir=text("MN_JOB_DATA_DIR"),
            attempt=_whole(text("MN_WORKFLOW_ATTEMPT"), 1) or 1,
            idempotency_key=text("MN_WORKFLOW_IDEMPOTENCY_KEY"),
            message=_object(_file_text(text("MN_MESSAGE_FILE"))),
            config=_object(told.get("MN_BLUEPRINT_CONFIG_JSON", "")),
            environment=told,
            agent_id=text("MN_WORKFLOW_AGENT_ID", "MN_AGENT_ID"),
            invocation_id=text("MN_WORKFLOW_INVOCATION_ID"),
        )


@dataclass
class StepResult:
    """What a handler came to."""

    outputs: dict[str, Any] = field(default_factory=dict)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    status: str = "completed"
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class AgentInput:
    """What a handler is given to work on."""

    payload: dict[str, Any] = field(default_factory=dict)
    artifacts: tuple[dict[str, Any], ...] = ()
    message_id: str = ""
    correlation_id: str = ""
    idempotency_key: str = ""


def receive_input(context: StepContext, *, required_keys: Any = ()) -> AgentInput:
    """Return the outputs of whoever sent the message, else the body of a first message."""
    message = context.message
    sent = _sent_outputs(message)
    if sent is not None:
        outputs = _staged_content(sent["outputs"])
        payload = dict(outputs) if isinstance(outputs, dict) else {}
        artifacts = sent.get("artifacts")
    else:
        payload = _first_payload(message, set(required_keys))
        artifacts = payload.get("artifact_refs") or message.get("artifacts")
    step_input = _step_facts(message).get("step_input")
    if isinstance(step_input, dict):
        payload.setdefault("step_input", dict(step_input))
    envelope = message.get("envelope")
    head = envelope if isinstance(envelope, dict) else {}
    return AgentInput(
        payload=payload,
        artifacts=tuple(dict(one) for one in _items(artifacts) if isinstance(one, dict)),
        message_id=str(head.get("message_id") or ""),
        correlation_id=str(head.get("correlation_id") or ""),
        idempotency_key=context.idempotency_key,
    )


def send_output(
    payload: Mapping[str, Any],
    *,
    artifacts: Any = (),
    metrics: Mapping[str, Any] | None = None,
    status: str = "completed",
    events: Any = (),
) -> StepResult:
    """Return a result that goes wherever the graph says."""
    if not isinstance(payload, Mapping):
        raise TypeError("the payload must be a mapping")
    decided = sorted(ROUTING_FIELDS & set(payload))
    if decided:
        raise ValueError(f"the graph decides about {', '.join(decided)}, not the payload")
    if not str(status or "").strip():
        raise ValueError("the status must not be empty")
    for name, listed in (("artifacts", artifacts), ("events", events)):
        if not all(isinstance(item, Mapping) for item in listed):
            raise TypeError(f"{name} must be mappings")
    return StepResult(
        outputs=dict(payload),
        artifacts=[dict(item) for item in artifacts],
        metrics=dict(metrics or {}),
        status=str(status).strip(),
        events=[dict(item) for item in events],
    )


def artifact_reference(kind: str, path: str, **metadata: Any) -> dict[str, Any]:
    """Return a reference to a file that was written."""
    if not str(kind or "").strip() or not str(path or "").strip():
        raise ValueError("an artifact has a kind and a path")
    if ROUTING_FIELDS & set(metadata):
        raise ValueError("the graph decides where an artifact goes")
    return {"kind": str(kind).strip(), "path": str(path).strip(), **metadata}


def find_artifact_reference(value: Any, kind: str) -> dict[str, Any] | None:
    """Return the first reference of this kind anywhere inside the value."""
    if isinstance(value, AgentInput):
        value = [*value.artifacts, value.payload]
    for found in _objects_inside(value):
        if found.get("kind") == kind and str(found.get("path") or "").strip():
            return dict(found)
    return None


def find_message_payload(
    value: Any, *, required_keys: Any = (), payload_key: str = ""
) -> dict[str, Any]:
    """Return the first object inside that holds one of the keys, or stands under `payload_key`."""
    wanted = set(required_keys)
    for found in _objects_inside(value):
        if payload_key and isinstance(found.get(payload_key), dict):
            return dict(found[payload_key])
        if wanted & set(found):
            return dict(found)
    return {}


def resolve_handler(reference: str) -> Callable[..., Any]:
    """Return the function that `module` or `module:function` names."""
    module, colon, name = str(reference or "").strip().partition(":")
    if not module:
        raise ValueError("MN_WORKFLOW_STEP_HANDLER names no handler")
    _search_the_bundle()
    found = getattr(importlib.import_module(module), name if colon else "run", None)
    if not callable(found):
        raise TypeError(f"handler module {module} has no function {name if colon else 'run'}")
    return found  # type: ignore[no-any-return]


def invoke_handler(
    reference: str,
    *,
    context: StepContext | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Call the handler; return its result in the form the runtime reads."""
    given = context or StepContext.from_environment()
    function = resolve_handler(reference)
    positional = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    first = [given] if positional[:1] and positional[0] in _CONTEXT_NAMES else []
    return normalize_result(function(*first, **dict(parameters or {})), given)


def normalize_result(result: Any, context: StepContext) -> dict[str, Any]:
    """Return any result as an object that says which step and run it belongs to."""
    if is_dataclass(result) and not isinstance(result, type):
        found: dict[str, Any] = asdict(result)
    elif isinstance(result, Mapping):
        found = dict(result)
    else:
        found = {} if result is None else {"outputs": result}
    found.setdefault("status", "completed")
    for name, value in (("workflow_step_id", context.step_id), ("run_id", context.run_id)):
        if value:
            found.setdefault(name, value)
    found.setdefault("runtime_step_mode", "manifest_handler")
    return found


def main() -> int:
    """Run the handler that the environment names, and answer."""
    answers = sys.stdout
    context = StepContext.from_environment()
    parameters = _object(os.environ.get("MN_WORKFLOW_STEP_WITH_JSON", "{}"), strict=True)
    over = threading.Event()
    beacons = threading.Thread(  # noqa: TID251
        target=_send_beacons, args=(answers, over), daemon=True
    )
    beacons.start()
    sys.stdout = Sorted(answers, sys.stderr)
    try:
        reference = os.environ.get("MN_WORKFLOW_STEP_HANDLER", "")
        result = invoke_handler(reference, context=context, parameters=parameters)
        sys.stdout.flush()
    finally:
        sys.stdout = answers
        over.set()
        beacons.join()
    text = json.dumps(result, ensure_ascii=False, sort_keys=True, default=str)
    target = os.environ.get("MN_STEP_RESULT_FILE", "").strip()
    if target:
        _write(Path(target), text)
    else:
        answers.write(text + "\n")
        answers.flush()
    return 0


class Sorted(io.TextIOBase):
    """Lines for the runtime go to standard output, all other lines to standard error."""

    def __init__(self, answers: TextIO, rest: TextIO) -> None:
        self.answers = answers
        self.rest = rest
        self.line = ""

    def writable(self) -> bool:
        """Say that this can be written to."""
        return True

    def write(self, text: str) -> int:
        """Pass on every line that is complete."""
        *lines, self.line = (self.line + text).split("\n")
        for line in lines:
            self._pass_on(line + "\n")
        return len(text)

    def flush(self) -> None:
        """Pass on what was written, complete or not."""
        line, self.line = self.line, ""
        if line:
            self._pass_on(line)
        self.rest.flush()

    def _pass_on(self, line: str) -> None:
        stream = self.answers if line.startswith("__MN_") else self.rest
        stream.write(line)
        stream.flush()


def _send_beacons(answers: TextIO, over: threading.Event) -> None:
    prefix = os.environ.get("MN_AGENT_BEACON_STDOUT_PREFIX", "")
    interval_s = _whole(os.environ.get("MN_AGENT_BEACON_INTERVAL_MS", ""), 15000) / 1000
    while prefix and not over.wait(max(interval_s, 0.1)):
        answers.write(f'{prefix} {{"status": "working"}}\n')
        answers.flush()


def _write(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, target)


def _search_the_bundle() -> None:
    """Let the handler's modules be found: beside us, above us, in the bundle's payloads."""
    here = Path.cwd()
    places = [here, here / "scripts"]
    if any((here.parent / name).is_dir() for name in ("steps", "agents", "runtime")):
        places.append(here.parent)
    bundle = os.environ.get("MN_BLUEPRINT_BUNDLE_DIR", "").strip()
    if bundle:
        places += [Path(bundle, "payloads"), Path(bundle)]
    known = [str(place) for place in places if place.is_dir()]
    sys.path[:] = [*known, *(place for place in sys.path if place not in known)]


def _sent_outputs(value: Any) -> dict[str, Any] | None:
    """Return the newest result inside a message; what its sender was given is no result."""
    value = _decoded(value)
    if isinstance(value, dict):
        if isinstance(value.get("outputs"), dict):
            return value
        skipped = (*_WRAPPERS, "input", "envelope", "headers", "artifacts")
        names = [*_WRAPPERS, *(name for name in value if name not in skipped)]
        inside = [value[name] for name in names if name in value]
    else:
        inside = _items(value)
    return next((found for item in inside if (found := _sent_outputs(item)) is not None), None)


def _first_payload(message: dict[str, Any], wanted: set[str]) -> dict[str, Any]:
    if wanted:
        found = find_message_payload(message, required_keys=wanted)
        if found:
            return found
    for name in ("body", "payload", "data", "content", "kwargs", "input"):
        value = _decoded(message.get(name))
        if isinstance(value, dict):
            return dict(value)
    around = ("envelope", "headers", "artifacts", "stream")
    return {name: value for name, value in message.items() if name not in around}


def _step_facts(value: Any) -> dict[str, Any]:
    for found in _objects_inside(value):
        if isinstance(found.get("_mn_step"), dict):
            return dict(found["_mn_step"])
    return {}


def _objects_inside(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object inside, outermost first, the usual wrappers before the rest."""
    value = _decoded(value)
    if isinstance(value, dict):
        yield value
        first = [name for name in _WRAPPERS if name in value]
        for name in [*first, *(name for name in value if name not in first)]:
            yield from _objects_inside(value[name])
    for item in _items(value):
        yield from _objects_inside(item)


def _staged_content(value: Any) -> Any:
    """Return what a reference to a staged artifact stands for; other values as they are."""
    if not isinstance(value, dict) or value.get("schema_version") != _STAGED:
        return value
    path = Path(os.environ.get("MN_RUN_DIR", "."), str(value.get("path")))
    content = path.read_bytes()
    expected = str(value.get("sha256") or "").rpartition(":")[2]
    if expected and hashlib.sha256(content).hexdigest() != expected:
        raise ValueError(f"staged artifact {path} is not what was staged")
    return json.loads(content)


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _decoded(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _object(text: str, *, strict: bool = False) -> dict[str, Any]:
    try:
        value = json.loads(text) if text.strip() else {}
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    if strict:
        raise ValueError("MN_WORKFLOW_STEP_WITH_JSON must hold a JSON object")
    return {}


def _file_text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8") if path and Path(path).is_file() else ""


def _whole(text: str, default: int) -> int:
    return int(text) if text.isdecimal() else default


if __name__ == "__main__":
    sys.exit(main())
