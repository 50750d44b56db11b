"""A fresh, private workspace for one run: uploads, then the files that tell a worker what to do.

A worker may change all it finds there, so payloads are always copied (as a reflink where the file
system can), never linked. Source: worker contract 3.1 to 3.4.
"""

import errno
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from mnedge.execution.environment import names_in
from mnedge.execution.refusal import RefusedError

DEFAULT_ROOT = "/sandbox/job"
ROOTS = ("/sandbox/job", "/mn/job", "/sandbox")
"""Places that manifests name and that mean the workspace."""
INPUT, MESSAGE = "mirror_neuron_input.json", "mirror_neuron_message.json"
BODY, CONTEXT = "mirror_neuron_body.bin", "mirror_neuron_context.json"
BODY_META = "mirror_neuron_body_meta.json"
PRETTY_UP_TO_BYTES = 256 * 1024
"""Larger documents stay in one line: nobody reads them, and it takes time."""
INLINE_FILES = 64
INLINE_BYTES = 1 << 20
"""Up to so much is copied at once; more in a thread, which takes longer but stops nobody."""

_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
_CHUNK_BYTES = 1 << 20


class Upload(NamedTuple):
    """A file or folder below `payloads/` (absolute, resolved) and its place in the workspace."""

    source: str
    target: str


class Documents(NamedTuple):
    """What the runtime writes into every workspace, encoded."""

    input: bytes
    message: bytes
    body: bytes
    context: bytes
    body_meta: bytes


def folder_name(text: str) -> str:
    """Return a name for a folder that no other text gets."""
    slug = _NOT_IN_NAME.sub("-", text).strip("-.")[:80]
    if slug and slug == text:
        return slug
    return f"{slug}-{sha256(text.encode(errors='surrogateescape')).hexdigest()[:12]}"


def sandbox_name(prefix: Any, job_id: str, agent_id: str) -> str:
    """Return the name of a run as results show it."""
    prefix = prefix if isinstance(prefix, str) and prefix else "host-local"
    name = f"{prefix}-{job_id}-{agent_id}".lower()
    return re.sub(r"[^a-z0-9-]", "-", name).strip("-")


def uploads(config: Mapping[str, Any], payloads: str | None) -> list[Upload]:
    """Return what to copy, in order.

    Raises: RefusedError if a source or a target is not where it must be.
    """
    wanted = list(_wanted(config))
    if not wanted:
        return []
    if payloads is None:
        raise RefusedError(f"upload source does not exist: {wanted[0][0]}")
    root = os.path.realpath(payloads)
    return [
        Upload(_source(root, source), _target(config, target, source)) for source, target in wanted
    ]


def workdir(config: Mapping[str, Any], workspace: str) -> str:
    """Return where the command runs: inside the workspace if it is named below one of `ROOTS`.

    Raises: RefusedError if the name leads out of the workspace again.
    """
    named = config.get("workdir")
    if not isinstance(named, str) or not named:
        return workspace
    inside = _below_root(config, named)
    if inside is None:
        return named if os.path.isabs(named) else _joined(workspace, named, "workdir")
    return _joined(workspace, inside, "workdir")


def is_small(planned: list[Upload]) -> bool:
    """Tell whether the uploads are so few that copying them at once stops nobody noticeably."""
    files = size_bytes = 0
    for upload in planned:
        for path in _files_below(upload.source):
            files += 1
            with suppress(OSError):
                size_bytes += os.stat(path).st_size
            if files > INLINE_FILES or size_bytes > INLINE_BYTES:
                return False
    return True


def copy_uploads(planned: list[Upload], workspace: str, payloads: str) -> None:
    """Copy them, later ones over earlier ones.

    Raises: RefusedError if something inside leads out of `payloads`; OSError.
    """
    root = os.path.realpath(payloads)
    for upload in planned:
        target = os.path.normpath(os.path.join(workspace, upload.target))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(upload.source):
            _copy_folder(upload.source, target, root, ())
        else:
            _copy_file(upload.source, target)


def write_documents(workspace: str, documents: Documents, *, with_meta: bool) -> None:
    """Write the files that the environment variables name; `with_meta`: as OpenShell has them.

    Raises: OSError.
    """
    write_file(f"{workspace}/{INPUT}", documents.input)
    write_file(f"{workspace}/{MESSAGE}", documents.message)
    write_file(f"{workspace}/{BODY}", documents.body)
    write_file(f"{workspace}/{CONTEXT}", documents.context)
    if with_meta:
        write_file(f"{workspace}/{BODY_META}", documents.body_meta)


def pretty(document: bytes) -> bytes:
    """Return JSON that a person can read, unless it is too large to be read."""
    if len(document) > PRETTY_UP_TO_BYTES:
        return document
    return msgspec.json.format(document, indent=2)


def make_workspace(path: str) -> None:
    """Make a new, empty folder that only we may enter; what stood there is removed.

    Raises: OSError.
    """
    try:
        os.mkdir(path, 0o700)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.mkdir(path, 0o700)
    except FileExistsError:
        remove_workspace(path)
        os.mkdir(path, 0o700)


def remove_workspace(path: str) -> None:
    """Remove the folder and all in it, also what a worker made unreadable; failing is no error."""
    shutil.rmtree(path, **_OPENING_UP)


def remove_few(path: str, most: int = INLINE_FILES * 4) -> bool:
    """Remove the folder if it holds few things, quickly; tell whether it is gone."""
    waiting, folders = [path], []
    if not os.path.exists(path):
        return True
    with suppress(OSError):
        while waiting:
            folders.append(waiting.pop())
            with os.scandir(folders[-1]) as entries:
                for entry in entries:
                    most -= 1
                    if most < 0:
                        return False
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        os.unlink(entry.path)
        for folder in reversed(folders):
            os.rmdir(folder)
        return True
    return False


def _open_up(remove: Any, path: str, _: Any) -> None:
    """A worker may have left a folder without permissions: give ourselves some, and try again."""
    with suppress(OSError):
        os.chmod(os.path.dirname(path), 0o700)
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, 0o700)
            shutil.rmtree(path, ignore_errors=True)
        else:
            remove(path)


_OPENING_UP: dict[str, Any] = {"onexc" if sys.version_info >= (3, 12) else "onerror": _open_up}


def _wanted(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (source, target) as the manifest has them: a list, else the single form."""
    for key in ("upload_paths", "uploads"):
        listed = config.get(key)
        if isinstance(listed, list) and listed:
            for item in listed:
                yield _item(key, item)
            return
    source = config.get("upload_path")
    if isinstance(source, str) and source:
        target = config.get("upload_as")
        yield source, target if isinstance(target, str) and target else _basename(source)


def _item(key: str, item: Any) -> tuple[str, str]:
    if isinstance(item, str) and item:
        return item, _basename(item)
    if isinstance(item, dict) and names_in([item.get("source")]) and item["source"]:
        target = item.get("target")
        chosen = target if isinstance(target, str) and target else _basename(item["source"])
        return item["source"], chosen
    raise RefusedError(f"{key} must be a list of objects with a source")


def _basename(source: str) -> str:
    return os.path.basename(source.rstrip("/")) or "."


def _source(root: str, source: str) -> str:
    named = os.path.normpath(os.path.join(root, source))
    resolved = os.path.realpath(named)
    if not _within(resolved, root):
        raise RefusedError(f"upload source must stay inside blueprint payloads: {source}")
    if not os.path.exists(resolved):
        raise RefusedError(f"upload source does not exist: {named}")
    return resolved


def _target(config: Mapping[str, Any], target: str, source: str) -> str:
    inside = _below_root(config, target) if os.path.isabs(target) else target
    if inside is None or os.path.normpath(inside).split("/")[0] == "..":
        raise RefusedError(f"upload target must stay inside sandbox workspace: {target}")
    return inside or _basename(source)


def _below_root(config: Mapping[str, Any], path: str) -> str | None:
    """Return what stands behind the sandbox's root; None for a path that is not below it."""
    declared = config.get("sandbox_upload_path")
    root = declared.rstrip("/") if isinstance(declared, str) and declared else DEFAULT_ROOT
    for known in (root, *ROOTS):
        if path.rstrip("/") == known:
            return "."
        if path.startswith(known + "/"):
            return path[len(known) + 1 :]
    return None


def _joined(workspace: str, inside: str, what: str) -> str:
    path = os.path.normpath(os.path.join(workspace, inside))
    if not _within(path, workspace):
        raise RefusedError(f"{what} must stay inside sandbox workspace: {inside}")
    return path


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _files_below(path: str) -> Iterator[str]:
    if not os.path.isdir(path):
        yield path
        return
    for folder, _, files in os.walk(path):
        for name in files:
            yield os.path.join(folder, name)


def _copy_folder(source: str, target: str, root: str, above: tuple[str, ...]) -> None:
    resolved = os.path.realpath(source)
    if resolved in above:
        raise RefusedError(f"upload source contains itself: {source}")
    os.makedirs(target, exist_ok=True)
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        path = entry.path
        if entry.is_symlink():
            path = os.path.realpath(path)
            if not _within(path, root):
                raise RefusedError(f"upload source must stay inside blueprint payloads: {path}")
            if not os.path.exists(path):
                raise RefusedError(f"upload source does not exist: {path}")
        place = os.path.join(target, entry.name)
        if os.path.isdir(path):
            _copy_folder(path, place, root, (*above, resolved))
        else:
            _copy_file(path, place)


def _copy_file(source: str, target: str) -> None:
    """Copy content and mode. Opened without following the last link, and only a plain file."""
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb", buffering=0) as content:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "no plain file", source)
        with suppress(FileNotFoundError):
            os.unlink(target)
        made = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _copy_content(fd, made, found.st_size, content)
            # Ours to write, whatever the payload's own mode says: the workspace is private.
            os.fchmod(made, (found.st_mode & 0o777) | 0o600)
        finally:
            os.close(made)


def _copy_content(source: int, target: int, size_bytes: int, content: Any) -> None:
    if size_bytes > _CHUNK_BYTES:
        with suppress(OSError):
            while os.copy_file_range(source, target, 1 << 30):
                pass
    while piece := content.read(_CHUNK_BYTES):
        view = memoryview(piece)
        while view:
            view = view[os.write(target, view) :]


def write_file(path: str, content: bytes) -> None:
    """Write a file in a workspace; one of that name, which a payload brought, is overwritten.

    Raises: OSError.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)
