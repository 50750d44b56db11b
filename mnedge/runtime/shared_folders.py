"""The folders through which a job, the runs of its definition, and a client give things to each
other.

A client that prepared a job looks for its outputs below its own submission folder, if that is on
this machine: there lie links into the run folder, which is where everything is.
Source: client surface 1.4, `metadata.mn_storage`.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from mnedge.bundle.prepared import STORAGE
from mnedge.bundle.subject import JsonObject, is_text, mapping, objects
from mnedge.config.settings import Config
from mnedge.execution.staging import folder_name
from mnedge.model.manifest import JobSpec
from mnedge.model.records import JobRecord
from mnedge.store.runs.folder import STREAMS

OUTPUTS, SHARED = "outputs", "shared"
"""Folders in the run folder of a job that a client prepared: what its workers leave for people,
and for each other."""
EVENTS = "events.jsonl"
_PROOF = "submission.json"


def data_folder(config: Config, definition_id: str) -> Path:
    """Return the folder that all runs of a definition share."""
    return config.data_dir / "definitions" / folder_name(definition_id)


def variables(config: Config, record: JobRecord, spec: JobSpec) -> dict[str, str]:
    """Return what workers are told about these folders, in place of what a client wrote."""
    told: dict[str, str] = {}
    if record.definition_id:
        told["MN_JOB_DATA_DIR"] = str(data_folder(config, record.definition_id))
    storage = _storage(spec)
    if storage:
        told |= {
            "MN_JOB_OUTPUT_DIR": f"{record.run_folder}/{OUTPUTS}",
            "MN_JOB_SHARED_STORAGE_ROOT": f"{record.run_folder}/{SHARED}",
            "MN_STORAGE_SUBMISSION_ID": record.job_id,
        }
        inputs = mapping(storage.get("inputs")).get("root")
        if is_text(inputs) and os.path.isdir(inputs):
            told["MN_JOB_INPUT_DIR"] = str(inputs)
    return told


def lay_out(config: Config, record: JobRecord, spec: JobSpec) -> None:
    """Make the folders that `variables` names, and the links a client looks for.

    Raises: OSError if a folder of our own cannot be made.
    """
    if record.definition_id:
        data_folder(config, record.definition_id).mkdir(parents=True, exist_ok=True)
    storage = _storage(spec)
    if not storage:
        return
    for name in (OUTPUTS, SHARED):
        os.makedirs(f"{record.run_folder}/{name}", exist_ok=True)
    for place, target in _links(config, storage, record):
        with suppress(OSError):  # the client's folder is its own: it may be gone, or not ours
            _link(place, target)


def tidy(record: JobRecord) -> None:
    """Remove those of our own folders that nobody used, now that the job is over."""
    for name in (OUTPUTS, SHARED):
        with suppress(OSError):
            os.rmdir(f"{record.run_folder}/{name}")


def shared_storage(manifest: JsonObject) -> JsonObject:
    """Return what a client says about its submission folder; empty if it says nothing."""
    return mapping(mapping(manifest.get("metadata")).get(STORAGE))


def absent_inputs(manifest: JsonObject) -> list[str]:
    """Return the folders that a client staged for the job, but that are not on this machine."""
    inputs = mapping(shared_storage(manifest).get("inputs"))
    staged = [entry.get("runtime_path") for _, entry in objects(inputs.get("folders"))]
    return [path for path in staged if is_text(path) and not os.path.exists(path)]


def _storage(spec: JobSpec) -> JsonObject:
    return mapping(spec.metadata.get(STORAGE))


def _links(config: Config, storage: JsonObject, record: JobRecord) -> Iterator[tuple[Path, str]]:
    """Yield the places where the client will look, and what it has to find there.

    A client whose runs are ours writes the events that it is told into our file, once more. When
    all is over it copies what it finds over what is there: it finds the events, each once.
    """
    root, outputs = _submission(storage), mapping(storage.get("outputs"))
    if root is None:
        return
    for _, wanted in objects(storage.get("output_copy")):
        source, target = wanted.get("source_path"), wanted.get("target_path")
        if not is_text(source) or not is_text(target):
            continue
        place = Path(os.path.normpath(source))
        if place.parent == root / "outputs" / "runs":
            if os.path.realpath(target) != os.path.realpath(record.run_folder):
                yield place, record.run_folder
            else:
                stream = config.data_dir / STREAMS / record.job_id / EVENTS
                yield place / EVENTS, str(stream)
        elif place == root / "outputs" / "user" and source == outputs.get("user"):
            yield place, f"{record.run_folder}/{OUTPUTS}"


def _submission(storage: JsonObject) -> Path | None:
    """Return the client's submission folder, if it is one: a file in it says so."""
    path, name = storage.get("submission_path"), storage.get("submission_id")
    if not is_text(path) or not is_text(name):
        return None
    root = Path(os.path.normpath(path))
    try:
        proof: Any = json.loads((root / _PROOF).read_bytes())
    except (OSError, ValueError):
        return None
    known = root.is_absolute() and root.name == name and root.parent.name == "submissions"
    return root if known and mapping(proof).get("submission_id") == name else None


def _link(place: Path, target: str) -> None:
    """Have `place` lead to the target; only an empty folder or a link makes way for it."""
    if place.name == EVENTS:
        place.parent.mkdir(exist_ok=True)
    if place.is_symlink():
        if os.readlink(place) == target:
            return
        place.unlink()
    elif place.is_dir():
        place.rmdir()
    place.symlink_to(target)
