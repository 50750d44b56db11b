"""What somebody sends, made into a job that runs here.

The daemon owns the job before anybody can see it, so that its first process starts at once.
"""

import shutil
import tempfile
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio
from msgspec import Struct, field
from starlette.requests import Request

from mnedge.bundle.archive import unpack
from mnedge.bundle.catalogue import BlueprintNotFoundError, Entry, listed
from mnedge.bundle.load import Bundle, open_bundle
from mnedge.bundle.problem import BundleInvalidError
from mnedge.gateway.auth import principal_of
from mnedge.gateway.backend import Backend
from mnedge.gateway.rest import idempotency
from mnedge.gateway.rest.checking import Body, Wrong, fitted, refused, tree_of
from mnedge.model import tracing
from mnedge.model.access import Scope
from mnedge.model.ids import job_id_for
from mnedge.model.records import JobRecord
from mnedge.runtime import jobs
from mnedge.runtime.received import checked_id, received
from mnedge.runtime.submission import Origin, submit

LABEL = "received"


class Base64(Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes of a file."""

    base64: str


Payload = str | Base64


class FromManifest(Body, frozen=True, kw_only=True):
    """A manifest and its payloads, by their path below `payloads/`."""

    manifest: dict[str, Any]
    payloads: dict[str, Payload] = field(default_factory=dict)
    inputs: dict[str, Any] | None = None
    config: dict[str, Any] | None = None
    run_id: str | None = None
    force: bool = False


class FromText(Body, frozen=True, kw_only=True):
    """The same with the manifest as JSON text, as clients of the published API send it."""

    manifest_json: str
    payloads: dict[str, Payload] = field(default_factory=dict)
    inputs: dict[str, Any] | None = None
    config: dict[str, Any] | None = None
    run_id: str | None = None
    force: bool = False


class FromBlueprint(Body, frozen=True, kw_only=True):
    """A blueprint that this node has, by its id."""

    blueprint: str
    inputs: dict[str, Any] | None = None
    config: dict[str, Any] | None = None
    run_id: str | None = None
    force: bool = False


class FromFolder(Body, frozen=True, kw_only=True):
    """A bundle on this machine, by its path; only for the daemon's owner, at the unix socket."""

    folder: str
    config: dict[str, Any] | None = None
    run_id: str | None = None


SUBMISSION = (FromManifest, FromText, FromBlueprint, FromFolder, dict[str, Any])
"""What a body may be; what is none of the structs is a manifest itself."""
_BLUEPRINT_MEMBERS = frozenset(FromBlueprint.__struct_fields__)
_FOLDER_MEMBERS = frozenset(FromFolder.__struct_fields__)


class Sent(Struct, frozen=True, kw_only=True):
    """What was sent, in one form."""

    manifest: dict[str, Any] = field(default_factory=dict)
    payloads: Mapping[str, bytes] = field(default_factory=dict)
    blueprint: Entry | None = None
    archive: bytes = b""
    place: Path | None = None
    """A bundle of somebody whose code may run here anyway."""
    inputs: Mapping[str, Any] | None = None
    config: Mapping[str, Any] | None = None
    run_id: str | None = None


def sent_of(backend: Backend, content: bytes, media: str, *, owner: bool = False) -> Sent:
    """Return what a body says; only an `owner` may name a place on this machine.

    Raises: BodyUnreadableError, RequestInvalidError, BlueprintNotFoundError.
    """
    if media == "application/zip":
        return Sent(archive=content)
    tree = tree_of(content)
    if not isinstance(tree, dict):
        raise refused([Wrong(path="body", message="expected an object")])
    if "manifest" in tree and isinstance(tree["manifest"], dict):
        return _with_payloads(fitted(FromManifest, tree))
    if "manifest_json" in tree:
        return _with_payloads(fitted(FromText, tree))
    if "blueprint" in tree and tree.keys() <= _BLUEPRINT_MEMBERS:
        told = fitted(FromBlueprint, tree)
        return Sent(
            blueprint=blueprint_of(backend, told.blueprint),
            inputs=told.inputs,
            config=told.config,
            run_id=told.run_id,
        )
    if owner and "folder" in tree and tree.keys() <= _FOLDER_MEMBERS:
        place = fitted(FromFolder, tree)
        return Sent(place=Path(place.folder), config=place.config, run_id=place.run_id)
    return Sent(manifest=tree)


def is_owner(request: Request) -> bool:
    """Tell whether the daemon's own user asks, or root, on this machine: whatever runs here for
    them, they could run themselves."""
    caller = principal_of(request.scope)
    return caller.kind == "unix" and caller.may(Scope.ADMIN)


def blueprint_of(backend: Backend, name: str) -> Entry:
    """Return the blueprint of this id.

    Raises: BlueprintNotFoundError. A path is no id.
    """
    every = listed(backend.config.environ)
    for entry in every:
        if name in (entry.blueprint_id, entry.job_name):
            return entry
    raise BlueprintNotFoundError(
        f"no blueprint is called {name[:80]!r}",
        hint="GET /api/v1/blueprints lists them",
        details={"known": [entry.blueprint_id for entry in every][:50]},
    )


def payloads_of(given: Mapping[str, Payload]) -> dict[str, bytes]:
    """Return the files that were sent.

    Raises: RequestInvalidError for all that cannot be decoded.
    """
    found: dict[str, bytes] = {}
    wrong: list[Wrong] = []
    for name, value in given.items():
        try:
            if isinstance(value, str):
                found[name] = value.encode()
            else:
                found[name] = b64decode(value.base64, validate=True)
        except (Base64Error, ValueError):
            wrong.append(Wrong(path=f"body.payloads.{name[:200]}", message="is no valid text"))
    if wrong:
        raise refused(wrong)
    return found


def _with_payloads(told: FromManifest | FromText) -> Sent:
    manifest: Any
    if isinstance(told, FromText):
        try:
            manifest = msgspec.json.decode(told.manifest_json)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            raise refused([Wrong(path="body.manifest_json", message=str(error))]) from error
        if not isinstance(manifest, dict):
            raise refused([Wrong(path="body.manifest_json", message="expected an object")])
    else:
        manifest = told.manifest
    return Sent(
        manifest=manifest,
        payloads=payloads_of(told.payloads),
        inputs=told.inputs,
        config=told.config,
        run_id=told.run_id,
    )


@asynccontextmanager
async def opened(backend: Backend, sent: Sent) -> AsyncIterator[Bundle]:
    """Have what was sent as a bundle while the block is open; it may have problems.

    Raises: ArchiveInvalidError, ArchiveUnsafeError, BundleInvalidError.
    """
    config = backend.config
    if sent.manifest or not (sent.archive or sent.blueprint or sent.place):
        async with received(
            config, sent.manifest, sent.payloads, inputs=sent.inputs, overrides=sent.config
        ) as bundle:
            yield bundle
        return
    outer = Path(await trio.to_thread.run_sync(_folder)) if sent.archive else None

    def load() -> Bundle:
        expected: str | None = None
        if sent.place is not None:
            place = sent.place
        elif sent.blueprint is not None:
            place = sent.blueprint.folder
        else:
            place, expected = _unpacked(sent.archive, Path(str(outer)))
        return open_bundle(
            place,
            overrides=sent.config,
            inputs=sent.inputs,
            environ=config.environ,
            expected_id=expected,
            run_code=sent.place is not None,
        )

    try:
        with await trio.to_thread.run_sync(load) as bundle:
            if sent.place is None:
                bundle.label = sent.blueprint.blueprint_id if sent.blueprint else "archive"
            yield bundle
    finally:
        if outer is not None:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(lambda: shutil.rmtree(outer, ignore_errors=True))


def _folder() -> str:
    return tempfile.mkdtemp(prefix="mnedge-archive-")


def _unpacked(content: bytes, outer: Path) -> tuple[Path, str | None]:
    """Return the bundle in the archive, and its id: the one folder in it, or all of it."""
    root = outer / "bundle"
    unpack(content, root)
    if not (root / "manifest.json").exists():
        folders = [one for one in root.iterdir() if (one / "manifest.json").is_file()]
        if len(folders) == 1:
            return folders[0], folders[0].name
    return root, _id_in(root / "manifest.json")


def _id_in(path: Path) -> str | None:
    """Return what the manifest calls its blueprint: the archive's folder has no name to hold it
    to."""
    try:
        tree = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    members = tree if isinstance(tree, dict) else {}
    metadata = members.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    for found in (metadata.get("blueprint_id"), metadata.get("name"), members.get("graph_id")):
        if isinstance(found, str) and found:
            return found
    return None


async def submit_sent(backend: Backend, request: Request, sent: Sent) -> JobRecord:
    """Submit it, and run it here.

    Raises: BundleInvalidError with all that is wrong; IdInvalidError, JobExistsError;
    UnavailableError by the name of what the disk is like.
    """
    checked_id(sent.run_id)
    again = idempotency.once_of(request)
    async with opened(backend, sent) as bundle:
        job_id = sent.run_id or None
        if job_id is None and again is not None and bundle.spec is not None:
            job_id = same_id(again, bundle.spec.graph_id)

        async def made(own: Callable[[str], Awaitable[None]]) -> JobRecord:
            return await submit(
                backend.store,
                backend.config,
                bundle,
                runners=backend.runners,
                connectors=backend.connectors,
                now=backend.now,
                job_id=job_id,
                own=own,
                source=bundle.label,
                origin=origin_of(request),
            )

        try:
            return await owned(backend, made)
        except jobs.JobExistsError:
            if again is None or sent.run_id or job_id is None:
                raise
            return await jobs.read_job(backend.store, job_id)  # from before a crash


def same_id(again: idempotency.Once, graph_id: str) -> str:
    """Return the id of the job that this request makes, however often it is sent."""
    return job_id_for(graph_id, int(again.at * 1000), again.digest[:12])


async def owned(
    backend: Backend, make: Callable[[Callable[[str], Awaitable[None]]], Awaitable[JobRecord]]
) -> JobRecord:
    """Have a job made that this node owns from the beginning, and start it."""
    reserved: list[str] = []

    async def own(job_id: str) -> None:
        if await backend.store.table.get(jobs.JOBS + job_id) is not None:
            raise jobs.JobExistsError(
                f"a job is called {job_id!r} already",
                hint="choose another run_id",
                details={"job_id": job_id},
            )
        await backend.host.reserve(job_id)
        reserved.append(job_id)

    try:
        record = await make(own)
    except BaseException:
        with trio.CancelScope(shield=True):
            for job_id in reserved:
                await backend.host.unreserve(job_id)
        raise
    await backend.host.start_job(record.job_id)
    return record


def origin_of(request: Request) -> Origin:
    """Return where a job comes from that this request makes."""
    told = request.headers.get("traceparent", "")
    joins = told if told and tracing.parsed(told) is not None else ""
    state = tracing.parsed_state(request.headers.get("tracestate", "")) if joins else ""
    return Origin(
        trace_parent=request.scope.get("state", {}).get("trace_parent") or joins,
        trace_state=state,
        submitted_by=principal_of(request.scope).name,
    )


def problems_in(error: BundleInvalidError) -> list[dict[str, Any]]:
    """Return the problems of a bundle that could not even be opened."""
    found = error.details.get("problems")
    return list(found) if isinstance(found, list) else []
