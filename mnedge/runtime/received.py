"""A manifest and its payloads as a program sends them, made into a bundle, and into a job.

What is received lies in a temporary folder only while it is looked at.
"""

import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import trio

from mnedge.bundle.files import MAX_DEPTH, MAX_FILES, tidy, unsafe_path
from mnedge.bundle.load import Bundle, BundleUnreadableError, open_bundle
from mnedge.bundle.prepared import STORAGE, BlobRef, Prepared, plain
from mnedge.bundle.problem import Problem, Severity, invalid
from mnedge.bundle.subject import is_text, mapping
from mnedge.config.settings import Config
from mnedge.errors import UsageError
from mnedge.model.body import json_bytes
from mnedge.model.records import JobRecord
from mnedge.ports import Clock, Connector, Runner
from mnedge.runtime.input_reading import NO_CONNECTORS
from mnedge.runtime.jobs import Stores
from mnedge.runtime.shared_folders import absent_inputs
from mnedge.runtime.submission import UNKNOWN, Origin, submit

LABEL = "received"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SCRIPT = b"#!"
_CHUNK_BYTES = 1 << 20
MEND = "name payloads by their path below payloads/, as `worker/worker.py`"

RESERVED = frozenset({"last", "unfinished"})
"""Words that stand for the newest job and for those that are not over."""


class IdInvalidError(UsageError):
    """An id that a client proposes cannot name a folder, or is too long."""

    code = "job.id_invalid"


async def submit_received(
    stores: Stores,
    config: Config,
    manifest: dict[str, Any],
    payloads: Mapping[str, bytes],
    *,
    runners: Mapping[str, Runner],
    now: Clock,
    job_id: str | None = None,
    own: Callable[[str], Awaitable[None]] | None = None,
    inputs: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    origin: Origin = UNKNOWN,
    source: str = LABEL,
    connectors: Mapping[str, Connector] = NO_CONNECTORS,
) -> JobRecord:
    """Keep a pending job of what a program sent; `payloads` by their path below `payloads/`.

    The rest as for `submit`; `inputs` and `overrides` as for `open_bundle`.
    Raises: IdInvalidError; BundleInvalidError with all that is wrong; whatever `submit` raises.
    """
    checked_id(job_id)
    async with received(
        config, manifest, payloads, inputs=inputs, overrides=overrides, label=source
    ) as bundle:
        return await submit(
            stores,
            config,
            bundle,
            runners=runners,
            now=now,
            job_id=job_id or None,
            own=own,
            source=source,
            origin=origin,
            connectors=connectors,
        )


@asynccontextmanager
async def received(
    config: Config,
    manifest: dict[str, Any],
    payloads: Mapping[str, bytes],
    *,
    inputs: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    label: str = LABEL,
) -> AsyncIterator[Bundle]:
    """Have what was sent as an opened bundle while the block is open; it may have problems.

    Raises: BundleInvalidError if it cannot even be written down.
    """
    prepared = _prepared(manifest, config.node, label)
    names = [*payloads, *(blob.path for blob in prepared.blobs if blob.path not in payloads)]
    problems = [*prepared.problems, *_path_problems(names), *_absent(manifest)]

    def opened() -> tuple[Path, Bundle]:
        blobs, missing = _found(prepared.blobs, manifest, payloads, config)
        if problems or missing:
            raise invalid(label, [*problems, *missing])
        outer = _temporary()
        try:
            root = outer / "bundle"
            _write(root, prepared, payloads)
            problems.extend(_fetch(root, blobs))
            if problems:
                raise invalid(label, problems)
            return outer, open_bundle(
                root,
                inputs=inputs,
                overrides=overrides,
                environ=config.environ,
                expected_id=prepared.blueprint_id,
                run_code=False,
            )
        except BaseException as error:
            shutil.rmtree(outer, ignore_errors=True)
            if isinstance(error, OSError):
                raise _unwritable(error) from error
            raise

    outer, bundle = await trio.to_thread.run_sync(opened)
    try:
        bundle.label = label
        yield bundle
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(lambda: shutil.rmtree(outer, ignore_errors=True))


def checked_id(proposed: str | None) -> None:
    """Refuse an id that a client proposes, if it cannot name a folder everywhere.

    Raises: IdInvalidError.
    """
    if proposed and _ID.fullmatch(proposed) is None:
        raise IdInvalidError(
            f"{proposed[:140]!r} cannot be an id",
            hint="begin with a letter or digit; then up to 127 letters, digits, `.`, `_` or `-`",
            details={"id": proposed[:140]},
        )
    if proposed in RESERVED:
        raise IdInvalidError(
            f"{proposed!r} cannot be an id: it means something wherever jobs are named",
            hint="choose another",
            details={"id": proposed},
        )


def _temporary() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="mnedge-received-"))
    except OSError as error:
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> BundleUnreadableError:
    return BundleUnreadableError(
        f"what was received cannot be written down: {error.strerror or error}",
        hint=f"make room in {tempfile.gettempdir()}, or set TMPDIR for the daemon",
    )


def _prepared(manifest: dict[str, Any], node: str, label: str) -> Prepared:
    """Return the manifest made plain.

    Raises: BundleInvalidError if it is nothing that JSON can say, or nested without end.
    """
    try:
        json_bytes(manifest)
        return plain(manifest, node=node)
    except (ValueError, TypeError, RecursionError) as error:
        reason = "is nested too deeply" if isinstance(error, RecursionError) else str(error)
        problem = Problem(
            rule="M-01",
            code="document.not_an_object",
            severity=Severity.ERROR,
            message=f"the manifest cannot be kept as JSON: {reason}",
            help="send a JSON object whose texts are Unicode",
        )
        raise invalid(label, [problem]) from error


def _path_problems(names: Sequence[str]) -> list[Problem]:
    """Return an error for each path that is unsafe, or in the way of another."""
    problems = []
    folders: set[str] = set()
    seen: dict[str, str] = {}
    for name in names:
        reason = unsafe_path(name) or ("" if _is_utf8(name) else "is not UTF-8")
        tidied = tidy(name)
        if not reason and not tidied:
            reason = "names no file"
        if not reason and tidied.count("/") >= MAX_DEPTH:
            reason = f"lies deeper than {MAX_DEPTH} folders"
        if not reason and tidied in seen:
            reason = f"is the same file as {seen[tidied]!r}"
        if reason:
            problems.append(_unsafe(name, reason))
            continue
        seen[tidied] = name
        parts = tidied.split("/")
        folders.update("/".join(parts[:count]) for count in range(1, len(parts)))
    problems += [
        _unsafe(name, "is both a file and a folder")
        for tidied, name in seen.items()
        if tidied in folders
    ]
    if len(seen) > MAX_FILES:
        problems.append(_unsafe("", f"holds more than {MAX_FILES} files"))
    return problems


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unsafe(name: str, reason: str, mend: str = MEND) -> Problem:
    shown = name.encode(errors="backslashreplace").decode()
    return Problem(
        rule="B-08",
        code="bundle.unsafe_file",
        severity=Severity.ERROR,
        message=f"the payload {shown!r} {reason}",
        help=mend,
        file="payloads",
        at=("payloads", shown),
        actual=shown,
    )


def _absent(manifest: dict[str, Any]) -> list[Problem]:
    return [
        Problem(
            rule="I-05",
            code="input.source",
            severity=Severity.ERROR,
            message=f"the input {path} that the client staged is not on this node",
            help="submit from this machine, or let both see one folder "
            "(MN_RUNTIME_SHARED_STORAGE_ROOT says to the client where this node has it)",
            at=("metadata", "mn_storage", "inputs", "folders"),
            actual=path,
        )
        for path in absent_inputs(manifest)
    ]


def _found(
    refs: list[BlobRef], manifest: dict[str, Any], payloads: Mapping[str, bytes], config: Config
) -> tuple[dict[BlobRef, Path], list[Problem]]:
    """Return where the blobs lie on this machine, and an error for each that does not."""
    found: dict[BlobRef, Path] = {}
    missing: list[Problem] = []
    places = _blob_stores(manifest, config)
    for ref in refs:
        if ref.path in payloads:
            continue
        below = f"{ref.sha256[:2]}/{ref.sha256}"
        here = [place / below for place in places if (place / below).is_file()]
        if here:
            found[ref] = here[0]
        else:
            looked = ", ".join(str(place) for place in places)
            missing.append(
                _unsafe(
                    ref.path,
                    f"is neither in the request nor on this node; looked for {below} in {looked}",
                    "send it along (MN_INLINE_PAYLOAD_MAX_BYTES says to the client up to which "
                    "size it does), or put it there",
                )
            )
    return found, missing


def _blob_stores(manifest: dict[str, Any], config: Config) -> list[Path]:
    """Return the folders where clients of this machine keep blobs."""
    named = config.environ.get("MN_HOST_BLOB_STORE_DIR")
    places = [Path(named)] if named else []
    places.append(config.home / "blobs")
    shared = mapping(mapping(manifest.get("metadata")).get(STORAGE)).get("host_root")
    if is_text(shared) and shared.startswith("/"):
        places.append(Path(shared).parent / "blobs")
    return list(dict.fromkeys(places))


def _fetch(root: Path, blobs: Mapping[BlobRef, Path]) -> Iterator[Problem]:
    """Copy the blobs to where they belong; yield an error for each that is not what it must be."""
    for ref, source in blobs.items():
        place = root / "payloads" / tidy(ref.path)
        place.parent.mkdir(parents=True, exist_ok=True)
        digest = sha256()
        with source.open("rb") as kept, place.open("xb") as made:
            while piece := kept.read(_CHUNK_BYTES):
                digest.update(piece)
                made.write(piece)
        if digest.hexdigest() != ref.sha256:
            yield _unsafe(
                ref.path,
                f"is not what its hash says: {source} has changed",
                "remove that file, and submit again",
            )


def _write(root: Path, prepared: Prepared, payloads: Mapping[str, bytes]) -> None:
    root.mkdir()
    (root / "manifest.json").write_bytes(json_bytes(prepared.manifest))
    if prepared.config is not None:  # B-04 asks for one, and a retry opens this bundle again
        (root / "config").mkdir()
        (root / "config" / "default.json").write_bytes(json_bytes(prepared.config))
    (root / "payloads").mkdir()
    for name, content in payloads.items():
        place = root / "payloads" / tidy(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        if content.startswith(_SCRIPT):
            place.chmod(0o755)  # the wire has no modes
