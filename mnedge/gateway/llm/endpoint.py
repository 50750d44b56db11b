"""The proxy as an ASGI application, which notices when its client goes away."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing

import msgspec
import trio

from mnedge.errors import MnedgeError
from mnedge.gateway.connection import Receive, Scope, Send, until_gone
from mnedge.gateway.llm.proxy import Answer, Asked, Proxy
from mnedge.gateway.llm.refusals import BodyTooLargeError, error_body, error_headers


class Endpoint:
    """Answers everything below `/v1/` and `/llm/`. `caller`: who a request is from, for limits.

    An answer that breaks off ends without its last chunk, so that nobody takes it for whole.
    """

    def __init__(self, proxy: Proxy, caller: Callable[[Scope], str]) -> None:
        self._proxy = proxy
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = str(scope["path"])
        if path == "/v1/models" and scope["method"] == "GET":
            models = {"object": "list", "data": self._proxy.models()}
            await _reply(send, 200, {}, msgspec.json.encode(models))
            return
        begun = _Begun(send)
        try:
            body = await self._body(scope, path, receive)
            asked = Asked(
                caller=self._caller(scope),
                method=str(scope["method"]),
                path=path,
                headers=_headers(scope),
                body=body,
            )
            async with trio.open_nursery() as nursery:
                nursery.start_soon(until_gone, receive, nursery.cancel_scope)
                async with self._proxy.answered(asked) as answer:
                    await begun.pass_on(answer)
                nursery.cancel_scope.cancel()
        except* MnedgeError as group:
            if begun.begun:
                raise
            error = _first(group)
            await _reply(
                send,
                error.http_status,
                error_headers(error),
                msgspec.json.encode(error_body(error)),
            )

    async def _body(self, scope: Scope, path: str, receive: Receive) -> bytes:
        """Return the whole body.

        Raises: BodyTooLargeError; RouteUnknownError before anything is read.
        """
        most = self._proxy.directory.most_body(path, str(scope["method"]))
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return bytes(body)
            body += message.get("body", b"")
            if len(body) > most:
                raise BodyTooLargeError(f"the request is larger than {most} bytes")
            if not message.get("more_body", False):
                return bytes(body)


class _Begun:
    """Knows whether an answer has begun, after which no other can be given."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def pass_on(self, answer: Answer) -> None:
        """Send an answer as it comes."""
        pieces: AsyncIterator[bytes] = answer.pieces
        head = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in answer.headers.items()
        ]
        self.begun = True
        await self._send({"type": "http.response.start", "status": answer.status, "headers": head})
        async with aclosing(pieces):  # type: ignore[type-var]
            async for piece in pieces:
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def _reply(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    every = {**headers, "content-type": "application/json", "content-length": str(len(body))}
    head = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in every.items()]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _headers(scope: Scope) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in scope.get("headers", ())
    }


def _first(group: BaseExceptionGroup[MnedgeError]) -> MnedgeError:
    """Return the first error in a group of groups."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
