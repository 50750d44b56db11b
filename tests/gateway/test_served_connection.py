"""One connection: what it costs when the peer is slow, silent or gone."""

import pytest
import trio

from mnedge.gateway import served_connection
from tests.gateway.doors import open_doors

pytestmark = pytest.mark.live


async def asked(doors, path):
    stream = await trio.open_tcp_stream("127.0.0.1", doors.port)
    token = await doors.token()
    words = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    await stream.send_all(words.encode())
    return stream


async def until(reached, within_s=5.0):
    with trio.fail_after(within_s):
        while not reached():
            await trio.sleep(0.02)


async def test_a_reader_that_never_reads_is_cut_in_time_and_its_handler_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(served_connection, "SEND_S", 0.5)
    ended = []
    async with open_doors(tmp_path, ended=ended) as doors, await asked(doors, "/flood"):
        await until(lambda: ended == ["/flood"])
        await until(lambda: doors.server.connections == 0)


async def test_a_peer_that_vanishes_ends_its_handler_at_once(tmp_path):
    ended = []
    async with open_doors(tmp_path, ended=ended) as doors:
        stream = await asked(doors, "/stream")
        await stream.receive_some(100)
        await trio.aclose_forcefully(stream)
        await until(lambda: ended == ["/stream"], 2)


async def test_a_request_behind_another_waits_for_it(tmp_path):
    async with open_doors(tmp_path, idle_timeout=0.3) as doors:
        token = await doors.token()
        words = "GET {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\n\r\n"
        told = await doors.raw((words.format("/slow") + words.format("/b")).encode())
        assert told.index(b'"/slow"') < told.index(b'"/b"')


async def test_what_breaks_a_connection_is_logged_and_breaks_no_other(
    tmp_path, monkeypatch, caplog
):
    def broken(self, *args):
        raise KeyError("odd")

    async with open_doors(tmp_path) as doors:
        with monkeypatch.context() as patch:
            patch.setattr(served_connection.ServedConnection, "spawn_app", broken)
            assert await doors.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b""
        assert "broke" in caplog.text
        told = await doors.raw(b"GET /api/v1/health HTTP/1.0\r\n\r\n")
        assert told.startswith(b"HTTP/1.1 200")
