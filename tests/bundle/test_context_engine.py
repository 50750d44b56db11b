"""Whether the Context Engine answers. Real sockets on this machine, short real deadlines."""

import pytest
import trio

from mnedge.bundle.context_engine import (
    ContextEngineUnavailableError,
    check_context_engine,
    host_and_port,
)
from tests.bundle.making import Parts


def spec(needs):
    parts = Parts()
    parts.manifest["requiredContextEngine"] = needs
    return parts.opened().spec


async def test_a_job_that_does_not_need_it_is_not_held_up():
    await check_context_engine(spec(False), {"CONTEXT_ENGINE_ADDR": "127.0.0.1:1"})


async def test_a_listener_at_the_address_is_enough():
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with listeners[0]:
        await check_context_engine(spec(True), {"CONTEXT_ENGINE_ADDR": f"127.0.0.1:{port}"})


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "http://127.0.0.1:1/", "127.0.0.1:70000", "[::1]:1", "127.0.0.1:x"]
)
async def test_nothing_at_the_address_refuses_the_job(address):
    with pytest.raises(ContextEngineUnavailableError) as caught:
        await check_context_engine(spec(True), {"CONTEXT_ENGINE_ADDR": address}, timeout_s=0.5)
    assert caught.value.code == "context_engine.unavailable"
    assert address in caught.value.message
    assert "CONTEXT_ENGINE_ADDR" in caught.value.hint
    assert "exception" not in caught.value.message


async def test_no_answer_is_not_waited_for(autojump_clock, monkeypatch):
    async def silent(host, port):
        await trio.sleep_forever()

    monkeypatch.setattr(trio, "open_tcp_stream", silent)
    with pytest.raises(
        ContextEngineUnavailableError, match="localhost:50052: no answer within 2 s"
    ):
        await check_context_engine(spec(True), {})
    assert trio.current_time() == 2.0


@pytest.mark.parametrize(
    "address, parts",
    [
        ("localhost:50052", ("localhost", 50052)),
        ("engine", ("engine", 50052)),
        ("http://engine:80/", ("engine", 80)),
        ("[::1]:99", ("::1", 99)),
        ("[::1]", ("::1", 50052)),
        ("::1", ("::1", 50052)),
        ("engine:x", ("engine", 0)),
        ("engine:99999", ("engine", 0)),
    ],
)
def test_an_address_has_two_parts(address, parts):
    assert host_and_port(address) == parts
