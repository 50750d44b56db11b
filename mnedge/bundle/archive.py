"""Unpack an archive that strangers made: only plain files, inside the target, within limits.

Nothing is believed: names are checked before anything is written, sizes are counted while
unpacking, whatever the headers say.
"""

import gzip
import io
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from msgspec import Struct

from mnedge.bundle.files import MAX_DEPTH, MAX_FILES, tidy, unsafe_path
from mnedge.errors import UsageError

SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")
_CHUNK_BYTES = 1 << 16
_HEADER_BYTES = 1 << 20


class Limits(Struct, frozen=True, kw_only=True):
    """How much an archive may unpack to."""

    files: int = MAX_FILES
    total_bytes: int = 1 << 30
    ratio: int = 200
    """Unpacked to packed size; only looked at beyond `ratio_from_bytes`."""
    ratio_from_bytes: int = 16 << 20


class ArchiveUnsafeError(UsageError):
    """An archive holds something that must not be unpacked, or too much of it."""

    code = "bundle.archive_unsafe"


class ArchiveInvalidError(UsageError):
    """A file is no archive that can be read."""

    code = "bundle.archive_invalid"


def is_archive(path: Path) -> bool:
    """Tell whether the name is that of an archive."""
    return path.name.lower().endswith(SUFFIXES)


def unpack(archive: Path | bytes, target: Path, limits: Limits | None = None) -> None:
    """Unpack into `target`, which appears complete or not at all; one that is there already stays.

    Raises: ArchiveInvalidError, ArchiveUnsafeError.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO(archive) if isinstance(archive, bytes) else archive.open("rb")
    with packed:
        label = "archive" if isinstance(archive, bytes) else archive.name
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            _Unpacking(packed, label, temporary, limits or Limits()).run()
            temporary.chmod(0o755)
            try:
                temporary.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


class _Unpacking:
    """One archive on its way into one fresh folder."""

    def __init__(
        self, packed: BinaryIO | IO[bytes], label: str, folder: Path, limits: Limits
    ) -> None:
        self.packed = packed
        self.label = label
        self.folder = folder
        self.limits = limits
        self.packed_bytes = packed.seek(0, os.SEEK_END)
        self.total = 0
        self.files: set[str] = set()
        self.folders: set[str] = set()

    def run(self) -> None:
        self.packed.seek(0)
        start = self.packed.read(4)
        self.packed.seek(0)
        with self._readable():
            if start[:2] == b"PK":
                self._zip()
            elif start[:2] == b"\x1f\x8b":
                with gzip.GzipFile(fileobj=self.packed, mode="rb") as plain:
                    self._tar(plain)
            else:
                self._tar(self.packed)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn what the readers raise for a broken archive into one error."""
        try:
            yield
        except ArchiveUnsafeError:
            raise
        except (
            tarfile.TarError,
            zipfile.BadZipFile,
            gzip.BadGzipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            ValueError,
            OverflowError,
        ) as error:
            raise ArchiveInvalidError(
                f"{self.label} is no archive that can be read: {error}",
                hint="pack the bundle again, as .tar.gz or .zip",
            ) from error

    def _tar(self, plain: BinaryIO | IO[bytes] | gzip.GzipFile) -> None:
        metered: Any = _Metered(plain, self)
        metered.allow(_HEADER_BYTES)  # opening reads the first header
        with tarfile.open(fileobj=metered, mode="r|", bufsize=tarfile.BLOCKSIZE) as tar:
            while True:
                metered.allow(_HEADER_BYTES)
                member = tar.next()
                if member is None:
                    break
                name = self._checked(member.name)
                if member.isdir():
                    self._folder(name)
                elif member.isreg() and not member.issparse():
                    metered.allow(member.size + _HEADER_BYTES)
                    content = tar.extractfile(member)
                    if content is None:
                        raise self._unsafe(f"{member.name!r} has no content")
                    self._file(name, content, member.size, executable=bool(member.mode & 0o111))
                else:
                    raise self._unsafe(f"{member.name!r} is {_kind(member)}")
            metered.allow(_HEADER_BYTES)
            while rest := metered.read(_CHUNK_BYTES):
                if rest.strip(b"\0"):
                    raise tarfile.ReadError(f"broken after {len(self.files)} files")

    def _zip(self) -> None:
        with zipfile.ZipFile(self.packed) as archive:
            for member in archive.infolist():
                if member.flag_bits & 0x1:
                    raise self._unsafe(f"{member.filename!r} is encrypted")
                mode = member.external_attr >> 16
                kind = stat.S_IFMT(mode)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise self._unsafe(f"{member.filename!r} is a link or a device")
                name = self._checked(member.orig_filename)
                if member.is_dir():
                    self._folder(name)
                    continue
                with archive.open(member) as content:
                    self._file(name, content, member.file_size, executable=bool(mode & 0o111))

    def _checked(self, name: str) -> str:
        reason = unsafe_path(name.rstrip("/") or name)
        if reason:
            raise self._unsafe(f"the name {name!r} {reason}")
        try:
            name.encode()
        except UnicodeEncodeError:
            raise self._unsafe(f"the name {name!r} is not UTF-8") from None
        tidied = tidy(name)
        if tidied.count("/") >= MAX_DEPTH or len(tidied) > 2048:
            raise self._unsafe(f"{name[:80]!r}… lies deeper than {MAX_DEPTH} folders")
        return tidied

    def _folder(self, name: str) -> None:
        steps = name.split("/") if name else []
        for count in range(1, len(steps) + 1):
            folder = "/".join(steps[:count])
            if folder in self.folders:
                continue
            if folder in self.files:
                raise self._unsafe(f"{folder!r} is both a file and a folder")
            self.folders.add(folder)
            self._count()
            (self.folder / folder).mkdir()

    def _file(self, name: str, content: IO[bytes], size: int, *, executable: bool) -> None:
        if not name:
            raise self._unsafe("a file without a name")
        if name in self.files or name in self.folders:
            raise self._unsafe(f"{name!r} stands in it twice")
        self._folder(name.rpartition("/")[0])
        self.files.add(name)
        self._count()
        self._room_for(size)
        read = 0
        with (self.folder / name).open("xb") as file:
            while chunk := content.read(_CHUNK_BYTES):
                read += len(chunk)
                self.total += len(chunk)
                self._room_for(0)
                file.write(chunk)
        if read != size:
            raise self._unsafe(f"{name!r} lies about its size: {size} bytes told, {read} found")
        (self.folder / name).chmod(0o755 if executable else 0o644)

    def _count(self) -> None:
        if len(self.files) + len(self.folders) > self.limits.files:
            raise self._unsafe(f"it holds more than {self.limits.files} files")

    def _room_for(self, more: int) -> None:
        total = self.total + more
        if total > self.limits.total_bytes:
            raise self._unsafe(f"it unpacks to more than {self.limits.total_bytes} bytes")
        if total > self.limits.ratio_from_bytes and total > self.limits.ratio * self.packed_bytes:
            raise self._unsafe(f"it unpacks to more than {self.limits.ratio} times its size")

    def _unsafe(self, reason: str) -> ArchiveUnsafeError:
        return ArchiveUnsafeError(
            f"{self.label} was not unpacked: {reason}",
            hint="pack only the bundle's own plain files, by relative names",
            details={"archive": self.label, "reason": reason},
        )


class _Metered:
    """A stream that gives no more than it was allowed: headers cannot ask for gigabytes."""

    def __init__(self, plain: BinaryIO | IO[bytes] | gzip.GzipFile, owner: _Unpacking) -> None:
        self.plain = plain
        self.owner = owner
        self.given = 0
        self.allowed = 0

    def allow(self, more: int) -> None:
        self.allowed = self.given + more

    def read(self, size: int) -> bytes:
        if self.given > self.allowed:
            raise self.owner._unsafe("a header is larger than any header should be")
        content = self.plain.read(min(size, _CHUNK_BYTES))
        self.given += len(content)
        return content


def _kind(member: tarfile.TarInfo) -> str:
    if member.issym():
        return f"a symbolic link to {member.linkname!r}"
    if member.islnk():
        return f"a hard link to {member.linkname!r}"
    return "neither a file nor a folder"
