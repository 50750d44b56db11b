"""The agents that do the work of steps.

Source: bundle format 2.6.2, worker nodes.
"""

from typing import Any

from msgspec import Struct

from mnedge.bundle.config import copied
from mnedge.bundle.files import Files
from mnedge.bundle.source import profile
from mnedge.bundle.source.graphs import Call
from mnedge.bundle.source.merging import laid_over
from mnedge.bundle.source.placeholders import filled_in, words_of_step
from mnedge.bundle.source.sentinels import canonical
from mnedge.bundle.subject import JsonObject, is_text, listing, mapping, objects
from mnedge.bundle.templates import TemplateProblemError, rendered

HANDLER = "MN_WORKFLOW_STEP_HANDLER"
PARAMETERS = "MN_WORKFLOW_STEP_WITH_JSON"
EMBEDDED = "MN_BLUEPRINT_CONFIG_JSON"
_SELECTORS = ("steps", "step_ids", "ids", "worker", "name", "description")


class Workshop(Struct, frozen=True, kw_only=True):
    """What all workers of a source have in common."""

    source: JsonObject
    config: JsonObject
    """The config to embed; empty if there is none."""
    files: Files

    @property
    def blueprint_id(self) -> str:
        """Id of the blueprint."""
        return str(mapping(self.source.get("identity")).get("id") or "")

    @property
    def embeds(self) -> bool:
        """Tell whether workers carry the config."""
        config = mapping(self.source.get("config"))
        return bool(self.config) and config.get("embed") is not False


def worker_of(step: JsonObject, raw: JsonObject, shop: Workshop) -> JsonObject | None:
    """Return the agent of a step that has a handler or an agent; None if it is switched off.

    `step` is the record of the step, `raw` what the source says about it.
    """
    spec = _spec(step, raw, shop)
    if spec is None:
        return None
    run = mapping(raw.get("run"))
    node = _node(str(step["id"]), spec)
    if run.get("handler"):
        _handle(node, str(run["handler"]), mapping(run.get("with")))
    return _finished(node, step, shop, emits=message_type_of(step))


def worker_of_call(
    call: Call, step: JsonObject, raw: JsonObject, shop: Workshop
) -> JsonObject | None:
    """Return the agent that works at one place of a step's graph."""
    spec = _spec(step, raw, shop)
    if spec is None:
        return None
    node = _node(call.node_id, spec)
    node["role"] = call.role
    _handle(node, call.handler, call.parameters)
    node["with"]["environment"] |= {
        "MN_WORKFLOW_AGENT_ID": call.agent_id,
        "MN_WORKFLOW_INVOCATION_ID": call.node_id,
    }
    node["with"]["workflow_complete_step"] = False
    if call.failure_message_type is not None:
        node["with"]["failure_message_type"] = call.failure_message_type
    return _finished(node, step, shop, emits=call.output_type)


def in_full(node: JsonObject) -> JsonObject:
    """Return the node with its template filled in; as it is if there is no such template."""
    try:
        return rendered(node)
    except TemplateProblemError:
        return node


def _spec(step: JsonObject, raw: JsonObject, shop: Workshop) -> JsonObject | None:
    """Lay everything that is said about a step's worker over each other."""
    step_id = str(step["id"])
    workers = mapping(shop.source.get("workers"))
    groups = [
        layer
        for _, group in objects(workers.get("groups"))
        if step_id in _selected(group)
        for layer in (
            {name: value for name, value in group.items() if name not in _SELECTORS},
            group.get("worker"),
        )
    ]
    spec = laid_over(
        profile.WORKER,
        _of_config(shop.config),
        mapping(shop.source.get("defaults")).get("worker"),
        *groups,
        mapping(workers.get("by_step")).get(step_id),
        raw.get("worker"),
    )
    if spec.pop("enabled", True) is False:
        return None
    filled: JsonObject = filled_in(spec, words_of_step(step, shop.blueprint_id))
    return filled


def _selected(group: JsonObject) -> list[Any]:
    for key in ("steps", "step_ids", "ids"):
        if key in group:
            return listing(group[key])
    return []


def _of_config(config: JsonObject) -> JsonObject:
    runtime = mapping(config.get("skill_runtime"))
    found: JsonObject = {}
    image = runtime.get("docker_worker_image") or runtime.get("image")
    if is_text(image):
        found["image"] = image
    if is_text(runtime.get("network")):
        found["network"] = runtime["network"]
    return {"with": found} if found else {}


def _node(node_id: str, spec: JsonObject) -> JsonObject:
    node = {"node_id": node_id, **copied(spec)}
    node["with"] = mapping(node.get("with"))
    node["with"]["environment"] = mapping(node["with"].get("environment"))
    return node


def _handle(node: JsonObject, handler: str, parameters: JsonObject) -> None:
    with_ = node["with"]
    with_["environment"] |= {HANDLER: handler, PARAMETERS: canonical(parameters)}
    with_["command"] = list(profile.STEP_RUNTIME)


def _finished(node: JsonObject, step: JsonObject, shop: Workshop, *, emits: str) -> JsonObject:
    with_ = node["with"]
    with_["output_message_type"] = emits
    timeout = mapping(step.get("control")).get("timeout_seconds")
    if timeout is not None:
        with_.setdefault("timeout_seconds", timeout)
    with_["upload_paths"] = _uploads(with_.get("upload_paths"), shop)
    if shop.embeds:
        with_["environment"][EMBEDDED] = canonical(shop.config)
    own = node.pop("config", None)
    complete = in_full(node)
    # What a job is started with reaches its workers as MN_BLUEPRINT_CONFIG_JSON in any case, with
    # all that a person laid over the default; the embedded default must not hide that.
    mapping(mapping(complete.get("config")).get("environment")).pop(EMBEDDED, None)
    if isinstance(own, dict):
        complete = {**complete, "config": laid_over(mapping(complete.get("config")), own)}
    return complete


def _uploads(custom: Any, shop: Workshop) -> list[Any]:
    """Return the folders that every worker gets, where there are any, and the worker's own."""
    words = {"blueprint_id": shop.blueprint_id}
    wanted: list[Any] = [
        {"source": source, "target": filled_in(target, words)}
        for source, target in profile.UPLOADS
        if _is_there(shop.files, f"payloads/{source}")
    ]
    for upload in listing(custom):
        if upload not in wanted:
            wanted.append(copied(upload))
    return wanted


def _is_there(files: Files, name: str) -> bool:
    return files.is_dir(name) or files.is_file(name)


def message_type_of(step: JsonObject) -> str:
    """Return the type of the message that a step's work comes to."""
    emits = step.get("emits")
    if isinstance(emits, list):
        emits = next((name for name in emits if is_text(name)), None)
    return emits if is_text(emits) else f"{step['id']}_completed"
