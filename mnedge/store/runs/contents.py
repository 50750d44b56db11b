"""What a run folder holds when the run is over: artifacts, timeline, resources that were used."""

import os
import stat
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeGuard

import msgspec

from mnedge.model.artifacts import artifact_id, content_type
from mnedge.store.runs.files import TEMPORARY, read_plain, stamp_of

LEDGER_MESSAGES = 5000
TIMELINE_RECORDS = 5000
ARTIFACTS = 1000
HASHED_BYTES = 32 << 20
"""Larger files are listed without a hash: reading them would hold everything else up."""
_RESOURCES_BYTES = 64 << 20
_TOKENS = ("input_tokens", "output_tokens", "total_tokens", "calls")
_PEAKS = ("cpu_pct", "memory_rss_mb", "queue_depth", "disk_mb")


def artifact_paths(run_dir: Path) -> list[str]:
    """Return the plain files of a run folder as sorted relative paths, at most `ARTIFACTS`.

    Loses: files whose names are no UTF-8; no record can name them.
    """
    found: list[str] = []
    for folder, folders, names in os.walk(run_dir):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            hidden = name.startswith(".") and name.endswith(TEMPORARY)
            relative = str(path.relative_to(run_dir))
            if not hidden and _is_utf8(relative) and _is_plain(path):
                found.append(relative)
        if len(found) > ARTIFACTS:
            break
    return sorted(found)[:ARTIFACTS]


def artifact_records(run_dir: Path, *, changing: frozenset[str]) -> list[dict[str, Any]]:
    """Return one record per artifact; those still `changing` without size and hash.

    Source: bundle format 6.12.
    """
    paths = sorted({*artifact_paths(run_dir), *changing})
    return [_artifact(run_dir, path, path in changing) for path in paths]


def _artifact(run_dir: Path, relative: str, changing: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "artifact_id": artifact_id(relative),
        "path": relative,
        "relative_path": relative,
        "content_type": content_type(relative),
    }
    if changing:
        return record
    stamp = stamp_of(run_dir / relative)
    record["size_bytes"] = 0 if stamp is None else stamp.size_bytes
    content = read_plain(run_dir / relative, limit_bytes=HASHED_BYTES)
    if content is not None:
        record["sha256"] = sha256(content).hexdigest()
    return record


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def timeline_json(run_id: str, lines: bytes, *, whole: bool) -> dict[str, Any]:
    """Return `timeline.json`: the newest records of the timeline, ordered by their time."""
    all_lines = lines.split(b"\n")
    newest = [line for line in all_lines[-TIMELINE_RECORDS - 1 :] if line][-TIMELINE_RECORDS:]
    found: list[dict[str, Any]] = [msgspec.json.decode(line) for line in newest]
    found.sort(key=lambda record: str(record.get("ts", "")))
    mirror: dict[str, Any] = {
        "schema_version": "mn.timeline.v1",
        "run_id": run_id,
        "records": found,
    }
    if not whole or len(all_lines) - 1 > len(found):
        mirror["truncated"] = True
    return mirror


def bounded_ledger(workflow: dict[str, Any]) -> dict[str, Any]:
    """Return a ledger as it is, or without what became of each message if that makes it huge."""
    messages = workflow.get("messages")
    if isinstance(messages, dict) and len(messages) > LEDGER_MESSAGES:
        return {**workflow, "messages": {}, "truncated": True}
    return workflow


def resources_of(run_dir: Path) -> dict[str, dict[str, Any]]:
    """Return peaks and token totals from `resources.jsonl`, as far as somebody sampled them."""
    peaks: dict[str, Any] = {}
    totals = dict.fromkeys(_TOKENS, 0)
    content = read_plain(run_dir / "resources.jsonl", limit_bytes=_RESOURCES_BYTES) or b""
    for line in content.split(b"\n"):
        try:
            sample = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if not isinstance(sample, dict):
            continue
        for name in _PEAKS:
            value = sample.get(name)
            if _is_number(value) and value > peaks.get(name, float("-inf")):
                peaks[name] = value
        used = sample.get("llm")
        if isinstance(used, dict):
            for name in _TOKENS:
                if _is_number(used.get(name)):
                    totals[name] += used[name]
    return {"resource_peaks": peaks, "token_totals": totals}


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
