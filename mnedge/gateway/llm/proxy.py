"""Takes a request for a model, asks the upstream that serves it, and passes its answer on."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import trio
from msgspec import Struct

from mnedge.config.settings import Adapter, SecretRef
from mnedge.gateway.llm import events, mock
from mnedge.gateway.llm.accounts import Accounts
from mnedge.gateway.llm.capacity import Capacity
from mnedge.gateway.llm.directory import Directory, Found
from mnedge.gateway.llm.refusals import (
    ModelUnknownError,
    RequestInvalidError,
    UpstreamOpenError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
    error_body,
)
from mnedge.gateway.llm.upstream import CONNECT_S, Upstream
from mnedge.gateway.llm.usage import Usage, estimated, told
from mnedge.part import Part
from mnedge.ports import Clock

if TYPE_CHECKING:
    import httpx

FAKE_SWITCHES = ("MN_BLUEPRINT_FAKE_LLM", "OTTERDESK_FAKE_LLM", "MN_USE_FAKE_LLM")
FAKE_MODES = (
    "MN_BLUEPRINT_LLM_MODE",
    "MN_LLM_MODE",
    "MN_LLM_PROVIDER",
    "MN_BLUEPRINT_LLM_PROVIDER",
)
FAKE_WORDS = frozenset({"fake", "mock", "stub", "deterministic"})
MOST_ANSWER_BYTES = 64 << 20
STREAM_S = 600.0
"""The longest stream."""
SHOWN_HEADERS = ("content-type", "retry-after", "x-request-id", "openai-processing-ms")
BREAKS = (UpstreamUnavailableError, UpstreamTimeoutError, UpstreamOpenError)
"""Errors after which a fallback is asked."""


class Asked(Struct, frozen=True, kw_only=True):
    """A request as it came; `path` and `method` as HTTP has them."""

    caller: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Answer(Struct, frozen=True, kw_only=True):
    """An answer that has begun; `pieces` ends with the answer, and raises if it was cut."""

    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]


class Observer(Struct, frozen=True, kw_only=True):
    """Who is told: figures and records, as plain functions."""

    tokens: Callable[[str, str, str, int], None] = lambda _adapter, _model, _kind, _n: None
    answered: Callable[[str, float], None] = lambda _adapter, _seconds: None
    first_byte: Callable[[str, float], None] = lambda _adapter, _seconds: None
    opened: Callable[[str], None] = lambda _adapter: None


class Proxy(Part):
    """All adapters of the configuration, while it runs.

    `environ`: the fake-mode variables of bundle format 7.20 make every adapter a mock.
    Raises: AdaptersInvalidError.
    """

    def __init__(
        self,
        adapters: Sequence[Adapter],
        accounts: Accounts,
        *,
        secret: Callable[[SecretRef], str],
        now: Clock,
        environ: Mapping[str, str],
        observer: Observer | None = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        self.accounts = accounts
        self._secret = secret
        self._now = now
        self._mocked = is_fake(environ)
        self._observer = observer or Observer()
        self._transport = transport
        self._upstreams: dict[str, Upstream] = {}
        self._client: httpx.AsyncClient | None = None
        self.configure(adapters)

    def configure(self, adapters: Sequence[Adapter]) -> None:
        """Serve these adapters from now on; requests under way end as they began.

        Raises: AdaptersInvalidError; then nothing has changed.
        """
        self.directory = Directory(adapters)
        self._capacities = {one.name: Capacity(one.name, one.limits) for one in adapters}
        self._upstreams.clear()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep connections while it runs."""
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            if self._client is not None:
                with trio.move_on_after(1, shield=True):
                    await self._client.aclose()

    def models(self) -> list[dict[str, Any]]:
        """Return the models that callers may name, as OpenAI lists them."""
        return [
            {"id": model, "object": "model", "created": 0, "owned_by": adapter.name}
            for adapter in self.directory.adapters.values()
            for model in (adapter.models or ([mock.MODEL] if self._is_mock(adapter) else []))
        ]

    def states(self) -> list[dict[str, Any]]:
        """Return what is to know of each adapter, without any secret."""
        now = trio.current_time()
        return [
            {
                "name": adapter.name,
                "base_url": adapter.base_url,
                "mock": self._is_mock(adapter),
                "models": adapter.models,
                "fallback": list(adapter.fallback),
                "busy": self._capacities[adapter.name].busy,
                "state": self._upstreams[adapter.name].breaker.state(now)
                if adapter.name in self._upstreams
                else "closed",
            }
            for adapter in self.directory.adapters.values()
        ]

    @asynccontextmanager
    async def answered(self, asked: Asked) -> AsyncIterator[Answer]:
        """Have the answer to a request begun.

        Raises: the errors of `refusals`, while nothing has been answered.
        """
        request = _object(asked.body) if asked.body else {}
        found = self.directory.find(asked.path, _model_of(request))
        async with (
            self._capacities[found.adapter.name].place(asked.caller),
            self._from_anybody(asked, request, found) as answer,
        ):
            yield answer

    # ---- one answer ----

    @asynccontextmanager
    async def _from_anybody(
        self, asked: Asked, request: Mapping[str, Any], found: Found
    ) -> AsyncIterator[Answer]:
        candidates = [found, *self.directory.others(found)]
        for number, candidate in enumerate(candidates):
            begun = False
            try:
                async with self._from(asked, request, candidate) as answer:
                    begun = True
                    yield answer
                    return
            except BREAKS:
                if begun or number == len(candidates) - 1:
                    raise

    def _from(
        self, asked: Asked, request: Mapping[str, Any], found: Found
    ) -> AbstractAsyncContextManager[Answer]:
        if self._is_mock(found.adapter):
            return self._mock(asked, request, found)
        return self._real(asked, request, found)

    @asynccontextmanager
    async def _mock(
        self, asked: Asked, request: Mapping[str, Any], found: Found
    ) -> AsyncIterator[Answer]:
        if not request:
            raise RequestInvalidError("the request has no body")
        known = found.adapter.models
        if known and _model_of(request) not in known:
            raise ModelUnknownError(f"no model is called {_model_of(request)!r}")
        whole = mock.answer(found.path, request)
        usage = told(whole)
        if usage is not None:
            self._count(asked, found, request, usage)
        if request.get("stream") is True:
            yield Answer(status=200, headers=_EVENTS, pieces=_mock_stream(found.path, request))
        else:
            yield Answer(status=200, headers=_JSON, pieces=_one(msgspec.json.encode(whole)))

    @asynccontextmanager
    async def _real(
        self, asked: Asked, request: Mapping[str, Any], found: Found
    ) -> AsyncIterator[Answer]:
        began = trio.current_time()
        sent, hides = _rewritten(asked.body, request, found.adapter)
        upstream = self._upstream(found.adapter)
        async with upstream.asked(found, asked.method, asked.headers, sent) as response:
            self._observer.first_byte(found.adapter.name, trio.current_time() - began)
            headers = {
                name: response.headers[name] for name in SHOWN_HEADERS if name in response.headers
            }
            streams = "text/event-stream" in response.headers.get("content-type", "")
            if streams and response.is_success:
                pieces = self._stream(asked, request, found, upstream, response, hides=hides)
            else:
                left_s = began + found.route.timeout - trio.current_time()
                whole = await self._whole(found, upstream, response, left_s)
                if response.is_success:
                    self._count_whole(asked, found, request, whole)
                pieces = _one(whole)
            yield Answer(status=response.status_code, headers=headers, pieces=pieces)
            self._observer.answered(found.adapter.name, trio.current_time() - began)

    async def _whole(
        self, found: Found, upstream: Upstream, response: "httpx.Response", left_s: float
    ) -> bytes:
        """Return the whole body.

        Raises: UpstreamTimeoutError; UpstreamUnavailableError if it breaks off or never ends.
        """
        import httpx

        whole = bytearray()
        try:
            with trio.move_on_after(max(left_s, 0.0)) as scope:
                async for piece in response.aiter_raw():
                    whole += piece
                    if len(whole) > MOST_ANSWER_BYTES:
                        raise UpstreamUnavailableError("the answer is larger than any model's")
        except httpx.TransportError as error:
            upstream.failed()
            raise UpstreamUnavailableError(
                f"adapter {found.adapter.name} broke off: {error or type(error).__name__}"
            ) from error
        if scope.cancelled_caught:
            upstream.failed()
            raise UpstreamTimeoutError(
                f"adapter {found.adapter.name} has not ended its answer in"
                f" {found.route.timeout:g} s"
            )
        return bytes(whole)

    async def _stream(
        self,
        asked: Asked,
        request: Mapping[str, Any],
        found: Found,
        upstream: Upstream,
        response: "httpx.Response",
        *,
        hides: bool,
    ) -> AsyncIterator[bytes]:
        """Yield the events of a stream; one that is cut ends with an error, never as if whole."""
        usage: Usage | None = None
        said_bytes, ended = 0, False
        try:
            async for event in self._events(found, response):
                data = events.content(event)
                if data == events.DONE:
                    ended = True
                else:
                    said = events.as_json(data)
                    usage = told(said) or usage
                    said_bytes += len(data) if said.get("choices") else 0
                    if hides and events.is_usage_alone(said):
                        continue
                yield event
            if not ended:
                raise UpstreamUnavailableError(f"adapter {found.adapter.name} broke off its answer")
        except BREAKS as error:
            upstream.failed()
            yield events.event_of(error_body(error))
            raise
        finally:
            self._count(asked, found, request, usage or estimated(len(asked.body), said_bytes // 8))

    async def _events(self, found: Found, response: "httpx.Response") -> AsyncIterator[bytes]:
        import httpx

        splitter = events.Splitter()
        pieces = response.aiter_raw()
        deadline = trio.current_time() + STREAM_S
        while True:
            try:
                with trio.CancelScope(
                    deadline=min(trio.current_time() + found.route.idle_timeout, deadline)
                ) as scope:
                    piece = await anext(pieces, None)
            except httpx.TransportError as error:
                raise UpstreamUnavailableError(
                    f"adapter {found.adapter.name} broke off: {error or type(error).__name__}"
                ) from error
            if scope.cancelled_caught:
                raise UpstreamTimeoutError(f"adapter {found.adapter.name} fell silent")
            if piece is None:
                return
            try:
                for event in splitter.feed(piece):
                    yield event
            except events.EventTooLargeError as error:
                raise UpstreamUnavailableError("an event is larger than any model's") from error

    # ---- what it came to ----

    def _count_whole(
        self, asked: Asked, found: Found, request: Mapping[str, Any], whole: bytes
    ) -> None:
        usage = told(events.as_json(whole)) or estimated(len(asked.body), len(whole))
        self._count(asked, found, request, usage)

    def _count(self, asked: Asked, found: Found, request: Mapping[str, Any], usage: Usage) -> None:
        name = found.adapter.name
        model = found.adapter.models.get(_model_of(request) or "", _model_of(request) or "-")
        self._capacities[name].spend(asked.caller, usage.total)
        self.accounts.add(name, model, asked.caller, usage)
        self._observer.tokens(name, model, "prompt", usage.prompt)
        self._observer.tokens(name, model, "completion", usage.completion)

    # ---- adapters ----

    def _is_mock(self, adapter: Adapter) -> bool:
        return adapter.mock or self._mocked

    def _upstream(self, adapter: Adapter) -> Upstream:
        kept = self._upstreams.get(adapter.name)
        if kept is None:
            kept = self._upstreams[adapter.name] = Upstream(
                adapter, self._http(), self._secret, now=self._now, opened=self._observer.opened
            )
        return kept

    def _http(self) -> "httpx.AsyncClient":
        """Return the one client, made when the first request comes: it is heavy."""
        if self._client is None:
            import httpx

            self._client = httpx.AsyncClient(
                transport=self._transport,
                follow_redirects=False,
                trust_env=False,
                timeout=httpx.Timeout(None, connect=CONNECT_S),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            )
        return self._client


_JSON = {"content-type": "application/json"}
_EVENTS = {"content-type": "text/event-stream; charset=utf-8"}


def is_fake(environ: Mapping[str, str]) -> bool:
    """Tell whether the environment asks for no real model anywhere.

    Source: bundle format 7.20.
    """
    switched = any(
        environ.get(name, "").lower() in {"1", "true", "yes", "on"} for name in FAKE_SWITCHES
    )
    return switched or any(environ.get(name, "").lower() in FAKE_WORDS for name in FAKE_MODES)


def _object(body: bytes) -> dict[str, Any]:
    """Return the body as an object.

    Raises: RequestInvalidError.
    """
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestInvalidError(f"the body is no JSON object: {error}") from error


def _model_of(request: Mapping[str, Any]) -> str | None:
    model = request.get("model")
    return model if isinstance(model, str) else None


def _rewritten(body: bytes, request: Mapping[str, Any], adapter: Adapter) -> tuple[bytes, bool]:
    """Return what the upstream is sent, and whether its word of usage was asked for by us alone."""
    sent = dict(request)
    model = _model_of(request)
    if model in adapter.models:
        sent["model"] = adapter.models[model]
    options = request.get("stream_options")
    options = options if isinstance(options, Mapping) else {}
    hides = request.get("stream") is True and not options.get("include_usage")
    if hides:
        sent["stream_options"] = {**options, "include_usage": True}
    return (body if sent == request else msgspec.json.encode(sent)), hides


async def _one(whole: bytes) -> AsyncIterator[bytes]:
    yield whole


async def _mock_stream(path: str, request: Mapping[str, Any]) -> AsyncIterator[bytes]:
    for piece in mock.pieces(path, request):
        yield events.event_of(piece)
    yield b"data: [DONE]\n\n"
