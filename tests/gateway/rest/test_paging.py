import pytest

from mnedge.gateway.rest.checking import RequestInvalidError
from mnedge.gateway.rest.paging import Paged, cursor_of, page_of, place_of


def pages(every: list[tuple[int, str]], limit: int) -> list[tuple[int, str]]:
    seen, cursor = [], ""
    while cursor is not None:
        query = Paged(limit=limit, cursor=cursor)
        found, cursor = page_of(every, query, lambda one: one, tuple[int, str])
        seen += found
    return seen


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 9])
def test_pages_together_are_the_list(limit):
    every = [(3, "b"), (3, "a"), (2, "z"), (1, "c"), (0, "x")]
    assert pages(every, limit) == every


def test_what_comes_or_goes_meanwhile_moves_nothing():
    query = Paged(limit=2)
    every = [(5, "e"), (4, "d"), (3, "c"), (2, "b")]
    _, cursor = page_of(every, query, lambda one: one, tuple[int, str])
    changed = [(9, "new"), (5, "e"), (3, "c"), (2, "b")]
    rest, _ = page_of(
        changed, Paged(limit=2, cursor=cursor or ""), lambda one: one, tuple[int, str]
    )
    assert rest == [(3, "c"), (2, "b")]


@pytest.mark.parametrize("cursor", ["x", "!!", cursor_of("a"), cursor_of(1, 2, 3), "ä"])
def test_a_cursor_of_something_else_is_refused(cursor):
    with pytest.raises(RequestInvalidError):
        place_of(cursor, tuple[int, str])
