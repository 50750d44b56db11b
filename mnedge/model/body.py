"""Bodies: any JSON value, in which a large part may be a reference to a blob.

A body is a tree of dicts, lists and scalars (bytes too, for octet streams). `BlobRef` may stand anywhere in it for a value
whose JSON is too large to live in a job's state; `Gathered` stands for the first `count` items of an append-only buffer of
an aggregator, so that firing a hundred thousand times does not copy the buffer a hundred thousand times.
"""

from typing import Any

INLINE_LIMIT_BYTES = 64 * 1024
"""A body whose JSON is larger than this lives in the blob store."""


class BlobRef:
    """A value kept in the blob store; equal if the content is.

    `values` holds what the compiled job can ask for: dotted path → the value found there.
    Deliberately not a `Struct`: the msgpack codec turns it into an extension type, wherever in a tree it stands.
    """

    __slots__ = ("digest", "encoding", "size_bytes", "values")

    def __init__(
        self,
        digest: str,
        size_bytes: int,
        *,
        encoding: str = "json",
        values: dict[str, Any] | None = None,
    ) -> None:
        self.digest = digest
        self.size_bytes = size_bytes
        self.encoding = encoding
        """`json`: the blob is the JSON of the value; `text`: UTF-8 of a string; `bytes`: raw."""
        self.values: dict[str, Any] = values or {}

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, BlobRef)
            and self.digest == other.digest
            and self.encoding == other.encoding
        )

    def __hash__(self) -> int:
        return hash((self.digest, self.encoding))

    def __repr__(self) -> str:
        return f"BlobRef({self.digest!r}, {self.size_bytes})"
