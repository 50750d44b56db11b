"""A manifest that the product's client prepared for its own run, made plain again.

The client adds to the author's manifest what its own runtime wants: a second copy of the graph, its
run's ids and folders in every agent's environment, the whole config beside them, and on which node
all is to run. Pure.
Source: client surface 1.4.
"""

import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct, field

from mnedge.bundle.config import copied
from mnedge.bundle.generation import Generation, detect
from mnedge.bundle.json_text import JsonInvalidError, read
from mnedge.bundle.layout import nodes_of, value_below
from mnedge.bundle.problem import At, Problem, Severity, dotted
from mnedge.bundle.subject import JsonObject, is_text, listing, mapping, objects

STORAGE, IDENTITY = "mn_storage", "mn_identity"
"""Members of the metadata that only a client writes."""
CONFIG = "MN_BLUEPRINT_CONFIG_JSON"
BAKED = re.compile(
    r"(MN|MIRROR_NEURON)_(RUN_ID|RUN_DIR|RUNS_ROOT|ATTEMPT_ID|JOB_ID|JOB_\w+_DIR"
    r"|JOB_SHARED_STORAGE_ROOT|STORAGE_SUBMISSION_ID)"
)
"""Variables that name the run, and the folders, that the manifest was prepared for."""
_NODE_NAMES = ("node.name", "node.id", "node_name", "node")
_EQUAL, _UNEQUAL = ("==", "=", "eq"), ("!=", "ne")


class BlobRef(Struct, frozen=True, kw_only=True):
    """A payload that was too large for the request; the client keeps it under its hash."""

    path: str
    """Below `payloads/`."""
    sha256: str
    size_bytes: int | None = None


class Prepared(Struct, frozen=True, kw_only=True):
    """What is left when that is taken out which the client added for itself."""

    manifest: JsonObject
    blueprint_id: str
    config: JsonObject | None = None
    """The resolved config that the client embedded, else an empty one; None for an authoring
    source, which brings its own."""
    blobs: list[BlobRef] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def plain(manifest: JsonObject, *, node: str) -> Prepared:
    """Return the manifest as it was before a client prepared it, for the node called `node`.

    One that no client prepared stays as it is; what it demands of its place is checked all the
    same.
    """
    generation = detect(manifest)
    config: JsonObject | None = None if generation.letter == "S" else {}
    changed: JsonObject = copied(manifest)
    if is_prepared(manifest):
        _without_copied_graph(changed, generation)
        config = _embedded_config(changed, generation) or config
        for _, agent in nodes_of(changed, generation):
            _forget_run(agent)
    problems: list[Problem] = []
    for at, agent in nodes_of(changed, generation):
        problems += _forget_place(agent, at, node)
    return Prepared(
        manifest=changed,
        blueprint_id=_blueprint_id(manifest),
        config=config,
        blobs=list(_blobs(manifest, problems)),
        problems=problems,
    )


def is_prepared(manifest: JsonObject) -> bool:
    """Tell whether a client added what its own run needs."""
    metadata = mapping(manifest.get("metadata"))
    return any(isinstance(metadata.get(name), dict) for name in (STORAGE, IDENTITY))


def is_here(name: Any, node: str) -> bool:
    """Tell whether a manifest means the node called `node`; the wire says `runtime@node`."""
    return is_text(name) and (name == node or name.rpartition("@")[2] == node.rpartition("@")[2])


def _without_copied_graph(manifest: JsonObject, generation: Generation) -> None:
    """Take out the `flow` that says what `workflow` and `agents` say already."""
    if generation is not Generation.C:
        return
    flow = mapping(manifest.get("flow"))
    same = all(
        flow.get(name) == value_below(manifest, (home, name))
        for home, name in (("agents", "nodes"), ("workflow", "steps"))
    )
    if flow and same:
        del manifest["flow"]


def _embedded_config(manifest: JsonObject, generation: Generation) -> JsonObject | None:
    """Take the config out of the agents' environments, where each has the same."""
    found: JsonObject | None = None
    text = ""
    for _, agent in nodes_of(manifest, generation):
        environment = mapping(mapping(agent.get("config")).get("environment"))
        written = environment.get(CONFIG)
        if not is_text(written) or (text and written != text):
            continue
        if found is None:
            try:
                value = read(written.encode(errors="surrogateescape")).value
            except JsonInvalidError:
                continue
            if not isinstance(value, dict):
                continue
            text, found = written, value
        del environment[CONFIG]
    if found is not None:
        mapping(found.get("identity")).pop("run_id", None)
    return found


def _forget_run(agent: JsonObject) -> None:
    """Take out what names the run; an environment that holds nothing else was the client's."""
    config = mapping(agent.get("config"))
    environment = config.get("environment")
    if not isinstance(environment, dict):
        return
    for name in [name for name in environment if BAKED.fullmatch(name)]:
        del environment[name]
    if not environment:
        del config["environment"]


def _forget_place(agent: JsonObject, at: At, node: str) -> Iterator[Problem]:
    """Take out that the agent is to run here; yield an error if it is to run elsewhere."""
    constraints = agent.get("constraints")
    if isinstance(constraints, list):
        left = []
        for index, constraint in enumerate(constraints):
            met = _met(constraint, node)
            if met is False:
                yield _elsewhere((*at, "constraints", index), constraint, node)
            if met is None:
                left.append(constraint)
        if left or not constraints:
            agent["constraints"] = left
        else:
            del agent["constraints"]
    policies = mapping(agent.get("policies"))
    scheduler = mapping(policies.get("scheduler"))
    if is_here(scheduler.get("preferred_node"), node):
        del scheduler["preferred_node"]
        if not scheduler:
            del policies["scheduler"]
        if not policies:
            del agent["policies"]


def _met(constraint: Any, node: str) -> bool | None:
    """Tell whether this node meets the constraint; None if it is not about a node's name."""
    declared = mapping(constraint)
    if declared.get("attribute") not in _NODE_NAMES:
        return None
    operator, value = declared.get("operator", "=="), declared.get("value")
    if operator in _EQUAL:
        return is_here(value, node)
    if operator in _UNEQUAL:
        return not is_here(value, node)
    if operator == "in":
        return any(is_here(name, node) for name in listing(value))
    return None


def _elsewhere(at: At, constraint: Any, node: str) -> Problem:
    return Problem(
        rule="X-01",
        code="runner.unsupported",
        severity=Severity.ERROR,
        message=f"{dotted(at)} wants another node than this one, which is called {node}",
        help="submit it to that node, or take the constraint out",
        at=at,
        expected=node,
        actual=mapping(constraint).get("value"),
    )


def _blobs(manifest: JsonObject, problems: list[Problem]) -> Iterator[BlobRef]:
    """Yield what lies outside the request; tell of each entry that says too little."""
    at: At = ("metadata", "mn_artifacts", "blob_refs")
    for index, entry in objects(value_below(manifest, at)):
        path, digest, size = (entry.get(key) for key in ("payload_path", "sha256", "size_bytes"))
        if not is_text(path):
            continue  # a payload's hash alone; its bytes came with the request
        if is_text(digest) and re.fullmatch(r"[0-9a-f]{64}", digest):
            yield BlobRef(path=path, sha256=digest, size_bytes=size if type(size) is int else None)
            continue
        problems.append(
            Problem(
                rule="B-08",
                code="bundle.unsafe_file",
                severity=Severity.ERROR,
                message=f"the payload {path!r} is kept elsewhere, but no SHA-256 says which it is",
                help="let the client write `sha256`, 64 hexadecimal digits",
                at=(*at, index, "sha256"),
                actual=digest if is_text(digest) else None,
            )
        )


def _blueprint_id(manifest: JsonObject) -> str:
    workflow = mapping(manifest.get("workflow"))
    names: tuple[Any, ...] = (
        mapping(manifest.get("metadata")).get("blueprint_id"),
        manifest.get("id"),
        manifest.get("graph_id"),
        workflow.get("workflow_id"),
        manifest.get("name"),
    )
    return next((name for name in names if is_text(name)), "received")
