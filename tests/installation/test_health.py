"""A node is well when it says so; until then it is asked again, and given up in time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from mnedge.installation.health import NotHealthyError, await_health

pytestmark = pytest.mark.live


@asynccontextmanager
async def node(path: Path, *answers: bytes) -> AsyncIterator[None]:
    """Have something that answers on a unix socket, one request after the other."""
    listening = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    await listening.bind(str(path))
    listening.listen()

    async def serve() -> None:
        for answer in answers:
            client, _ = await listening.accept()
            with client:
                await client.recv(4096)
                head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(answer)}\r\n\r\n"
                await client.send(head.encode() + answer)

    with listening:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield


async def test_a_node_that_is_well_is_waited_for(tmp_path):
    async with node(tmp_path / "s", b'{"status":"degraded"}', b'{"status":"ok"}'):
        await trio.to_thread.run_sync(await_health, tmp_path / "s", 10)


async def test_a_node_that_does_not_get_well_is_told_with_what_it_said(tmp_path):
    async with node(tmp_path / "s", b'{"status":"degraded"}'):
        with pytest.raises(NotHealthyError, match="degraded"):
            await trio.to_thread.run_sync(await_health, tmp_path / "s", 0)


def test_nobody_answers(tmp_path):
    with pytest.raises(NotHealthyError, match="does not answer"):
        await_health(tmp_path / "s", 0)
