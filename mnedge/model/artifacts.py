"""What the files of a run folder are called and made of, for whoever fetches them.

Source: bundle format 6.12.
"""

import re
from collections.abc import Iterable

_FIXED = {
    "result.json": "result_json",
    "final_artifact.json": "final_artifact_json",
    "events.jsonl": "events_jsonl",
    "logs.jsonl": "logs_jsonl",
    "errors.jsonl": "errors_jsonl",
    "timeline.jsonl": "timeline_jsonl",
    "timeline.json": "timeline_json",
    "observability_summary.json": "observability_summary_json",
    "events.log": "events_log",
    "errors.log": "errors_log",
    "events.index.json": "events_index_json",
    "errors.index.json": "errors_index_json",
    "resources.jsonl": "resources_jsonl",
    "human.jsonl": "human_events_jsonl",
    "job.json": "job_json",
    "run.json": "run_json",
    "ui.json": "ui_json",
    "web_ui.json": "web_ui_json",
}
_SEGMENT = re.compile(r"(events|logs|errors)\.(\d+)\.jsonl(?:\.gz)?")
_OTHER = re.compile(r"[^A-Za-z0-9]+")
_CONTENT_TYPES = {
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "md": "text/markdown",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "log": "text/plain",
    "gz": "application/gzip",
}

OBSERVED = ("events_jsonl", "logs_jsonl", "errors_jsonl", "timeline_jsonl", "timeline_json")
"""The streams that a closing summary links to."""


def artifact_id(relative_path: str) -> str:
    """Return the id of a file of a run folder."""
    if relative_path in _FIXED:
        return _FIXED[relative_path]
    segment = _SEGMENT.fullmatch(relative_path)
    if segment is not None:
        return f"{segment[1]}_jsonl_{segment[2]}"
    return _OTHER.sub("_", relative_path).strip("_").lower()


def content_type(relative_path: str) -> str:
    """Return the media type that the file's ending stands for."""
    name = relative_path.rsplit("/", 1)[-1]
    _, dot, ending = name.rpartition(".")
    return _CONTENT_TYPES.get(ending.lower() if dot else "", "application/octet-stream")


def find_artifact(reference: str, relative_paths: Iterable[str]) -> str | None:
    """Return the path that a reference means: by id first, then by path."""
    paths = list(relative_paths)
    for path in paths:
        if artifact_id(path) == reference:
            return path
    return reference if reference in paths else None
