"""What makes two patches one: their canonical content."""

from hashlib import sha256
from typing import Any

import msgspec

from mnedge.model.body import json_bytes


def canonical(value: Any) -> bytes:
    """Return the JSON of a value with its keys sorted and no blanks."""
    plain = msgspec.json.decode(json_bytes(value))
    return msgspec.json.encode(plain, order="sorted")


def digest(region_id: str, operations: list[Any]) -> str:
    """Return the digest of what a patch does.

    The revision that it was based on is left out: a worker that a crash has started again is told
    the revision that its own patch brought about.
    """
    content = canonical({"operations": operations, "region_id": region_id})
    return f"sha256:{sha256(content).hexdigest()}"
