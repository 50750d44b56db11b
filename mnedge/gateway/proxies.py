"""Who really asks when a trusted proxy stands in front."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from mnedge.gateway.connection import App, Receive, Scope, Send, connection_of

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Forwarded:
    """Believes `X-Forwarded-For` and `X-Forwarded-Proto` from trusted proxies, and nobody else."""

    def __init__(self, app: App, trusted: Sequence[str]) -> None:
        self._app = app
        self._trusted = tuple(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note who asks, and go on."""
        if scope["type"] == "http" and self._trusted:
            networks = _networks(self._trusted)
            if _within(connection_of(scope).address, networks):
                _believe(scope, networks)
        await self._app(scope, receive, send)


def _believe(scope: Scope, networks: tuple[Network, ...]) -> None:
    chain = [
        one.strip()
        for name, value in scope["headers"]
        if name == b"x-forwarded-for"
        for one in bytes(value).decode("latin-1").split(",")
    ]
    for address in reversed(chain):  # the last that no trusted proxy vouches for is the client
        if not _is_address(address):
            break
        scope["state"]["client_address"] = address
        if not _within(address, networks):
            break
    schemes = [bytes(v).lower() for name, v in scope["headers"] if name == b"x-forwarded-proto"]
    if schemes in ([b"https"], [b"http"]):
        scope["scheme"] = schemes[0].decode()


@lru_cache(maxsize=8)
def _networks(trusted: tuple[str, ...]) -> tuple[Network, ...]:
    found: list[Network] = []
    for text in trusted:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            continue  # `mnedge config check` names it
    return tuple(found)


def _within(address: str, networks: tuple[Network, ...]) -> bool:
    if not _is_address(address):
        return False
    one = ipaddress.ip_address(address)
    return any(one.version == network.version and one in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
