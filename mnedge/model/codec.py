"""Facts, specs and states as bytes: msgpack, with extension types for what stands inside bodies.

What was written by any release is read by every later one: codes and their contents never change
meaning.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import msgpack

from mnedge.errors import CorruptError
from mnedge.model.body import BlobRef, Gathered, WideInt, cleaned
from mnedge.model.facts import AnyFact
from mnedge.model.manifest import JobSpec

_BLOB = 1
_GATHERED = 2
_WIDE_INT = 3

T = TypeVar("T")


class RecordUnreadableError(CorruptError):
    """Stored bytes are no record of their kind; restore them from a backup or a peer."""

    code = "record.unreadable"


def extension_of(value: Any) -> Any:
    """Return how msgpack carries a value of our own inside a tree."""
    if type(value) is BlobRef:
        parts = [value.digest, value.size_bytes, value.encoding, value.values]
        return msgpack.Ext(_BLOB, _tree_encoder.encode(parts))
    if type(value) is Gathered:
        parts = [value.owner, value.count, value.size_bytes]
        return msgpack.Ext(_GATHERED, _tree_encoder.encode(parts))
    if isinstance(value, WideInt):
        return msgpack.Ext(_WIDE_INT, str(int(value)).encode())
    raise TypeError(f"no msgpack for {type(value).__name__}")


def value_of(code: int, content: memoryview) -> Any:
    """Return what an extension stands for. A `Gathered` still lacks its buffer."""
    if code == _BLOB:
        digest, size_bytes, encoding, values = _tree_decoder.decode(content)
        return BlobRef(digest, size_bytes, encoding=encoding, values=values)
    if code == _GATHERED:
        owner, count, size_bytes = _tree_decoder.decode(content)
        return Gathered([], count, owner=owner, size_bytes=size_bytes)
    if code == _WIDE_INT:
        return WideInt(bytes(content).decode())
    raise RecordUnreadableError(
        f"unknown extension {code} in a record", hint="it was written by a newer mnedge"
    )


_tree_encoder = msgpack.Encoder(enc_hook=extension_of)
_tree_decoder = msgpack.Decoder(ext_hook=value_of)


def _written_out(value: Any) -> Any:
    """Outside a state nothing knows the buffer that a `Gathered` looks at, so its items are
    written."""
    return value.items() if type(value) is Gathered else extension_of(value)


_encoder = msgpack.Encoder(enc_hook=_written_out)
_fact_decoder: msgpack.Decoder[Any] = msgpack.Decoder(AnyFact, ext_hook=value_of)
_spec_decoder = msgpack.Decoder(JobSpec, ext_hook=value_of)


def encode_fact(fact: AnyFact) -> bytes:
    """Return the fact's journal record. What msgpack cannot hold is cleaned (`sealed` tells how it
    reads back)."""
    return _encode(fact)


def decode_fact(record: bytes) -> AnyFact:
    """Return the fact of a journal record.

    Raises: RecordUnreadableError.
    """
    fact: AnyFact = decoded(_fact_decoder, record, "fact")
    return fact


def sealed(fact: AnyFact) -> tuple[AnyFact, bytes]:
    """Return the fact exactly as a replay will read it, and its record: apply the one, append the
    other."""
    record = _encode(fact)
    return decode_fact(record), record


def encode_spec(spec: JobSpec) -> bytes:
    """Return the record of a lowered manifest."""
    return _encode(spec)


def decode_spec(record: bytes) -> JobSpec:
    """Return the lowered manifest of a record.

    Raises: RecordUnreadableError.
    """
    return decoded(_spec_decoder, record, "spec")


def _encode(value: Any) -> bytes:
    try:
        return _encoder.encode(value)
    except (TypeError, OverflowError, UnicodeEncodeError, RecursionError):
        return _encoder.encode(cleaned(_builtins(value)))


def _builtins(value: Any) -> Any:
    """Return structs as dicts by their wire names, tags included; trees stay for `cleaned`."""
    if isinstance(value, msgspec.Struct):
        return _plain_struct(value)
    if isinstance(value, list):
        return [_builtins(item) if isinstance(item, msgspec.Struct) else item for item in value]
    return value


def _plain_struct(value: msgspec.Struct) -> Any:
    config = value.__struct_config__
    names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
    members = {wire: _builtins(getattr(value, field)) for field, wire in names}
    if config.array_like:
        return list(members.values())
    return {config.tag_field: config.tag, **members} if config.tag_field else members


def state_encoder(hook: Callable[[Any], Any]) -> "msgpack.Encoder":
    """Return an encoder for engine state; `hook` is asked first about types of its own (None: not
    mine)."""

    def encoded(value: Any) -> Any:
        own = hook(value)
        return extension_of(value) if own is None else own

    return msgpack.Encoder(enc_hook=encoded)


def state_decoder(
    kind: type[T], hook: Callable[[type, Any], Any], gathered: list[Gathered]
) -> "msgpack.Decoder[T]":
    """Return a decoder that puts every `Gathered` it meets into `gathered`: they lack their
    buffers."""

    def value(code: int, content: memoryview) -> Any:
        found = value_of(code, content)
        if type(found) is Gathered:
            gathered.append(found)
        return found

    return msgpack.Decoder(kind, ext_hook=value, dec_hook=hook)


def decoded(decoder: "msgpack.Decoder[T]", record: bytes, kind: str) -> T:
    """Return what the decoder reads.

    Raises: RecordUnreadableError, naming the `kind` of record it should be.
    """
    try:
        return decoder.decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordUnreadableError(
            f"this is no {kind}: {error}",
            hint="the stored bytes are damaged, or from a newer mnedge",
        ) from error
