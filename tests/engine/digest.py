"""What a job did, as one hash that survives new fields with defaults."""

from collections import deque
from hashlib import sha256
from typing import Any

import msgspec

from mnedge.model.body import BlobRef, Gathered


def digest(value: Any) -> str:
    return sha256(repr(plain(value)).encode()).hexdigest()


def plain(value: Any) -> Any:
    """Return the value as tuples, structs by name without members that have their default."""
    if isinstance(value, msgspec.Struct):
        return (type(value).__name__, *members(value))
    if isinstance(value, dict):
        return ("dict", *((key, plain(item)) for key, item in value.items()))
    if isinstance(value, list | tuple | deque):
        return ("list", *map(plain, value))
    if isinstance(value, BlobRef):
        return ("blob", value.digest, value.size_bytes, value.encoding, plain(value.values))
    if isinstance(value, Gathered):
        return ("gathered", value.owner, value.count, value.size_bytes)
    if isinstance(value, str):
        return str(value)
    return value


def members(value: msgspec.Struct) -> list[tuple[str, Any]]:
    found = []
    for field in msgspec.structs.fields(value):
        item = getattr(value, field.name)
        if field.default is not msgspec.NODEFAULT:
            default = field.default
        elif field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        else:
            default = msgspec.NODEFAULT
        if default is msgspec.NODEFAULT or item != default:
            found.append((field.name, plain(item)))
    return found
