"""What a request says, made into the types that routes work with; everything wrong is told at once.

Nothing is guessed: a name that is not known is refused, with the nearest that is.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from mnedge.errors import UsageError

T = TypeVar("T")

ALL_S = 512
"""Query members that are looked at."""


class Wrong(Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a request; stands in `errors` of the problem document."""

    path: str
    message: str
    hint: str = ""
    rule: str = ""


class RequestInvalidError(UsageError):
    """The request is not what this route takes; `errors` lists all that is wrong."""

    code = "request.invalid"
    http_status = 422


class BodyUnreadableError(UsageError):
    """The body cannot be read as what its type says."""

    code = "request.unreadable"


class MediaTypeError(UsageError):
    """The body is of a type that this route does not take."""

    code = "request.media_type"
    http_status = 415


def refused(wrong: Sequence[Wrong]) -> RequestInvalidError:
    """Return the error that lists all this."""
    first = wrong[0]
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return RequestInvalidError(
        f"{first.path}: {first.message}{more}" if first.path else f"{first.message}{more}",
        hint=first.hint,
        details={"problems": [msgspec.to_builtins(one) for one in wrong]},
    )


def query_of(kind: type[T], text: str) -> T:
    """Return the query of a URL as a struct; a member that is a tuple may stand there repeatedly,
    or once with commas.

    Raises: RequestInvalidError.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}  # type: ignore[arg-type]
    given: dict[str, list[str]] = {}
    wrong: list[Wrong] = []
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=ALL_S, errors="strict")
    except (ValueError, UnicodeDecodeError):
        raise refused([Wrong(path="query", message="cannot be read")]) from None
    for name, value in pairs:
        if name in fields:
            given.setdefault(name, []).append(value)
        else:
            wrong.append(_unknown(f"query.{name[:80]}", name, fields))
    found: dict[str, Any] = {}
    for name, values in given.items():
        many = _is_tuple(fields[name].type)
        if not many and len(values) > 1:
            wrong.append(Wrong(path=f"query.{name}", message="stands there more than once"))
            continue
        told = [one for each in values for one in each.split(",")] if many else values[0]
        try:
            found[fields[name].name] = msgspec.convert(told, fields[name].type, strict=False)
        except msgspec.ValidationError as error:
            wrong.append(_of(f"query.{name}", error))
    wrong += [
        Wrong(path=f"query.{name}", message="is missing")
        for name, field in fields.items()
        if field.required and name not in given
    ]
    if wrong:
        raise refused(wrong)
    return kind(**found)


def _is_tuple(kind: Any) -> bool:
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    return get_origin(bare) is tuple


def body_of(kind: Any, content: bytes) -> Any:
    """Return a JSON body as this type; an empty one is an empty object.

    Raises: BodyUnreadableError, RequestInvalidError.
    """
    tree = tree_of(content) if content else {}
    return fitted(kind, tree)


def tree_of(content: bytes) -> Any:
    """Return the JSON value that a body holds.

    Raises: BodyUnreadableError.
    """
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BodyUnreadableError(
            f"the body is not JSON: {error}", hint="send one JSON value, in UTF-8"
        ) from error


def fitted(kind: Any, tree: Any, path: str = "body") -> Any:
    """Return the value as this type.

    Raises: RequestInvalidError with everything that does not fit.
    """
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        wrong = list(_wrongs(kind, tree, path)) or [_of(path, error)]
        raise refused(wrong) from None


def _wrongs(kind: Any, tree: Any, path: str) -> Iterator[Wrong]:
    """Yield what does not fit, member by member as far as the type is made of structs."""
    struct = _struct_in(kind)
    if struct is None or not isinstance(tree, dict):
        try:
            msgspec.convert(tree, kind)
        except msgspec.ValidationError as error:
            yield _of(path, error)
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    for name, value in tree.items():
        if name in fields:
            yield from _wrongs(fields[name].type, value, f"{path}.{name}")
        elif struct.__struct_config__.forbid_unknown_fields:
            yield _unknown(f"{path}.{str(name)[:80]}", str(name), fields)
    for name, field in fields.items():
        if field.required and name not in tree:
            yield Wrong(path=f"{path}.{name}", message="is missing")


def _struct_in(kind: Any) -> type[Struct] | None:
    """Return the struct that the type is, or the only one that it may be."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return kind
    if get_origin(kind) in (Union, UnionType):
        structs = [one for one in get_args(kind) if _struct_in(one) is not None]
        return _struct_in(structs[0]) if len(structs) == 1 else None
    return None


def _of(path: str, error: msgspec.ValidationError) -> Wrong:
    """Return what msgspec says, with the place as we write it."""
    message, _, place = str(error).partition(" - at `$")
    return Wrong(path=path + place.rstrip("`"), message=message[:1].lower() + message[1:])


def _unknown(path: str, name: str, known: Mapping[str, Any]) -> Wrong:
    near = get_close_matches(name, known, n=1, cutoff=0.55)
    listed = ", ".join(sorted(known))
    return Wrong(
        path=path,
        message="is not known here",
        hint=f"did you mean {near[0]}?"
        if near
        else f"known: {listed}"
        if known
        else "leave it out",
    )


class Query(Struct, frozen=True, kw_only=True):
    """Query parameters of a route; none of its own."""


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Members that a body may have; none of its own."""
