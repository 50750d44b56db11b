from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest
import trio

from mnedge.config.settings import Adapter, AdapterLimits, Breaker, Route
from mnedge.gateway.llm.accounts import Accounts
from mnedge.gateway.llm.proxy import Asked, Observer, Proxy, is_fake
from mnedge.gateway.llm.refusals import (
    ModelUnknownError,
    RequestInvalidError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from mnedge.part import running
from mnedge.store.memory import MemoryStore
from tests.gateway.llm.standin import DONE, USAGE, Pieces, StandIn, piece, streamed, whole

CHAT = "/v1/chat/completions"


@asynccontextmanager
async def proxied(standin, *adapters, environ=None, observer=None):
    accounts = Accounts(MemoryStore().table, now=lambda: 1000.0)
    proxy = Proxy(
        adapters or (adapter(),),
        accounts,
        secret=lambda ref: "key",
        now=lambda: 1000.0,
        environ=environ or {},
        observer=observer,
        transport=standin,
    )
    async with running(proxy):
        yield proxy


def adapter(name="a", **more):
    route = Route(match=CHAT, timeout=10.0, idle_timeout=5.0, retries=0)
    return Adapter(**{"name": name, "base_url": "http://127.0.0.1:9", "routes": (route,)} | more)


def asked(path=CHAT, **request):
    body = msgspec.json.encode({"model": "m", "messages": []} | request)
    return Asked(caller="ada", method="POST", path=path, headers={}, body=body)


async def got(proxy, request):
    async with proxy.answered(request) as answer:
        return answer.status, b"".join([one async for one in answer.pieces])


async def used(proxy):
    return [
        (account.adapter, account.model, total.prompt_tokens, total.completion_tokens)
        for account, total in await proxy.accounts.totals()
    ]


async def test_an_answer_is_passed_on_and_counted(autojump_clock):
    told = []
    observer = Observer(tokens=lambda *what: told.append(what))
    async with proxied(StandIn(whole()), observer=observer) as proxy:
        status, body = await got(proxy, asked())
        assert (status, msgspec.json.decode(body)["model"]) == (200, "real-1")
        assert await used(proxy) == [("a", "m", 5, 2)]
    assert told == [("a", "m", "prompt", 5), ("a", "m", "completion", 2)]


async def test_the_name_of_the_model_is_rewritten(autojump_clock):
    standin = StandIn(whole())
    async with proxied(standin, adapter(models={"m": "real-1"})) as proxy:
        await got(proxy, asked(temperature=0.5))
        with pytest.raises(ModelUnknownError):
            await got(proxy, asked(model="other"))
    assert standin.bodies() == [{"model": "real-1", "messages": [], "temperature": 0.5}]


async def test_a_request_that_needs_no_change_goes_as_it_came(autojump_clock):
    standin = StandIn(whole())
    body = b'{"model":  "m"}'
    async with proxied(standin) as proxy:
        request = Asked(caller="ada", method="POST", path=CHAT, headers={}, body=body)
        await got(proxy, request)
    assert standin.asked[0].content == body


@pytest.mark.parametrize("body", [b"[1]", b"{", b"\xff", b'{"a":' + b"[" * 50_000])
async def test_a_body_that_is_no_object_is_refused(autojump_clock, body):
    async with proxied(StandIn(whole())) as proxy:
        request = Asked(caller="ada", method="POST", path=CHAT, headers={}, body=body)
        with pytest.raises(RequestInvalidError):
            await got(proxy, request)


async def test_a_stream_is_passed_on_without_the_usage_that_only_we_asked_for(autojump_clock):
    standin = StandIn(lambda: streamed(piece("Hi"), 1.0, piece("gh"), USAGE, DONE))
    async with proxied(standin) as proxy:
        assert await got(proxy, asked(stream=True)) == (200, piece("Hi") + piece("gh") + DONE)
        assert await used(proxy) == [("a", "m", 7, 3)]
        wanting = asked(stream=True, stream_options={"include_usage": True})
        assert await got(proxy, wanting) == (200, piece("Hi") + piece("gh") + USAGE + DONE)
    assert standin.bodies()[0]["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    "pieces, error",
    [
        ((piece("Hi"),), UpstreamUnavailableError),
        ((piece("Hi"), httpx.ReadError("reset")), UpstreamUnavailableError),
        ((piece("Hi"), 60.0, DONE), UpstreamTimeoutError),
    ],
)
async def test_a_stream_that_is_cut_is_never_taken_for_whole(autojump_clock, pieces, error):
    async with proxied(StandIn(lambda: streamed(*pieces))) as proxy:
        came = []

        async def read():
            async with proxy.answered(asked(stream=True)) as answer:
                async for one in answer.pieces:
                    came.append(one)  # noqa: PERF401 - what came before the error counts

        with pytest.raises(error):
            await read()
        assert came[0] == piece("Hi")
        assert b'"error"' in came[-1]
        assert DONE not in came
        [(_, total)] = await proxy.accounts.totals()
        assert total.estimated_tokens > 0


async def test_a_whole_answer_that_never_ends_is_given_up(autojump_clock):
    def slow():
        return httpx.Response(200, stream=Pieces(b"{", 60.0))

    async with proxied(StandIn(slow)) as proxy:
        with pytest.raises(UpstreamTimeoutError):
            await got(proxy, asked())
        assert trio.current_time() == 10.0


async def test_a_fallback_is_asked_when_the_first_is_away(autojump_clock):
    first = adapter("a", fallback=("b",))
    second = adapter("b", mock=True)
    async with proxied(StandIn(httpx.ConnectError("refused")), first, second) as proxy:
        status, body = await got(proxy, asked())
        assert status == 200
        assert msgspec.json.decode(body)["id"].startswith("mock-")
        assert [name for name, *_ in await used(proxy)] == ["b"]


async def test_without_a_fallback_the_caller_is_told(autojump_clock):
    async with proxied(StandIn(httpx.ConnectError("refused"))) as proxy:
        with pytest.raises(UpstreamUnavailableError, match="refused"):
            await got(proxy, asked())


async def test_an_answer_that_refuses_is_passed_on(autojump_clock):
    refusal = whole(400, {"error": {"message": "too long"}})
    async with proxied(StandIn(refusal)) as proxy:
        status, body = await got(proxy, asked())
        assert (status, b"too long" in body) == (400, True)
        assert await used(proxy) == []


async def test_the_fake_environment_makes_every_adapter_a_mock(autojump_clock):
    standin = StandIn(whole())
    async with proxied(standin, environ={"MN_BLUEPRINT_FAKE_LLM": "1"}) as proxy:
        first = await got(proxy, asked())
        assert first == await got(proxy, asked())
        streaming = await got(proxy, asked(stream=True))
        assert streaming[1].endswith(DONE)
        assert proxy.models()[0]["id"] == "deterministic-blueprint"
    assert standin.asked == []


@pytest.mark.parametrize(
    "environ, fake",
    [
        ({}, False),
        ({"MN_USE_FAKE_LLM": "yes"}, True),
        ({"MN_USE_FAKE_LLM": "0"}, False),
        ({"MN_LLM_MODE": "Deterministic"}, True),
        ({"MN_LLM_PROVIDER": "openai"}, False),
    ],
)
def test_the_environment_says_whether_models_are_fake(environ, fake):
    assert is_fake(environ) is fake


async def test_the_state_of_an_adapter_is_shown_and_new_adapters_are_taken_up(autojump_clock):
    broken = adapter(breaker=Breaker(failures=1), limits=AdapterLimits(concurrency=2))
    async with proxied(StandIn(httpx.ConnectError("x")), broken) as proxy:
        with pytest.raises(UpstreamUnavailableError):
            await got(proxy, asked())
        [state] = proxy.states()
        assert (state["state"], state["busy"]) == ("open", 0)
        proxy.configure([adapter("b", mock=True)])
        assert (await got(proxy, asked()))[0] == 200
