"""Who really asks: believed from trusted proxies, from nobody else."""

import pytest

from mnedge.gateway.auth import address_of
from mnedge.gateway.connection import Connection, state_of
from mnedge.gateway.proxies import Forwarded


async def asked(peer, headers, trusted=("10.0.0.0/8", "nonsense")):
    seen = {}

    async def app(scope, receive, send):
        seen.update(scope)

    scope = {
        "type": "http",
        "scheme": "http",
        "headers": headers,
        "state": state_of(Connection(listener="http", address=peer)),
    }
    await Forwarded(app, trusted)(scope, None, None)
    return address_of(seen), seen["scheme"]


XFF = b"x-forwarded-for"


@pytest.mark.parametrize(
    "peer, told, found",
    [
        ("10.1.1.1", [b"203.0.113.9"], "203.0.113.9"),
        ("10.1.1.1", [b"6.6.6.6, 203.0.113.9"], "203.0.113.9"),
        ("10.1.1.1", [b"6.6.6.6, 203.0.113.9, 10.2.2.2"], "203.0.113.9"),
        ("10.1.1.1", [b"203.0.113.9", b"10.2.2.2"], "203.0.113.9"),
        ("10.1.1.1", [b"rubbish"], "10.1.1.1"),
        ("10.1.1.1", [], "10.1.1.1"),
        ("203.0.113.5", [b"6.6.6.6"], "203.0.113.5"),
    ],
)
async def test_the_last_address_that_no_trusted_proxy_vouches_for_counts(peer, told, found):
    address, _ = await asked(peer, [(XFF, value) for value in told])
    assert address == found


async def test_only_a_trusted_proxy_says_that_it_was_https():
    said = [(b"x-forwarded-proto", b"https")]
    assert (await asked("10.1.1.1", said))[1] == "https"
    assert (await asked("203.0.113.5", said))[1] == "http"
    assert (await asked("10.1.1.1", said, trusted=()))[1] == "http"
    assert (await asked("10.1.1.1", [(b"x-forwarded-proto", b"gopher")]))[1] == "http"
