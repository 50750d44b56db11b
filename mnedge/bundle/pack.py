"""A bundle as one blob; `mnedge.bundle.archive.unpack` is the way back."""

import gzip
import io
import tarfile
from pathlib import Path

from mnedge.bundle.files import FolderFiles


def packed(root: Path) -> bytes:
    """Return the bundle's files as `.tar.gz`; the same files always give the same bytes.

    Loses: links and whatever else is no plain file or folder (rule B-08 refused it before).
    """
    files = FolderFiles(root)
    blob = io.BytesIO()
    with (
        gzip.GzipFile(filename="", fileobj=blob, mode="wb", compresslevel=6, mtime=0) as plain,
        tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name in files.folders():
            tar.addfile(_entry(name, tarfile.DIRTYPE, 0o755))
        for name in files.names():
            path = root / name
            content = path.read_bytes()
            executable = path.stat().st_mode & 0o111
            entry = _entry(name, tarfile.REGTYPE, 0o755 if executable else 0o644)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return blob.getvalue()


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.mode = mode
    return entry
