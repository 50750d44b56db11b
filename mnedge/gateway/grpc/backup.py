"""Backups of single jobs: everything that a paused job needs to go on elsewhere as a new one.

A backup holds the bundle, the configuration and inputs as they were resolved, and what the steps
came to. A job without steps, or with results too large to travel, begins anew. A restored job is
paused as soon as it runs.
Source: client surface 1.3, backup.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import trio

from mnedge.bundle.files import tidy, unsafe_path
from mnedge.bundle.load import Bundle, open_bundle
from mnedge.config.settings import Config
from mnedge.engine.compile import compile_job
from mnedge.errors import UsageError
from mnedge.gateway.client_shapes import run_row
from mnedge.gateway.eligibility import admit
from mnedge.gateway.grpc.calls import Call, Values
from mnedge.gateway.grpc.reading import steered, whole_job
from mnedge.gateway.grpc.transport import REPLY_BYTES, ReplyTooLargeError
from mnedge.gateway.nodes import node_name
from mnedge.model.body import filled, json_bytes, refs_in
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL, JobStatus, Verb
from mnedge.runtime import jobs
from mnedge.runtime.received import checked_id
from mnedge.runtime.retrying import RetryImpossibleError, carried_of
from mnedge.runtime.submission import submit
from mnedge.runtime.view import committed_state
from mnedge.runtime.workplace import unpacked

SCHEMA = "mn.backup.v2"
CARRIED_BYTES = 1 << 20
"""What steps came to travels along up to this size."""
PAUSE_S = 5.0
"""A restored job has so long to begin, and to be paused."""
_SCRIPT = b"#!"


class BackupInvalidError(UsageError):
    """What was sent is no backup of a job."""

    code = "backup.invalid"


async def export_job_backup(call: Call) -> Values:
    """Return a paused job, to be restored elsewhere."""
    backend, job_id = call.backend, call.required("job_id")
    record, document = await whole_job(call, job_id)
    if record.status is not JobStatus.PAUSED:
        raise jobs.JobStatusError(
            f"job is not paused: {job_id} is {record.status}",
            hint=f"pause it first: mn job pause {job_id}",
            details={"status": record.status},
        )
    files = await _bundle_files(call, record)
    spec = await jobs.read_spec(backend.store, job_id)
    backup = {
        "schema_version": SCHEMA,
        "runtime": {
            "job": document["job"],
            "agents": document["agents"],
            "events": document["recent_events"][::-1],
        },
        "source": {
            "node": node_name(backend.config),
            "job_id": job_id,
            "blueprint_id": record.blueprint_id,
            "definition_id": record.definition_id,
        },
        "mnedge": {
            "config": spec.config,
            "inputs": spec.inputs,
            "carried": await _carried(call, record),
        },
    }
    text = json_bytes(backup)
    size_bytes = len(text) + sum(len(name) + len(content) for name, content in files.items())
    if size_bytes > REPLY_BYTES - (64 << 10):
        raise ReplyTooLargeError(
            f"the backup of {job_id} has {size_bytes} bytes, and clients take {REPLY_BYTES}",
            hint="keep large payloads outside of the bundle",
        )
    return {"backup_json": text.decode(), "bundle_files": files, "version": 1}


async def restore_job_backup(call: Call) -> Values:
    """Submit a new job from a backup; it takes over the steps that were done."""
    backend = call.backend
    await admit(backend.store)
    backup = call.json("backup_json")
    if backup.get("schema_version") != SCHEMA:
        raise BackupInvalidError(
            f"backup_json is no {SCHEMA}", hint="send what ExportJobBackup returned"
        )
    run_id = call.text("run_id").strip() or None
    checked_id(run_id)
    ours = _member(backup, "mnedge")
    source = _member(backup, "source")
    blueprint_id = call.text("blueprint_id").strip() or source.get("blueprint_id")
    async with _restored(
        backend.config,
        call.request["bundle_files"],
        overrides=_member(ours, "config") or None,
        inputs=_member(ours, "inputs") or None,
        expected_id=blueprint_id if isinstance(blueprint_id, str) and blueprint_id else None,
    ) as bundle:
        carried = _known_steps(bundle, _member(ours, "carried"))
        record = await submit(
            backend.store,
            backend.config,
            bundle,
            runners=backend.runners,
            connectors=backend.connectors,
            now=backend.now,
            job_id=run_id,
            carried=carried or None,
            source=f"backup of {source.get('job_id') or 'a job'}",
            origin=call.origin,
        )
    call.changes(f"job/{record.job_id}")
    shown = {
        **run_row(await _paused(call, record)),
        "job_id": record.job_id,
        "source_job_id": source.get("job_id"),
        "steps_taken_over": [name for name, kept in carried.items() if "status" in kept],
    }
    return {"result_json": json_bytes(shown).decode(), "version": 1}


async def _paused(call: Call, record: JobRecord) -> JobRecord:
    """Pause the job as soon as it runs: whoever restores it says when it goes on.

    What it begins with may have been started by then.
    """
    store = call.backend.store
    with trio.move_on_after(PAUSE_S):
        async for _ in store.table.watch(jobs.JOBS + record.job_id):
            record = await jobs.read_job(store, record.job_id)
            if record.status is JobStatus.RUNNING:
                with suppress(jobs.JobStatusError):
                    return await steered(call, record.job_id, Verb.PAUSE)
            if record.status in TERMINAL:
                break
    return record


async def _bundle_files(call: Call, record: JobRecord) -> dict[str, bytes]:
    backend = call.backend
    if record.bundle_digest is None:
        raise BackupInvalidError(f"no bundle is kept of job {record.job_id}")
    root = await unpacked(
        record.bundle_digest, backend.store.blobs, backend.store.conditions, backend.config
    )
    return await trio.to_thread.run_sync(_read, Path(root))


def _read(root: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    size_bytes = 0
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        size_bytes += path.stat().st_size
        if size_bytes > REPLY_BYTES:
            raise ReplyTooLargeError(
                f"the bundle has more than {REPLY_BYTES} bytes, and clients take no more",
                hint="keep large payloads outside of the bundle",
            )
        found[path.relative_to(root).as_posix()] = path.read_bytes()
    return found


async def _carried(call: Call, record: JobRecord) -> dict[str, Any]:
    """Return what a new job takes over, as JSON has it; empty if it has to begin anew."""
    store = call.backend.store
    spec = await jobs.read_spec(store, record.job_id)
    job = compile_job(spec, revision=record.engine_revision)
    try:
        carried = carried_of(job, await committed_state(store, job, record.job_id), record.job_id)
    except RetryImpossibleError:
        return {}
    refs = refs_in(carried)
    if sum(ref.size_bytes for ref in refs) > CARRIED_BYTES:
        return {}
    loaded = {ref.digest: await store.blobs.get(ref.digest) for ref in refs}
    plain: dict[str, Any] = msgspec.to_builtins(filled(carried, loaded), str_keys=True)
    return plain if len(json_bytes(plain)) <= CARRIED_BYTES else {}


def _known_steps(bundle: Bundle, carried: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is taken over of steps that the bundle has."""
    workflow = None if bundle.spec is None else bundle.spec.workflow
    steps = set() if workflow is None else {step.step_id for step in workflow.steps}
    return {
        name: kept for name, kept in carried.items() if name in steps and isinstance(kept, dict)
    }


def _member(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


@asynccontextmanager
async def _restored(
    config: Config, files: Mapping[str, bytes], **more: Any
) -> AsyncIterator[Bundle]:
    """Have the files as an opened bundle while the block is open.

    Raises: BackupInvalidError.
    """
    if "manifest.json" not in files:
        raise BackupInvalidError("bundle_files has no manifest.json")
    unsafe = [name for name in files if unsafe_path(name) or not tidy(name)]
    if unsafe:
        raise BackupInvalidError(
            f"bundle_files has unsafe paths: {', '.join(map(repr, unsafe[:5]))}",
            hint="paths lie below the bundle, as `payloads/worker.py`",
        )

    def opened() -> tuple[Path, Bundle]:
        outer = Path(tempfile.mkdtemp(prefix="mnedge-restored-"))
        try:
            root = outer / "bundle"
            for name, content in files.items():
                place = root / tidy(name)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
                if content.startswith(_SCRIPT):
                    place.chmod(0o755)  # the wire has no modes
            return outer, open_bundle(root, environ=config.environ, run_code=False, **more)
        except OSError as error:
            shutil.rmtree(outer, ignore_errors=True)
            raise BackupInvalidError(f"bundle_files cannot be written down: {error}") from error
        except BaseException:
            shutil.rmtree(outer, ignore_errors=True)
            raise

    outer, bundle = await trio.to_thread.run_sync(opened)
    try:
        bundle.label = "backup"
        yield bundle
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(lambda: shutil.rmtree(outer, ignore_errors=True))
