"""The blobs suite notices blobs that break their word."""

import pytest

from mnedge.store.memory import MemoryBlobs, MemoryStore
from mnedge.testing.blobs_contract import BlobsContract, digest_of

SUITE = BlobsContract()


class Renaming(MemoryBlobs):
    """Names all content alike."""

    async def put(self, content):
        digest = digest_of(b"")
        self._contents.blobs[digest] = content
        return digest


class Inventive(MemoryBlobs):
    """Finds what is not there."""

    async def get(self, digest):
        return self._contents.blobs.get(digest, b"")


class Careless(MemoryBlobs):
    """Looks for any name."""

    async def has(self, digest):
        return digest in self._contents.blobs


@pytest.mark.parametrize(
    "kind,test,arguments",
    [
        (Renaming, SUITE.test_content_comes_back_under_its_hash, [b"x"]),
        (Inventive, SUITE.test_what_is_not_here_is_not_found, []),
        (Careless, SUITE.test_what_is_no_digest_is_refused, ["sha256:../x"]),
    ],
)
async def test_broken_blobs_are_caught(notices, kind, test, arguments):
    await test(MemoryStore().blobs, *arguments)
    broken = MemoryStore().blobs
    broken.__class__ = kind
    assert await notices(test, broken, *arguments)
