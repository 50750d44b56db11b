"""What all blobs keep to. Subclass it in a test module that has a fixture `blobs`: empty ones."""

from hashlib import sha256
from pathlib import Path

import pytest
import trio

from mnedge.errors import NotFoundError, UsageError
from mnedge.ports import Blobs


def digest_of(content: bytes) -> str:
    """Return the digest that the content must get."""
    return f"sha256:{sha256(content).hexdigest()}"


class BlobsContract:
    """Tests of the Blobs port."""

    @pytest.mark.parametrize("content", [b"", b"text", bytes(range(256)) * 20_000])
    async def test_content_comes_back_under_its_hash(self, blobs: Blobs, content: bytes) -> None:
        digest = await blobs.put(content)
        assert digest == digest_of(content)
        assert await blobs.has(digest)
        assert await blobs.get(digest) == content

    async def test_putting_twice_is_putting_once(self, blobs: Blobs) -> None:
        assert await blobs.put(b"same") == await blobs.put(b"same")
        assert await blobs.get(digest_of(b"same")) == b"same"

    async def test_a_file_gets_the_hash_of_its_content(self, blobs: Blobs, tmp_path: Path) -> None:
        content = b"0123456789" * 300_000
        path = tmp_path / "large"
        path.write_bytes(content)
        assert await blobs.put_file(str(path)) == digest_of(content)
        assert await blobs.get(digest_of(content)) == content
        assert path.read_bytes() == content

    async def test_a_path_leads_to_the_content(self, blobs: Blobs) -> None:
        digest = await blobs.put(b"content")
        assert Path(await blobs.path(digest)).read_bytes() == b"content"

    async def test_what_is_not_here_is_not_found(self, blobs: Blobs) -> None:
        digest = digest_of(b"elsewhere")
        assert not await blobs.has(digest)
        with pytest.raises(NotFoundError):
            await blobs.get(digest)
        with pytest.raises(NotFoundError):
            await blobs.path(digest)

    @pytest.mark.parametrize(
        "digest",
        ["", "sha256:", "sha256:../../etc/passwd", "md5:" + "0" * 64, "sha256:" + "A" * 64],
    )
    async def test_what_is_no_digest_is_refused(self, blobs: Blobs, digest: str) -> None:
        with pytest.raises(UsageError):
            await blobs.get(digest)
        with pytest.raises(UsageError):
            await blobs.path(digest)
        with pytest.raises(UsageError):
            await blobs.has(digest)

    async def test_many_put_the_same_at_once(self, blobs: Blobs) -> None:
        content = b"x" * 100_000
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(blobs.put, content)
        assert await blobs.get(digest_of(content)) == content
