"""The root and the metadata of an expanded source.

Source: bundle format 2.6.2.
"""

import hashlib
import json

import mnedge
from mnedge.bundle.config import copied
from mnedge.bundle.source import profile
from mnedge.bundle.source.merging import laid_over
from mnedge.bundle.source.migration import SECOND
from mnedge.bundle.source.placeholders import job_name_of
from mnedge.bundle.subject import JsonObject, is_text, mapping

_EXPANDED = frozenset(
    (
        *("apiVersion", "kind", "identity", "intent", "profile", "config", "defaults", "workers"),
        *("workflow", "agents", "contracts", "contract", "runtime", "manifest", "dependencies"),
        *("metadata", "flow", "graph_id", "nodes", "edges", "entrypoints"),
    )
)
"""Members of a source that do not go into the manifest as they are."""
_DEPENDENCIES = {"skills": "skill_dependencies", "agents": "agent_dependencies"}
_INTENT = ("problem", "target_users", "customizable_for", "safety", "runtime_features")


def source_hash(source: JsonObject) -> str:
    """Return the SHA-256 of the source, files filled in, whatever the order of its keys."""
    text = json.dumps(source, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def contract_of(source: JsonObject) -> JsonObject:
    """Return what the source says under either name."""
    return mapping(source.get("contracts") or source.get("contract"))


def root_of(source: JsonObject, digest: str) -> JsonObject:
    """Return the manifest but for its workflow, agents and runtime."""
    identity = mapping(source.get("identity"))
    intent = mapping(source.get("intent"))
    dependencies = mapping(source.get("dependencies"))
    root = laid_over(profile.MANIFEST, source.get("manifest"))
    root["contract"] = laid_over(mapping(root.get("contract")), contract_of(source))
    for name, value in dependencies.items():
        if name == "requirements" and not isinstance(value, dict):
            continue  # packages of the author's tools, not what a machine must have
        root[_DEPENDENCIES.get(name, name)] = copied(value)
    for name, value in source.items():
        if name not in _EXPANDED:
            root[name] = copied(value)
    description = (
        identity.get("description") or intent.get("description") or source.get("description")
    )
    root |= {
        "id": identity["id"],
        "name": identity["name"],
        "job_name": job_name_of(identity),
    }
    for name in ("version", "manifest_version"):
        if identity.get(name) is not None:
            root[name] = copied(identity[name])
    if is_text(description):
        root["description"] = description
    root["metadata"] = _metadata(source, root, digest)
    return root


def _metadata(source: JsonObject, root: JsonObject, digest: str) -> JsonObject:
    identity = mapping(source.get("identity"))
    intent = mapping(source.get("intent"))
    metadata: JsonObject = {"blueprint_id": identity["id"], "name": identity["name"]}
    if is_text(identity.get("category")):
        metadata["category"] = identity["category"]
    if is_text(root.get("description")):
        metadata["description"] = root["description"]
    metadata |= {name: copied(intent[name]) for name in _INTENT if name in intent}
    metadata = laid_over(metadata, mapping(root.get("metadata")), source.get("metadata"))
    metadata["blueprint_id"] = identity["id"]
    metadata["generated_from"] = {
        "schema": SECOND,
        "profile": profile.NAME,
        "profile_version": profile.VERSION,
        "converter": "mnedge.bundle.source",
        "converter_version": mnedge.__version__,
        "target_schema": root.get("apiVersion"),
        "source_hash": digest,
    }
    return metadata
