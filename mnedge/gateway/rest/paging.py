"""Pages of lists that change meanwhile: a cursor names the last item, not how many came before."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from mnedge.gateway.rest.checking import Query, Wrong, refused

T = TypeVar("T")
Limit = Annotated[int, Meta(ge=1, le=500, description="How many at most.")]


class Paged(Query, frozen=True, kw_only=True):
    """A page of a list."""

    limit: Limit = 50
    cursor: Annotated[str, Meta(description="`next` of the page before.")] = ""


def cursor_of(*place: Any) -> str:
    """Return the text that stands for a place in a list."""
    return urlsafe_b64encode(msgspec.json.encode(place)).rstrip(b"=").decode()


def place_of(cursor: str, kind: type[T]) -> T:
    """Return the place that a cursor names.

    Raises: RequestInvalidError.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return msgspec.json.decode(urlsafe_b64decode(padded), type=kind)
    except (Base64Error, ValueError, msgspec.DecodeError):
        raise refused(
            [
                Wrong(
                    path="query.cursor",
                    message="is no cursor of this list",
                    hint="take `next` of the page before, or leave it out",
                )
            ]
        ) from None


def page_of(
    every: Sequence[T], query: Paged, place: Callable[[T], tuple[Any, ...]], kind: type[Any]
) -> tuple[list[T], str | None]:
    """Return a page of a sorted list, and the cursor of the next.

    `place`: what the list is sorted by, greatest first, and what no two items share.
    """
    rest = list(every)
    if query.cursor:
        after = tuple(place_of(query.cursor, kind))
        rest = [one for one in rest if place(one) < after]
    found = rest[: query.limit]
    more = len(rest) > len(found)
    return found, cursor_of(*place(found[-1])) if more else None
