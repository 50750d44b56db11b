from typing import Annotated

import pytest
from msgspec import Meta, field

from mnedge.gateway.rest.checking import (
    Body,
    BodyUnreadableError,
    Query,
    RequestInvalidError,
    body_of,
    query_of,
    tree_of,
)


class Asked(Query, frozen=True, kw_only=True):
    name: str
    limit: Annotated[int, Meta(ge=1, le=9)] = 5
    status: tuple[str, ...] = ()
    folded: bool = True


class Inner(Body, frozen=True, kw_only=True):
    depth: int


class Outer(Body, frozen=True, kw_only=True):
    name: str
    inner: Inner | None = None
    more: dict[str, int] = field(default_factory=dict)


def wrong(error: pytest.ExceptionInfo[RequestInvalidError]) -> dict[str, tuple[str, str]]:
    problems = error.value.details["problems"]
    return {one["path"]: (one["message"], one["hint"]) for one in problems}


def test_a_query_becomes_values_of_its_types():
    asked = query_of(Asked, "name=a%20b&limit=3&status=x,y&status=z&folded=false")
    assert asked == Asked(name="a b", limit=3, status=("x", "y", "z"), folded=False)
    assert query_of(Asked, "name=a") == Asked(name="a")


def test_everything_wrong_with_a_query_is_told_at_once_with_the_nearest_name():
    with pytest.raises(RequestInvalidError) as error:
        query_of(Asked, "limt=3&limit=99&folded=1&folded=0&zzz=1")
    assert wrong(error) == {
        "query.limt": ("is not known here", "did you mean limit?"),
        "query.zzz": ("is not known here", "known: folded, limit, name, status"),
        "query.limit": ("expected `int` <= 9", ""),
        "query.folded": ("stands there more than once", ""),
        "query.name": ("is missing", ""),
    }


def test_everything_wrong_with_a_body_is_told_at_once_however_deep():
    with pytest.raises(RequestInvalidError) as error:
        body_of(Outer, b'{"nam":1,"inner":{"deep":1,"depth":"x"},"more":{"a":"b"}}')
    assert wrong(error) == {
        "body.nam": ("is not known here", "did you mean name?"),
        "body.inner.deep": ("is not known here", "did you mean depth?"),
        "body.inner.depth": ("expected `int`, got `str`", ""),
        "body.more[...]": ("expected `int`, got `str`", ""),
        "body.name": ("is missing", ""),
    }
    assert body_of(Outer, b'{"name":"x","inner":null}') == Outer(name="x")


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b'{"a":1}x'])
def test_what_is_no_json_is_refused(content):
    with pytest.raises(BodyUnreadableError):
        tree_of(content)


@pytest.mark.parametrize("text", ["name=%ff", "&".join("a=1" for _ in range(2000))])
def test_a_query_that_cannot_be_read_is_refused(text):
    with pytest.raises(RequestInvalidError):
        query_of(Asked, text)
