"""Content by hash, one file each: `<folder>/ab/cdef…`, complete and durable before it has its name.

Copying and hashing happen in threads, with a limiter of their own.
"""

import os
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import count
from typing import Protocol, TypeVar

import trio
from msgspec import Struct

from mnedge import faults
from mnedge.errors import CorruptError, NotFoundError, UsageError
from mnedge.store.claims import lives, this_process
from mnedge.store.condition import Conditions

T = TypeVar("T")

PLACE = "blobs"
CHUNK_BYTES = 1 << 20
THREADS = 4
UNFINISHED = "unfinished"
"""Folder of what is still being written; what a dead process left there is removed at opening."""
DAMAGED = ".damaged"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_SHARD = re.compile(r"[0-9a-f]{2}")
_REST = re.compile(r"[0-9a-f]{62}")


class BlobMissingError(NotFoundError):
    """The content is not on this node."""

    code = "blob.missing"

    @classmethod
    def of(cls, digest: str) -> "BlobMissingError":
        """Return the error for that digest."""
        return cls(f"no content {digest} is kept here", details={"digest": digest})


class BlobDigestInvalidError(UsageError):
    """A digest is written `sha256:` and 64 lower-case hex digits."""

    code = "blob.digest_invalid"


class BlobDamagedError(CorruptError):
    """The content no longer matches its hash; it was put aside, so that it can be put anew."""

    code = "blob.damaged"


class BlobEntry(Struct, frozen=True):
    """One kept content."""

    digest: str
    size_bytes: int
    kept_at: float
    """When it was first put, by the file system's clock."""


def hex_of(digest: str) -> str:
    """Return the hex digits of a digest.

    Raises: BlobDigestInvalidError if it is none; so no digest can lead out of the folder.
    """
    found = _DIGEST.fullmatch(digest)
    if found is None:
        raise BlobDigestInvalidError(
            f"{digest!r} is no digest",
            hint="write sha256: and 64 lower-case hex digits",
            details={"digest": digest},
        )
    return found[1]


class FileWork(Protocol):
    """How file work is kept away from the loop."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """Return what `work` returns."""


def in_threads(limit: int = THREADS) -> FileWork:
    """Return a way to do file work in at most `limit` threads."""
    limiter = trio.CapacityLimiter(limit)

    async def offload(work: Callable[[], T], /) -> T:
        return await trio.to_thread.run_sync(work, limiter=limiter)

    return offload


async def on_the_loop(work: Callable[[], T], /) -> T:
    """Do file work on the loop itself: for the virtual clock."""
    await trio.lowlevel.checkpoint()
    return work()


class FileBlobs:
    """Blobs in a folder."""

    def __init__(
        self,
        folder: str,
        conditions: Conditions,
        offload: FileWork | None = None,
        alive: Callable[[str], bool] = lives,
    ) -> None:
        self._folder = folder
        self._unfinished = os.path.join(folder, UNFINISHED)
        self._conditions = conditions
        self._offload = offload or in_threads()
        self._alive = alive
        self._process = ""
        self._numbers = count(1)

    def open(self) -> None:
        """Make the folders, and remove what processes that are gone did not finish."""
        self._process = str(this_process())
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            os.makedirs(self._unfinished, mode=0o700, exist_ok=True)
            for name in os.listdir(self._unfinished):
                if not self._alive(name.rpartition(":")[0]):
                    _remove(os.path.join(self._unfinished, name))
        except OSError as error:
            raise self._conditions.failed(PLACE, self._folder, error) from error

    async def put(self, content: bytes) -> str:
        """Keep it durably; return its digest."""
        return await self._offload(lambda: self._put(iter((content,)), len(content)))

    async def put_file(self, path: str) -> str:
        """As `put`, for a file too large to hold in memory."""
        return await self._offload(lambda: self._put_file(path))

    async def get(self, digest: str) -> bytes:
        """Return the content, verified.

        Raises: BlobMissingError; BlobDamagedError, after which it can be put again.
        """
        return await self._offload(lambda: self._get(digest))

    async def path(self, digest: str) -> str:
        """Return a path to read it from (never write to it)."""
        path = self._path(digest)
        if not os.path.exists(path):
            raise BlobMissingError.of(digest)
        await trio.lowlevel.checkpoint()
        return path

    async def has(self, digest: str) -> bool:
        """Tell whether it is here."""
        await trio.lowlevel.checkpoint()
        return os.path.exists(self._path(digest))

    async def list(self) -> list[BlobEntry]:
        """Return all that is kept, by digest."""
        return await self._offload(lambda: list(self._entries()))

    async def size_bytes(self) -> int:
        """Return how much all that is kept takes, without what the file system adds."""
        return await self._offload(lambda: sum(entry.size_bytes for entry in self._entries()))

    async def forget(self, digest: str) -> None:
        """Drop it; one that is not here is no error."""
        path = self._path(digest)
        await self._offload(lambda: _remove(path))

    def probe(self) -> None:
        """Write and remove something, to see whether it can be done."""
        path = self._temporary()
        try:
            _write(path, iter((bytes(CHUNK_BYTES // 64),)))
        except OSError as error:
            raise self._conditions.failed(PLACE, self._folder, error) from error
        finally:
            _remove(path)
        self._conditions.fine(PLACE, self._folder)

    def _path(self, digest: str) -> str:
        digits = hex_of(digest)
        return os.path.join(self._folder, digits[:2], digits[2:])

    def _temporary(self) -> str:
        return os.path.join(self._unfinished, f"{self._process}:{next(self._numbers)}")

    def _put_file(self, path: str) -> str:
        with open(path, "rb") as file:
            return self._put(iter(lambda: file.read(CHUNK_BYTES), b""), None)

    def _put(self, chunks: Iterator[bytes], size_bytes: int | None) -> str:
        """Write, fsync, rename, fsync the folder. Content that is there already is left alone."""
        if size_bytes is not None:
            (content,) = chunks
            digest = f"sha256:{sha256(content).hexdigest()}"
            if _is_file_of(self._path(digest), size_bytes):
                return digest
            chunks = iter((content,))
        temporary = self._temporary()
        try:
            digest, size_bytes = _write(temporary, chunks)
            path = self._path(digest)
            if not _is_file_of(path, size_bytes):
                faults.hit("blob.put.before_rename")
                self._rename(temporary, path)
        except OSError as error:
            raise self._conditions.failed(PLACE, self._folder, error) from error
        finally:
            _remove(temporary)
        self._conditions.fine(PLACE, self._folder)
        faults.hit("blob.put.after_rename")
        return digest

    def _rename(self, temporary: str, path: str) -> None:
        shard = os.path.dirname(path)
        if not os.path.isdir(shard):
            os.makedirs(shard, mode=0o700, exist_ok=True)
            _fsync_folder(self._folder)
        os.replace(temporary, path)
        _fsync_folder(shard)

    def _get(self, digest: str) -> bytes:
        path = self._path(digest)
        try:
            with open(path, "rb") as file:
                content = file.read()
        except FileNotFoundError:
            raise BlobMissingError.of(digest) from None
        except OSError as error:
            raise self._conditions.failed(PLACE, path, error) from error
        if f"sha256:{sha256(content).hexdigest()}" != digest:
            raise self._put_aside(path, digest)
        return content

    def _put_aside(self, path: str, digest: str) -> BlobDamagedError:
        try:
            os.replace(path, path + DAMAGED)
        except OSError:
            where = path
        else:
            where = path + DAMAGED
        return BlobDamagedError(
            f"the content of {digest} is damaged",
            hint=f"the damaged file is {where}; put the content again, or restore a backup",
            details={"digest": digest, "path": where},
        )

    def _entries(self) -> Iterator[BlobEntry]:
        for shard in sorted(os.listdir(self._folder)):
            if not _SHARD.fullmatch(shard):
                continue
            with os.scandir(os.path.join(self._folder, shard)) as found:
                for entry in sorted(found, key=lambda entry: entry.name):
                    if _REST.fullmatch(entry.name):
                        state = entry.stat()
                        digest = f"sha256:{shard}{entry.name}"
                        yield BlobEntry(digest, state.st_size, state.st_mtime)


def _write(path: str, chunks: Iterator[bytes]) -> tuple[str, int]:
    """Write a new file and fsync it; return its digest and size."""
    hashed, size_bytes = sha256(), 0
    with open(path, "xb", buffering=0, opener=_private) as file:
        for chunk in chunks:
            hashed.update(chunk)
            view = memoryview(chunk)
            while view:
                written = file.write(view)
                view = view[written:]
                size_bytes += written
        os.fsync(file.fileno())
    return f"sha256:{hashed.hexdigest()}", size_bytes


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _is_file_of(path: str, size_bytes: int) -> bool:
    try:
        return os.stat(path).st_size == size_bytes
    except FileNotFoundError:
        return False


def _fsync_folder(path: str) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
