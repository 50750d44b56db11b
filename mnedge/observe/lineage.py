"""For every file of a run: from which inputs, code, settings and launches it came.

What is known for certain is said with how it is known; what cannot be known is `unknown`. A worker
writes into the run folder as it likes, so a file is tied to a launch by a message that names it
(`declared`), or because only one launch was under way when it was last written (`time`).
"""

import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import trio

from mnedge.model import tracing
from mnedge.model.artifacts import artifact_id, content_type
from mnedge.model.body import json_bytes
from mnedge.model.message import iso_ms
from mnedge.observe.replay import Launched, Story, replayed
from mnedge.runtime import jobs
from mnedge.store.runs.contents import artifact_paths
from mnedge.store.runs.records import inputs_of

CHAIN = 200
"""Messages of one chain that are shown."""
SLACK_S = 0.05
"""How far a file's date and a launch's may be apart: file systems round."""
HASH_BYTES = 256 << 20
OURS = frozenset(
    {
        "config.json", "errors.jsonl", "events.jsonl", "events.log", "errors.log",
        "final_artifact.json", "human.jsonl", "inputs.json", "job.json", "logs.jsonl",
        "observability_summary.json", "result.json", "run.json", "timeline.json",
        "timeline.jsonl", "workflow_state.json",
    }
)  # fmt: skip
"""Files that the runtime itself writes, from the journal and the manifest."""
FROM_MANIFEST = frozenset({"config.json", "inputs.json", "job.json"})


def lineage_of(story: Story, run_dir: Path) -> dict[str, Any]:
    """Return where each file of the run came from; reads and hashes the files, so off the loop."""
    record = story.record
    context = tracing.job_context(record.job_id, record.trace_parent)
    return {
        "run_id": record.job_id,
        "status": str(record.status),
        "blueprint_id": record.blueprint_id,
        "code": {
            "bundle": record.bundle_digest or "unknown",
            "source": record.bundle_source or "unknown",
            "engine_revision": record.engine_revision,
        },
        "config": {
            "digest": digest_of(story.spec.config),
            "sources": record.config_sources,
        },
        "inputs": [
            {"name": "inputs", "digest": digest_of(inputs_of(story.spec)[0])},
            *(
                {"name": f"seed:{agent_id}:{number}", "digest": digest_of(seed)}
                for agent_id, seeds in story.spec.seeds.items()
                for number, seed in enumerate(seeds)
            ),
        ],
        "actor": record.submitted_by or "unknown",
        "definition_id": record.definition_id or None,
        "trace_id": context.trace_id,
        "recovered": len(story.recovered_at),
        "complete": story.complete,
        "launches": [_launch(launched) for launched in story.launches],
        "artifacts": [_artifact(story, run_dir, path) for path in artifact_paths(run_dir)],
    }


async def lineage_for(stores: jobs.Stores, job_id: str) -> dict[str, Any]:
    """Return the lineage of a job's run, its journal read and its files hashed.

    Raises: JobNotFoundError; CorruptError; UnavailableError.
    """
    story = await replayed(stores, job_id)
    return await trio.to_thread.run_sync(lineage_of, story, Path(story.record.run_folder))


def chain_up(story: Story, launched: Launched) -> list[dict[str, Any]]:
    """Return the messages that led to a launch, from the one it handled back to the beginning.

    A message names the one whose handling sent it; an aggregate names the last of those it waited
    for.
    """
    chain: list[dict[str, Any]] = []
    message_id = None if launched.message is None else launched.message.message_id
    seen: set[str] = set()
    while message_id is not None and message_id not in seen and len(chain) < CHAIN:
        seen.add(message_id)
        told = story.messages.get(message_id)
        if told is None:
            chain.append({"message_id": message_id, "from": "unknown"})
            break
        by = _sender_of(story, told.sender, told.causation_id)
        chain.append(
            {
                "message_id": told.message_id,
                "type": told.type,
                "from": told.sender,
                "to": told.to,
                "at": told.at,
                "attempt": None if by is None else {"id": by.work_id, "launch": by.launch},
            }
        )
        message_id = told.causation_id
    return chain


def chain_down(story: Story, launched: Launched) -> list[dict[str, Any]]:
    """Return the launches that worked on what followed from a launch, in their order."""
    if launched.message is None:
        return []
    reached = {launched.message.message_id}
    grew = True
    while grew:
        more = {
            told.message_id
            for told in story.messages.values()
            if told.causation_id in reached and told.message_id not in reached
        }
        reached |= more
        grew = bool(more)
    reached.discard(launched.message.message_id)
    return [
        _launch(other)
        for other in story.launches
        if other.message is not None and other.message.message_id in reached
    ]


def digest_of(value: Any) -> str:
    """Return the digest of a JSON value, its members in order."""
    return f"sha256:{sha256(json_bytes(_ordered(msgspec.to_builtins(value)))).hexdigest()}"


def open_lineage(lineage: dict[str, Any], namespace: str) -> dict[str, Any]:
    """Return the run as one OpenLineage event: what went in, what came out.

    Source: OpenLineage 2-0-2, RunEvent.
    """
    ended = {"completed": "COMPLETE", "failed": "FAIL", "cancelled": "ABORT"}
    moments = [one["ended_at"] or one["started_at"] for one in lineage["launches"]]
    run_id = lineage["trace_id"]
    return {
        "eventType": ended.get(lineage["status"], "RUNNING"),
        "eventTime": _iso(max(moments, default=0.0)),
        "producer": "urn:mnedge",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {
            "runId": f"{run_id[:8]}-{run_id[8:12]}-{run_id[12:16]}-{run_id[16:20]}-{run_id[20:]}",
            "facets": {},
        },
        "job": {"namespace": namespace, "name": lineage["blueprint_id"], "facets": {}},
        "inputs": [
            {"namespace": namespace, "name": f"{lineage['run_id']}/{one['name']}"}
            for one in lineage["inputs"]
        ],
        "outputs": [
            {"namespace": namespace, "name": f"{lineage['run_id']}/{one['path']}"}
            for one in lineage["artifacts"]
        ],
    }


def _artifact(story: Story, run_dir: Path, path: str) -> dict[str, Any]:
    file = run_dir / path
    try:
        found = os.stat(file, follow_symlinks=False)
        small = found.st_size <= HASH_BYTES
        digest = f"sha256:{_file_digest(file)}" if small else "unknown"
        size_bytes: int | None = found.st_size
        written_at: float | None = found.st_mtime
    except OSError:
        digest, size_bytes, written_at = "unknown", None, None
    made, how = _maker(story, run_dir, path, written_at)
    known: dict[str, Any] = {"how": how}
    if made is not None:
        known |= _launch(made)
    elif how == "runtime":
        known["from"] = "manifest" if path in FROM_MANIFEST else "journal"
        if path not in FROM_MANIFEST:
            known["attempts"] = [
                {"id": one.work_id, "launch": one.launch, "agent": one.agent_id}
                for one in story.launches
                if one.outcome == "succeeded"
            ]
    return {
        "artifact_id": artifact_id(path),
        "path": path,
        "digest": digest,
        "size_bytes": size_bytes,
        "content_type": content_type(path),
        "made_by": known,
        "messages": [] if made is None else chain_up(story, made),
        "led_to": [] if made is None else chain_down(story, made),
    }


def _maker(
    story: Story, run_dir: Path, path: str, written_at: float | None
) -> tuple[Launched | None, str]:
    """Return the launch that made a file, and how that is known."""
    if path in OURS or path.startswith(("events.", "logs.", "errors.")):
        return None, "runtime"
    names = {path, str(run_dir / path)}
    for launched in reversed(story.launches):
        for told in story.messages.values():
            if told.artifacts & names and _sender_of(
                story, told.sender, told.causation_id
            ) is launched:  # fmt: skip
                return launched, "declared"
    if written_at is not None:
        under_way = [
            one
            for one in story.launches
            if one.started_at - SLACK_S <= written_at
            and (one.ended_at is None or written_at <= one.ended_at + SLACK_S)
            and one.outcome != "lost"
        ]
        if len(under_way) == 1:
            return under_way[0], "time"
    return None, "unknown"


def _sender_of(story: Story, sender: str, causation_id: str | None) -> Launched | None:
    """Return the launch that sent a message: the last good one of its sender for what caused it."""
    found = None
    for launched in story.launches:
        same = launched.message is not None and launched.message.message_id == causation_id
        if same and launched.agent_id == sender:
            found = launched
    return found


def _launch(launched: Launched) -> dict[str, Any]:
    return {
        "agent": launched.agent_id,
        "step": launched.step_id,
        "kind": launched.kind,
        "attempt": launched.work_id,
        "launch": launched.launch,
        "idempotency_key": launched.idempotency_key or None,
        "node": launched.node or "unknown",
        "started_at": launched.started_at,
        "ended_at": launched.ended_at,
        "outcome": launched.outcome,
        "message_id": None if launched.message is None else launched.message.message_id,
    }


def _file_digest(file: Path) -> str:
    digest = sha256()
    handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        while piece := os.read(handle, 1 << 20):
            digest.update(piece)
    finally:
        os.close(handle)
    return digest.hexdigest()


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value, key=str)}
    return [_ordered(one) for one in value] if isinstance(value, list) else value


def _iso(at: float) -> str:
    return iso_ms(at)
