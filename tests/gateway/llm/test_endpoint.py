import httpx
import msgspec
import pytest
import trio

from mnedge.config.settings import Adapter, Route
from mnedge.gateway.llm.accounts import Accounts
from mnedge.gateway.llm.endpoint import Endpoint
from mnedge.gateway.llm.proxy import Proxy
from mnedge.store.memory import MemoryStore
from tests.gateway.llm.standin import StandIn, piece, streamed, whole

CHAT = "/v1/chat/completions"
REQUEST = {"model": "m", "messages": []}


def endpoint(standin, **more):
    route = Route(match=CHAT, retries=0, max_body=100)
    adapter = Adapter(**{"name": "a", "base_url": "http://127.0.0.1:9", "routes": (route,)} | more)
    proxy = Proxy(
        [adapter],
        Accounts(MemoryStore().table, now=lambda: 0.0),
        secret=lambda ref: "",
        now=lambda: 0.0,
        environ={},
        transport=standin,
    )
    return Endpoint(proxy, lambda scope: "ada")


def client(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://node")


async def test_a_request_is_answered_over_http():
    async with client(endpoint(StandIn(whole()))) as http:
        answer = await http.post(CHAT, json=REQUEST)
        assert (answer.status_code, answer.json()["model"]) == (200, "real-1")
        assert answer.headers["content-type"] == "application/json"


async def test_the_models_are_listed():
    async with client(endpoint(StandIn(whole()), models={"big": "x"})) as http:
        listed = (await http.get("/v1/models")).json()
        assert [model["id"] for model in listed["data"]] == ["big"]


@pytest.mark.parametrize(
    "path, body, status, code",
    [
        (CHAT, {"messages": ["x" * 200]}, 413, "relay.too_large"),
        (CHAT, {"model": "m", "x": "\\"}, 502, "upstream.unavailable"),
        ("/v1/other", REQUEST, 404, "llm.route"),
    ],
)
async def test_refusals_have_the_shape_that_clients_read(path, body, status, code):
    async with client(endpoint(StandIn(httpx.ConnectError("refused")))) as http:
        answer = await http.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def scope():
    return {"type": "http", "method": "POST", "path": CHAT, "headers": []}


async def test_a_stream_that_breaks_off_ends_without_its_last_chunk():
    sent = []

    async def receive():
        if sent or receive.asked:
            await trio.sleep_forever()
        receive.asked = True
        return {"type": "http.request", "body": msgspec.json.encode(REQUEST | {"stream": True})}

    receive.asked = False

    async def send(message):
        sent.append(message)

    app = endpoint(StandIn(streamed(piece("Hi"))))
    with pytest.RaisesGroup(pytest.RaisesExc(Exception), flatten_subgroups=True):
        await app(scope(), receive, send)
    assert sent[0]["status"] == 200
    assert all(message.get("more_body") for message in sent[1:])


async def test_a_client_that_goes_away_stops_its_upstream(autojump_clock):
    standin = StandIn(3600.0)
    messages = [{"type": "http.request", "body": msgspec.json.encode(REQUEST)}]

    async def receive():
        if messages:
            return messages.pop()
        await trio.sleep(1.0)
        return {"type": "http.disconnect"}

    async def send(message):
        raise AssertionError(message)

    await endpoint(standin)(scope(), receive, send)
    assert trio.current_time() == 1.0
    assert len(standin.asked) == 1
