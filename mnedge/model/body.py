"""Bodies: any JSON value, in which a large part may be a reference to a blob.

A body is a tree of dicts, lists and scalars (bytes too, for octet streams). `BlobRef` may stand
anywhere in it for a value whose JSON is too large to live in a job's state; `Gathered` stands for
the first `count` items of an append-only buffer of an aggregator, so that firing a hundred
thousand times does not copy the buffer a hundred thousand times. Trees are shared between
messages, so nobody changes one: whoever needs another makes a new one.
"""

import math
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from mnedge.errors import UsageError

INLINE_LIMIT_BYTES = 64 * 1024
"""A body whose JSON is larger than this lives in the blob store."""
LEVELS = 100
"""Deeper trees are cut: every encoder has its bound, and a job must not meet it later."""
CUT = "[nested too deeply]"
STAGED = "mn.staged_artifact/v1"

_JSON_LINES = frozenset({"application/x-ndjson", "application/jsonl", "application/ndjson"})
_OCTETS = "application/octet-stream"


class BlobRef:
    """A value kept in the blob store; equal if the content is.

    `values` holds what the compiled job can ask for: dotted path → the value found there.
    Deliberately not a `Struct`: the msgpack codec turns it into an extension type, wherever in a
    tree it stands.
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


class Gathered:
    """The first `count` items of a buffer that only grows, without a copy of them."""

    __slots__ = ("buffer", "count", "owner", "size_bytes")

    def __init__(self, buffer: list[Any], count: int, *, owner: int, size_bytes: int = 0) -> None:
        self.buffer = buffer
        self.count = count
        self.owner = owner
        """Index of the aggregator whose buffer it is."""
        self.size_bytes = size_bytes
        """What it would weigh written out."""

    def items(self) -> list[Any]:
        """Return the items as a list of their own."""
        return self.buffer[: self.count]

    def __len__(self) -> int:
        return self.count

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Gathered) and self.items() == other.items()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Gathered({self.count} of agent {self.owner})"


class WideInt(int):
    """An integer beyond 64 bits, which JSON may hold and msgpack may not."""

    __slots__ = ()


class EncodingUnsupportedError(UsageError):
    """A `content_encoding` is neither `identity` nor `gzip`, or is not what it says."""

    code = "message.encoding_unsupported"


def cleaned(value: Any, levels: int = LEVELS) -> Any:
    """Return the value as a plain JSON tree that every encoder takes.

    Keys become strings, lone surrogates U+FFFD, what JSON does not know becomes text,
    not-a-number null, and what lies deeper than `levels` a marker. References stay.
    """
    kind = type(value)
    if kind is str:
        return _text(value)
    if value is None or kind is bool:
        return value
    if isinstance(value, int):
        return int(value) if -(1 << 63) <= value < 1 << 64 else WideInt(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if kind is BlobRef or kind is Gathered or kind is bytes:
        return value
    return _cleaned_rest(value, levels)


def _cleaned_rest(value: Any, levels: int) -> Any:
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        if levels <= 0:
            return CUT
        if isinstance(value, Mapping):
            return {_key(key): cleaned(item, levels - 1) for key, item in value.items()}
        return [cleaned(item, levels - 1) for item in value]
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    return _text(str(value))


def _text(value: str) -> str:
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def _key(key: Any) -> str:
    if isinstance(key, str):
        return _text(str(key))
    if key is None:
        return "null"
    if isinstance(key, bool):
        return "true" if key else "false"
    return _text(str(key))


def weight_of(value: Any) -> int:
    """Return about how many bytes the value takes in a snapshot (a `Gathered`: few)."""
    kind = type(value)
    if kind is str:
        return len(value) + 5 if value.isascii() else len(value.encode()) + 5
    if kind is dict:
        total = 5
        for key, item in value.items():
            total += (len(key) + 2 if type(key) is str else 9) + weight_of(item)
        return total
    if kind is list:
        return 5 + sum(map(weight_of, value))
    if kind is bytes:
        return len(value) + 5
    if kind is BlobRef:
        return 120 + weight_of(value.values)
    return 9


def value_at(tree: Any, path: tuple[str, ...]) -> Any:
    """Return what stands at a path of keys and list positions; a miss is None.

    Below a `BlobRef` only what its maker kept in `values` is found.
    """
    for position, segment in enumerate(path):
        kind = type(tree)
        if kind is dict:
            tree = tree.get(segment)
        elif kind is BlobRef:
            return tree.values.get(".".join(path[position:]))
        elif kind is list or kind is Gathered:
            if not (segment.isascii() and segment.isdigit()) or int(segment) >= len(tree):
                return None
            tree = tree[int(segment)] if kind is list else tree.buffer[int(segment)]
        else:
            return None
    return tree


def values_at(tree: Any, paths: Iterable[str]) -> dict[str, Any]:
    """Return path → value where a dotted path leads to one: the `values` of a new `BlobRef`."""
    found = ((path, value_at(tree, tuple(path.split(".")))) for path in paths)
    return {path: value for path, value in found if value is not None}


def refs_in(tree: Any) -> list[BlobRef]:
    """Return every reference in the tree, each digest once, in the order of their places."""
    found: dict[str, BlobRef] = {}
    seen: dict[int, int] = {}
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        kind = type(value)
        if kind is BlobRef:
            found.setdefault(value.digest, value)
        elif kind is dict:
            waiting.extend(reversed(value.values()))
        elif kind is list:
            waiting.extend(reversed(value))
        elif kind is Gathered:
            known = seen.get(id(value.buffer), 0)  # a longer view holds all that a shorter one does
            seen[id(value.buffer)] = max(known, value.count)
            waiting.extend(reversed(value.buffer[known : value.count]))
    return list(found.values())


def filled(tree: Any, loaded: Mapping[str, bytes], *, most_items: int | None = None) -> Any:
    """Return the tree as plain JSON values, with what `loaded` has for each digest.

    A reference that is not loaded is described as a staged artifact. `most_items` cuts a
    `Gathered`; `shown` bounds the whole.
    """

    def plain(value: Any) -> Any:
        kind = type(value)
        if kind is dict:
            return {key: plain(item) for key, item in value.items()}
        if kind is list:
            return [plain(item) for item in value]
        if kind is BlobRef:
            content = loaded.get(value.digest)
            return staged(value) if content is None else _loaded(value, content)
        if kind is Gathered:
            items = value.items()
            if most_items is None or len(items) <= most_items:
                return [plain(item) for item in items]
            cut = {"truncated": True, "items": len(items) - most_items}
            return [*(plain(item) for item in items[:most_items]), cut]
        return value

    return plain(tree)


def shown(tree: Any, *, most_items: int = 1000, most_values: int = 20_000) -> Any:
    """Return the tree as plain JSON values for a reader: references described, long views cut.

    Of a `Gathered` at most `most_items` are shown; after `most_values` values in all, the objects
    and lists that remain are left out. What is cut says so.
    """
    left = most_values

    def plain(value: Any) -> Any:
        nonlocal left
        left -= 1
        kind = type(value)
        if kind is BlobRef:
            return staged(value)
        if kind is not dict and kind is not list and kind is not Gathered:
            return value
        if left <= 0:
            return {"truncated": True, "items": len(value)}
        if kind is dict:
            return {key: plain(item) for key, item in value.items()}
        items = value.buffer[: min(value.count, most_items)] if kind is Gathered else value
        seen = [plain(item) for item in items]
        if len(seen) < len(value):
            seen.append({"truncated": True, "items": len(value) - len(seen)})
        return seen

    return plain(tree)


def _loaded(ref: BlobRef, content: bytes) -> Any:
    match ref.encoding:
        case "text":
            return content.decode("utf-8", "replace")
        case "bytes":
            return content
        case _:
            return msgspec.json.decode(content)


def staged(ref: BlobRef) -> dict[str, Any]:
    """Return the reference as the product's own files name one.

    Source: bundle format 3.1.
    """
    kinds = {"text": "text/plain", "bytes": _OCTETS}
    return {
        "schema_version": STAGED,
        "kind": "blob",
        "sha256": ref.digest.removeprefix("sha256:"),
        "size_bytes": ref.size_bytes,
        "content_type": kinds.get(ref.encoding, "application/json"),
    }


def _as_json(value: Any) -> Any:
    if isinstance(value, WideInt):
        return int(value)
    if isinstance(value, BlobRef | Gathered):
        return filled(value, {})
    raise TypeError(f"no JSON for {type(value).__name__}")


json_bytes: Callable[[Any], bytes] = msgspec.json.Encoder(enc_hook=_as_json).encode
"""Return the compact JSON of a tree; bytes become base64, references a description."""


def body_bytes(content_type: str, content_encoding: str, body: Any) -> bytes:
    """Return the bytes that a worker finds in its body file; the same input gives the same bytes.

    Raises: EncodingUnsupportedError.
    Source: worker contract 1.3.
    """
    if content_encoding not in ("identity", "gzip"):
        raise EncodingUnsupportedError(
            f"unsupported content_encoding {content_encoding!r}",
            hint="send the message with content_encoding identity or gzip",
        )
    content = _content(content_type, body)
    if content_encoding == "identity":
        return content
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)  # a gzip header without a time in it
    return packer.compress(content) + packer.flush()


def _content(content_type: str, body: Any) -> bytes:
    if content_type in _JSON_LINES:
        if isinstance(body, str):
            return body.encode()
        if isinstance(body, list):
            return b"\n".join(map(json_bytes, body)) + b"\n"
        return json_bytes(body) + b"\n"
    if content_type == _OCTETS and isinstance(body, str | bytes):
        return body if isinstance(body, bytes) else body.encode()
    return json_bytes(body)


def body_of(content_type: str, content_encoding: str, content: bytes) -> Any:
    """Return the body that such bytes stand for: JSON parsed, lines as text, octets as they are.

    JSON that does not parse is kept as text, text that is no UTF-8 as bytes.
    Raises: EncodingUnsupportedError, also if the bytes are no gzip.
    """
    if content_encoding == "gzip":
        try:
            content = zlib.decompress(content, 31)
        except zlib.error as error:
            raise EncodingUnsupportedError(
                f"unsupported content_encoding: the body is no gzip ({error})",
                hint="compress the body, or send it with content_encoding identity",
            ) from error
    elif content_encoding != "identity":
        raise EncodingUnsupportedError(
            f"unsupported content_encoding {content_encoding!r}",
            hint="send the message with content_encoding identity or gzip",
        )
    if content_type == _OCTETS:
        return content
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content
    if content_type in _JSON_LINES:
        return text
    try:
        return cleaned(msgspec.json.decode(content))
    except msgspec.DecodeError:
        return text
    except RecursionError:
        return text
