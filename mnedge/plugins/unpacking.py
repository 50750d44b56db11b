"""Writes the files of a distribution that was judged, each compared with what RECORD says of it."""

import base64
import binascii
import hashlib
from pathlib import Path
from typing import NamedTuple

from mnedge.plugins.archive import BROKEN, MOST_BYTES, Contents
from mnedge.plugins.problem import Problem, refused
from mnedge.plugins.wheel import Distribution, Listed

_CHUNK_BYTES = 1 << 16


class Unpacked(NamedTuple):
    """What was written."""

    digest: str
    """SHA-256 over names and contents of all files."""
    files: dict[str, str]
    """Path below the folder → SHA-256."""
    size_bytes: int


def unpack(distribution: Distribution, target: Path) -> Unpacked:
    """Write the files below `target`, which is new, comparing each with RECORD.

    Raises: PluginRefusedError naming every file that differs; what was written is the caller's to
    remove.
    """
    digests: dict[str, str] = {}
    found: list[Problem] = []
    total = 0
    for inside, place in sorted(distribution.places.items(), key=lambda item: item[1]):
        listed = distribution.listed.get(inside)
        file = target / place
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            written = _copied(distribution.contents, inside, file, listed, MOST_BYTES - total)
        except (*BROKEN, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            found.append(Problem(message=f"{inside} cannot be unpacked: {error}"))
            continue
        digests[place], size, is_right = written
        total += size
        if not is_right:
            found.append(Problem(message=f"{inside} is not what RECORD says"))
    if found:
        hint = "it was damaged or altered on the way: get it again"
        raise refused(distribution.label, [*found[:20], Problem(message=hint)])
    return Unpacked(digest_of(digests), digests, total)


def digest_of(files: dict[str, str]) -> str:
    """Return one SHA-256 for all files, from path → SHA-256."""
    lines = "".join(f"{path}\0{digest}\n" for path, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _copied(
    contents: Contents, inside: str, file: Path, listed: Listed | None, most_bytes: int
) -> tuple[str, int, bool]:
    """Write one file; return its SHA-256, its size, and whether RECORD agrees."""
    ours = hashlib.sha256()
    theirs = hashlib.new(listed.algorithm) if listed and listed.algorithm != "sha256" else ours
    limit = most_bytes if listed is None or listed.size_bytes is None else listed.size_bytes
    size = 0
    with contents.open(inside) as source, open(file, "xb") as target:
        while chunk := source.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > min(limit, most_bytes):
                raise ValueError("it is larger than it said")
            ours.update(chunk)
            if theirs is not ours:
                theirs.update(chunk)
            target.write(chunk)
    is_right = listed is None or (
        theirs.digest() == _bytes(listed.digest) and listed.size_bytes in (None, size)
    )
    return ours.hexdigest(), size, is_right


def _bytes(text: str) -> bytes:
    """Return a digest that is written in base64 without its padding; nothing if it is none."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
