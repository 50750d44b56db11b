"""OpenAI's own client through our routes, and upstreams that misbehave on a real socket."""

from contextlib import asynccontextmanager, suppress
from functools import partial

import httpx
import msgspec
import openai
import pytest
import trio
from hypercorn.config import Config as Serving
from hypercorn.trio import serve

from mnedge.config.settings import Adapter, AdapterAuth, Route, SecretRef
from mnedge.gateway.llm.accounts import Accounts
from mnedge.gateway.llm.endpoint import Endpoint
from mnedge.gateway.llm.proxy import Proxy
from mnedge.part import running
from mnedge.store.memory import MemoryStore
from tests.gateway.llm.standin import ANSWER, DONE, USAGE, piece
from tests.live.box import Box
from tests.live.service_manager import Manager

pytestmark = pytest.mark.live

KEY = "sk-upstream-canary-4711"
PATIENCE_S = 20.0
SAY = [{"role": "user", "content": "How high is the tide?"}]


class Upstream:
    """Answers each connection as it is told, byte by byte."""

    def __init__(self):
        self.script = []
        self.asked = []
        self.left = trio.Event()

    async def serve(self, stream):
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            self.asked.append(await self._request(stream))
            for act in self.script.pop(0) if len(self.script) > 1 else self.script[0]:
                if isinstance(act, bytes):
                    await stream.send_all(act)
                else:
                    with trio.move_on_after(act) as waited:
                        while await stream.receive_some():
                            pass
                        self.left.set()
                        return
                    assert waited.cancelled_caught
        await stream.aclose()

    async def _request(self, stream):
        came = b""
        while b"\r\n\r\n" not in came:
            came += await stream.receive_some()
        head, _, body = came.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += await stream.receive_some()
        return head.decode(), msgspec.json.decode(body)


def whole(body=None, status=b"200 OK"):
    content = msgspec.json.encode(ANSWER if body is None else body)
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(content)) + content


def chunk(content):
    return b"%x\r\n%s\r\n" % (len(content), content)


STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@asynccontextmanager
async def served(**route):
    upstream = Upstream()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(
            partial(trio.serve_tcp, upstream.serve, 0, host="127.0.0.1")
        )
        port = listeners[0].socket.getsockname()[1]
        adapter = Adapter(
            name="real",
            base_url=f"http://127.0.0.1:{port}/v1",
            auth=AdapterAuth(secret_ref=SecretRef(name="env", key="KEY")),
            routes=(Route(match="/v1/chat/completions", **({"timeout": 10.0} | route)),),
            models={"small": "real-1"},
        )
        accounts = Accounts(MemoryStore().table, now=lambda: 0.0)
        proxy = Proxy([adapter], accounts, secret=lambda ref: KEY, now=lambda: 0.0, environ={})
        serving = Serving()
        serving.bind = ["127.0.0.1:0"]
        async with running(proxy):
            endpoint = Endpoint(proxy, lambda scope: "ada")
            bound = await nursery.start(serve, endpoint, serving)
            yield upstream, bound[0], proxy
        nursery.cancel_scope.cancel()


async def say(url, **more):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="node-token", max_retries=0, timeout=15)

    def call():
        with client:
            answer = client.chat.completions.create(model="small", messages=SAY, **more)
            return list(answer) if more.get("stream") else answer

    return await trio.to_thread.run_sync(call, abandon_on_cancel=True)


def text(pieces):
    return "".join(one.choices[0].delta.content or "" for one in pieces if one.choices)


async def test_openais_client_works_unchanged_and_our_key_goes_to_the_upstream():
    with trio.fail_after(PATIENCE_S):
        async with served() as (upstream, url, proxy):
            upstream.script = [[whole()]]
            answer = await say(url)
            assert answer.choices[0].message.content == "High."
            [(head, body)] = upstream.asked
            assert body["model"] == "real-1"
            assert f"authorization: Bearer {KEY}".lower() in head.lower()
            assert "node-token" not in head
            [(account, total)] = await proxy.accounts.totals()
            assert (account.caller, account.model) == ("ada", "real-1")
            assert (total.prompt_tokens, total.completion_tokens) == (5, 2)


async def test_a_stream_arrives_piece_by_piece_without_what_only_we_wanted():
    with trio.fail_after(PATIENCE_S):
        async with served() as (upstream, url, proxy):
            pieces = [piece("Very "), piece("high"), USAGE, DONE]
            upstream.script = [[STREAM, *(chunk(one) for one in pieces), chunk(b"")]]
            came = await say(url, stream=True)
            assert text(came) == "Very high"
            assert all(one.choices for one in came)
            [(_, total)] = await proxy.accounts.totals()
            assert total.completion_tokens == 3


@pytest.mark.parametrize(
    "script",
    [
        [STREAM, chunk(piece("Very "))],
        [STREAM, chunk(piece("Very ")), chunk(b"")],
        [STREAM, chunk(piece("Very ")), 30.0],
        [STREAM, chunk(piece("Very ")), b"zz\r\n"],
    ],
    ids=["reset", "ended early", "fell silent", "garbage"],
)
async def test_a_stream_that_breaks_off_is_an_error_for_the_client(script):
    with trio.fail_after(PATIENCE_S):
        async with served(idle_timeout=0.5) as (upstream, url, _):
            upstream.script = [script]
            with pytest.raises((openai.APIError, httpx.RemoteProtocolError)):
                await say(url, stream=True)


async def test_a_broken_stream_has_no_last_chunk_on_the_wire():
    with trio.fail_after(PATIENCE_S):
        async with served() as (upstream, url, _):
            upstream.script = [[STREAM, chunk(piece("Very "))]]
            async with httpx.AsyncClient() as client:
                with pytest.raises(httpx.RemoteProtocolError):
                    await client.post(
                        f"{url}/v1/chat/completions",
                        json={"model": "small", "messages": SAY, "stream": True},
                    )


@pytest.mark.parametrize(
    "script, error, code",
    [
        ([[30.0]], openai.InternalServerError, "upstream.timeout"),
        ([[b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"]], openai.APIError, None),
        ([[whole(status=b"503 Busy")]], openai.InternalServerError, None),
        ([[whole({"error": {"message": "too long"}}, b"400 Bad")]], openai.BadRequestError, None),
        ([[whole(status=b"401 No")]], openai.InternalServerError, "upstream.auth"),
    ],
    ids=["hangs", "wrong length", "busy", "refuses", "refuses our key"],
)
async def test_what_an_upstream_does_wrong_is_told_in_openais_words(script, error, code):
    with trio.fail_after(PATIENCE_S):
        async with served(timeout=0.5, retries=0) as (upstream, url, _):
            upstream.script = script
            with pytest.raises(error) as told:
                await say(url)
            assert code is None or told.value.code == code
            assert KEY not in str(told.value)


async def test_an_upstream_that_was_busy_once_is_asked_again():
    with trio.fail_after(PATIENCE_S):
        async with served() as (upstream, url, _):
            upstream.script = [[whole(status=b"429 Busy")], [whole()]]
            assert (await say(url)).model == "real-1"
            assert len(upstream.asked) == 2


async def test_a_client_that_leaves_stops_its_upstream():
    with trio.fail_after(PATIENCE_S):
        async with served() as (upstream, url, _):
            upstream.script = [[STREAM, chunk(piece("Very ")), 15.0]]
            body = msgspec.json.encode({"model": "small", "messages": SAY, "stream": True})
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: node\r\ncontent-length: %d\r\n\r\n"
            client = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
            async with client:
                await client.send_all(head % len(body) + body)
                came = b""
                while b"Very" not in came:
                    came += await client.receive_some()
            await upstream.left.wait()


async def test_a_model_that_nobody_serves_is_told_with_those_there_are():
    with trio.fail_after(PATIENCE_S):
        async with served() as (_, url, _proxy):
            client = openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0)
            listed = await trio.to_thread.run_sync(lambda: list(client.models.list()))
            assert [model.id for model in listed] == ["small"]
            with pytest.raises(openai.NotFoundError, match="there is small"):
                await trio.to_thread.run_sync(
                    lambda: client.chat.completions.create(model="huge", messages=SAY)
                )
            client.close()


ADAPTERS = """
relay:
  adapters:
    - name: mock
      mock: true
      models: {small: any}
    - name: away
      baseUrl: http://127.0.0.1:9
      models: {large: any}
      routes: [{match: /v1/chat/completions, retries: 0}]
"""


@pytest.mark.drives("mnedge relay adapters")
@pytest.mark.drives("mnedge relay usage")
@pytest.mark.drives("mnedge relay test")
def test_the_command_line_asks_the_daemon_for_its_models(tmp_path):
    box = Box(tmp_path)
    file = tmp_path / "config.yaml"
    file.write_text(ADAPTERS)
    daemon = Manager(box, "--config", str(file))
    try:
        daemon.until_said("READY=1")
        assert "nothing was used" in box.call("relay", "usage").stdout
        assert "mock answers in" in box.call("relay", "test", "mock").stdout
        failed = box.call("relay", "test", "away", code=1).stderr
        assert "away does not answer: adapter away cannot be reached" in failed
        assert "there is mock" in box.call("relay", "test", "mok", code=2).stderr
        [mock, away] = box.json("relay", "adapters")
        assert (mock["name"], mock["mock"], away["state"]) == ("mock", True, "closed")
        [used] = box.json("relay", "usage")
        assert (used["adapter"], used["model"], used["requests"]) == ("mock", "any", 1)
    finally:
        daemon.close()
        box.close()
