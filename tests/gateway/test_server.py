"""The doors: every protocol, limits that hold, and an end that finishes what is under way."""

import json
import os
import resource
import subprocess
from pathlib import Path

import httpx
import psutil
import pytest
import trio

from mnedge.config.settings import Config, GatewayLimits, Listen, Relay, Tls
from mnedge.gateway.endpoints import ListenFailedError
from mnedge.gateway.server import most_connections
from mnedge.gateway.unix_socket import SocketTakenError
from mnedge.model.access import Scope
from tests.gateway.doors import open_doors

pytestmark = pytest.mark.live


async def curl(*words: str) -> tuple[int, str, str]:
    """Return the status, the version of HTTP and the body that curl saw."""
    done = await trio.run_process(
        ["curl", "-s", "-m", "5", "-w", "\n%{http_code} %{http_version}", *words],
        capture_stdout=True,
        check=False,
        stderr=subprocess.DEVNULL,
    )
    body, _, told = done.stdout.decode().rpartition("\n")
    status, version = told.split()
    return int(status), version, body


async def test_the_unix_socket_knows_its_peer(tmp_path):
    async with open_doors(tmp_path, listen=Listen()) as doors:
        [bound] = doors.server.bound
        transport = httpx.AsyncHTTPTransport(uds=bound.address)
        async with httpx.AsyncClient(transport=transport) as client:
            told = (await client.get("http://x/a")).json()
        assert told["who"] == f"uid:{os.geteuid()}"
        assert told["scope"] == "admin"
        assert (tmp_path / "mnedge.sock").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "mnedge.sock").exists()


async def test_http_1_and_2_without_tls(tmp_path):
    async with open_doors(tmp_path) as doors:
        url, word = doors.server.bound[1].url, f"authorization: Bearer {await doors.token()}"
        big = tmp_path / "big"
        big.write_bytes(b"x" * 200_000)
        for flag, version in (("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")):
            status, spoken, body = await curl(flag, "-H", word, "-d", f"@{big}", f"{url}/a")
            assert (status, spoken) == (200, version)
            assert json.loads(body) | {"who": None} == {
                "path": "/a",
                "method": "POST",
                "bytes": 200_000,
                "who": None,
                "scope": "operate",
                "version": version,
                "tls": False,
            }
            assert (await curl(flag, f"{url}/a"))[0] == 401


async def test_upgrades_are_ignored(tmp_path):
    async with open_doors(tmp_path) as doors:
        url, word = doors.server.bound[1].url, f"authorization: Bearer {await doors.token()}"
        status, spoken, _ = await curl("--http2", "-H", word, f"{url}/a")
        assert (status, spoken) == (200, "1.1")
        websocket = ("-H", "Connection: Upgrade", "-H", "Upgrade: websocket")
        assert (await curl(*websocket, "-H", word, f"{url}/a"))[0] == 200


async def test_tls_with_a_certificate_of_the_node_s_own(tmp_path):
    listen = Listen(http="127.0.0.1:0", tls=Tls())
    async with open_doors(tmp_path, listen=listen) as doors:
        bound = doors.server.bound[1]
        assert bound.tls
        assert bound.url.startswith("https://")
        word = f"authorization: Bearer {await doors.token()}"
        ca = ("--cacert", str(tmp_path / "identity" / "tls.crt"))
        for flag, version in (("--http1.1", "1.1"), ("--http2", "2")):
            status, spoken, body = await curl(flag, *ca, "-H", word, f"{bound.url}/a")
            assert (status, spoken) == (200, version), body
            assert json.loads(body)["tls"] is True
        assert (await curl(f"http://{bound.address}/a"))[0] == 0
        assert len(doors.server.fingerprint.split(":")) == 32
        # A peer that never shakes hands keeps nobody else out.
        async with await trio.open_tcp_stream("127.0.0.1", doors.port):
            assert (await curl(*ca, "-H", word, f"{bound.url}/a"))[0] == 200


async def test_a_second_server_does_not_take_the_socket(tmp_path):
    async with open_doors(tmp_path):
        with pytest.RaisesGroup(SocketTakenError, flatten_subgroups=True):
            async with open_doors(tmp_path):
                pytest.fail("inside")
        assert (tmp_path / "mnedge.sock").exists()


async def test_a_door_that_cannot_open_leaves_nothing_behind(tmp_path):
    async with open_doors(tmp_path / "one") as doors:
        taken = Listen(http=f"127.0.0.1:{doors.port}")
        with pytest.RaisesGroup(ListenFailedError, flatten_subgroups=True):
            async with open_doors(tmp_path / "two", listen=taken):
                pytest.fail("inside")
    assert not (tmp_path / "two" / "mnedge.sock").exists()


async def test_a_request_is_awaited_so_long_and_no_longer(tmp_path):
    async with open_doors(tmp_path, request_timeout=0.5) as doors:
        began = trio.current_time()
        assert await doors.raw(b"") == b""
        assert await doors.raw(b"GET / HTTP/1.1\r\nHost: x\r\nA") == b""
        assert 0.9 < trio.current_time() - began < 3
        token = await doors.token()
        head = f"POST /a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        told = await doors.raw(head.encode() + b"Content-Length: 10\r\n\r\nabc")
        assert told.startswith(b"HTTP/1.1 408")
        assert b"relay.too_slow" in told


async def dripped(stream, content):
    for letter in content:
        await stream.send_all(bytes([letter]))
        await trio.sleep(0.05)


async def test_bytes_that_drip_buy_no_time(tmp_path):
    async with open_doors(tmp_path, request_timeout=0.5) as doors:
        stream = await trio.open_tcp_stream("127.0.0.1", doors.port)
        began = trio.current_time()
        with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
            await dripped(stream, b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: 1\r\n" * 500)
        assert trio.current_time() - began < 2
        await stream.aclose()


async def test_an_idle_connection_is_closed(tmp_path):
    async with open_doors(tmp_path, idle_timeout=0.4) as doors:
        told = await doors.raw(b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert told.count(b"HTTP/1.1 200") == 1
        with trio.fail_after(2):
            while doors.server.connections:
                await trio.sleep(0.02)


@pytest.mark.parametrize(
    "files, everybody, owner",
    [(resource.RLIM_INFINITY, 900, 964), (4096, 900, 964), (1024, 768, 832), (64, 8, 12)],
)
def test_connections_leave_open_files_for_the_work(monkeypatch, files, everybody, owner):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    config = Config(
        data_dir=Path("d"),
        runs_root=Path("r"),
        home=Path("h"),
        environ={},
        relay=Relay(limits=GatewayLimits(max_connections=900)),
    )
    assert most_connections(config, local=False) == everybody
    assert most_connections(config, local=True) == owner


async def test_too_many_connections_are_turned_away_but_the_owner_gets_in(tmp_path):
    async with open_doors(tmp_path, max_connections=3) as doors:
        held = [await trio.open_tcp_stream("127.0.0.1", doors.port) for _ in range(3)]
        await trio.sleep(0.1)
        assert (await doors.raw(b"")).startswith(b"HTTP/1.1 503")
        transport = httpx.AsyncHTTPTransport(uds=doors.server.bound[0].address)
        async with httpx.AsyncClient(transport=transport) as client:
            assert (await client.get("http://x/a")).status_code == 200
        for stream in held:
            await stream.aclose()
        await trio.sleep(0.1)
        told = await doors.raw(b"GET /api/v1/health HTTP/1.0\r\n\r\n")
        assert told.startswith(b"HTTP/1.1 200")


async def test_who_leaves_ends_the_handler(tmp_path):
    ended = []
    async with open_doors(tmp_path, ended=ended) as doors:
        for flag in ("--http1.1", "--http2-prior-knowledge"):
            word = f"authorization: Bearer {await doors.token()}"
            url = doors.server.bound[1].url
            await curl(flag, "-m", "0.5", "-N", "-H", word, f"{url}/stream")
            with trio.fail_after(2):
                while not ended:
                    await trio.sleep(0.02)
            ended.clear()


async def test_a_handler_that_breaks_harms_nobody(tmp_path):
    async with open_doors(tmp_path) as doors:
        word = f"authorization: Bearer {await doors.token()}"
        url = doors.server.bound[1].url
        for flag in ("--http1.1", "--http2-prior-knowledge"):
            status, _, body = await curl(flag, "-H", word, f"{url}/broken")
            assert status == 500
            assert "hunter2" not in body
            done = await trio.run_process(
                ["curl", "-s", "-m", "5", flag, "-H", word, f"{url}/half"],
                capture_stdout=True,
                check=False,
            )
            assert done.returncode not in (0, 28), "a broken answer never looks whole"
            assert (await curl(flag, "-H", word, f"{url}/a"))[0] == 200


async def test_an_early_answer_is_read_by_who_still_sends(tmp_path):
    async with open_doors(tmp_path) as doors:
        url, word = doors.server.bound[1].url, f"authorization: Bearer {await doors.token()}"
        big = tmp_path / "big"
        big.write_bytes(b"x" * (3 << 20))
        upload = ("-H", word, "-H", "Expect:", "--data-binary", f"@{big}")
        status, _, body = await curl("--http1.1", *upload, f"{url}/early")
        assert (status, body) == (200, "early")
        assert (await curl("-H", word, f"{url}/a"))[0] == 200


async def test_a_stop_finishes_answers_and_ends_streams(tmp_path):
    ended, told = [], []

    async def ask(url, word, path):
        told.append((path, (await curl("-H", word, f"{url}{path}"))[0]))

    async with trio.open_nursery() as nursery:
        async with open_doors(tmp_path, ended=ended) as doors:
            url, word = doors.server.bound[1].url, f"authorization: Bearer {await doors.token()}"
            nursery.start_soon(ask, url, word, "/slow")
            nursery.start_soon(ask, url, word, "/stream")
            idle = await trio.open_tcp_stream("127.0.0.1", doors.port)
            await trio.sleep(0.4)
            began = trio.current_time()
        assert trio.current_time() - began < 2.5
        await idle.aclose()
    assert ("/slow", 200) in told
    assert ended == ["/stream"]


async def test_a_reader_that_never_reads_is_let_go_at_a_stop(tmp_path):
    ended = []
    async with open_doors(tmp_path, ended=ended) as doors:
        token = await doors.token()
        stream = await trio.open_tcp_stream("127.0.0.1", doors.port)
        ask = f"GET /flood HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        await stream.send_all(ask.encode())
        await trio.sleep(0.5)
        began = trio.current_time()
    assert trio.current_time() - began < 8
    assert ended == ["/flood"]
    await stream.aclose()


async def test_an_idle_connection_costs_little_memory(tmp_path):
    count = 400
    async with open_doors(tmp_path) as doors:
        await doors.raw(b"GET /api/v1/health HTTP/1.0\r\n\r\n")
        before = psutil.Process().memory_info().rss
        held = [await trio.open_tcp_stream("127.0.0.1", doors.port) for _ in range(count)]
        await trio.sleep(0.3)
        assert doors.server.connections == count
        each = (psutil.Process().memory_info().rss - before) / count
        for stream in held:
            await stream.aclose()
    # Both ends live in this process, so this counts our side and the test's.
    assert each < 40 << 10, f"{each:.0f} bytes"


async def test_the_scope_of_a_token_reaches_the_application(tmp_path):
    async with open_doors(tmp_path) as doors:
        for scope in Scope:
            word = f"authorization: Bearer {await doors.token(scope)}"
            _, _, body = await curl("-H", word, f"{doors.server.bound[1].url}/a")
            assert json.loads(body)["scope"] == scope
