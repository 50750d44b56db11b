"""What a request's scope says of its connection."""

import trio

from mnedge.gateway.connection import (
    UNKNOWN,
    Connection,
    connected,
    connection_of,
    header,
    is_grpc,
    state_of,
    until_gone,
)


async def test_an_application_is_asked_as_if_by_a_connection():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    given = {"type": "http", "state": {"kept": 1}}
    unix = Connection(listener="unix", uid=7)
    await connected(app, unix)(given, None, None)
    assert connection_of(seen[0]) == unix
    assert seen[0]["state"]["kept"] == 1
    assert connection_of(given) is UNKNOWN


def test_nothing_known_is_not_local():
    assert not UNKNOWN.local
    assert Connection(listener="unix").local
    assert connection_of({"state": state_of(UNKNOWN)}) is UNKNOWN


def test_headers_are_found_and_calls_recognised():
    scope = {"headers": [(b"content-type", b"application/grpc+proto"), (b"a", b"1"), (b"a", b"2")]}
    assert header(scope, b"a") == b"1"
    assert header(scope, b"b") is None
    assert is_grpc(scope)
    assert not is_grpc({"headers": []})


async def test_a_client_that_goes_ends_the_scope_whatever_it_sends_before():
    told = iter([{"type": "http.request", "body": b"x"}, {"type": "http.disconnect"}])

    async def receive():
        return next(told)

    with trio.CancelScope() as scope:
        await until_gone(receive, scope)
    assert scope.cancel_called
    assert list(told) == []
