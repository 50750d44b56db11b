"""What tells two versions of a bundle apart."""

from hashlib import sha256

from mnedge.bundle.files import Files
from mnedge.model.ids import Digest


def directory_digest(files: Files) -> Digest:
    """Return the digest of every file's path and content.

    Source: bundle format 1: per file in path order, 8-byte big-endian length and bytes, of the path
    and of the content.
    """
    whole = sha256()
    for name in files.names():
        for part in (name.encode(), files.read(name) or b""):
            whole.update(len(part).to_bytes(8, "big"))
            whole.update(part)
    return Digest(f"sha256:{whole.hexdigest()}")


def wire_fingerprint(files: Files) -> str:
    """Return the fingerprint the published client knows, lower-case hex.

    Source: worker contract 5.1: base name and content of the manifest, then of every file under
    `payloads/` in path order, dot-files and dot-folders left out. Loses: a file that moves without
    a new name is not seen.
    """
    whole = sha256()
    payloads = [
        name
        for name in files.names()
        if name.startswith("payloads/") and not any(part[0] == "." for part in name.split("/"))
    ]
    for name in ["manifest.json", *payloads]:
        content = files.read(name)
        if content is not None:
            whole.update(name.rpartition("/")[2].encode())
            whole.update(content)
    return whole.hexdigest()
