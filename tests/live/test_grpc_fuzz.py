"""Bytes that no client would send, on the gRPC port: nothing breaks, nothing stays behind.

A case is one connection. Its bytes follow from its number alone, so a case that fails plays again.
"""

import logging
import struct
from collections.abc import Callable
from random import Random

import h2.config
import h2.connection
import h2.events
import hpack
import pytest
import trio
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from mnedge.gateway.grpc.frames import framed
from mnedge.gateway.grpc.rpcs import RPCS
from tests.live.grpc_server import a_server

pytestmark = pytest.mark.live

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HELLO = PREFACE + SettingsFrame(0).serialize()
READ_S = 0.05
AT_ONCE = 8
CASES = 700
SOAK_CASES = 60_000
GONE_S = 15.0
PATHS = sorted(RPCS)


def headers(random: Random, **more: str | None) -> bytes:
    """Return the header block of a call, whole or nearly so."""
    found: dict[str, str | None] = {
        ":method": "POST",
        ":scheme": "http",
        ":path": random.choice(PATHS),
        ":authority": "x",
        "te": "trailers",
        "content-type": "application/grpc",
        **more,
    }
    given = [(name, value) for name, value in found.items() if value is not None]
    return bytes(hpack.Encoder().encode(given))


def call(random: Random, stream_id: int, body: bytes, *, end: bool = True, **more: str) -> bytes:
    """Return the frames of a call, its body cut anywhere."""
    opened = HeadersFrame(stream_id, headers(random, **more), flags=["END_HEADERS"]).serialize()
    cut = random.randint(0, len(body))
    first = DataFrame(stream_id, body[:cut]).serialize()
    flags = ["END_STREAM"] if end else []
    return opened + first + DataFrame(stream_id, body[cut:], flags=flags).serialize()


def message(random: Random) -> bytes:
    """Return bytes that may or may not be a protobuf message."""
    found = b""
    for _ in range(random.randint(0, 5)):
        tag = random.randint(0, 9) << 3 | random.choice([0, 0, 1, 2, 2, 2, 3, 4, 5, 6])
        content = random.randbytes(random.randint(0, 40))
        found += bytes([tag]) + random.choice([bytes([len(content)]), b"\xff" * 9, b""]) + content
    return found


def garbage(random: Random) -> bytes:
    return random.randbytes(random.randint(0, 3000))


def bad_preface(random: Random) -> bytes:
    cut = bytearray(HELLO + call(random, 1, framed(b"")))
    cut[random.randrange(len(PREFACE))] ^= 1 << random.randrange(8)
    return bytes(cut)


def random_frames(random: Random) -> bytes:
    found = HELLO
    for _ in range(random.randint(1, 30)):
        size = random.choice([0, 1, 4, 5, 8, random.randint(0, 300)])
        claimed = size if random.random() < 0.9 else random.randint(0, 1 << 24)
        kind = random.randint(0, 12)
        stream_id = random.choice([0, 1, 2, 3, 5, random.getrandbits(32)])
        found += struct.pack(">I", claimed & 0xFFFFFF)[1:]
        found += bytes([kind, random.getrandbits(8)]) + struct.pack(">I", stream_id)
        found += random.randbytes(size)
    return found


def odd_messages(random: Random) -> bytes:
    found, body = HELLO, b""
    for stream_id in range(1, random.randint(1, 8) * 2, 2):
        inner = message(random)
        body = random.choice(
            [
                framed(inner),
                framed(inner)[: random.randint(0, len(inner) + 5)],
                framed(inner) * 2,
                bytes([random.getrandbits(8)]) + framed(inner)[1:],
                b"\0" + struct.pack(">I", random.getrandbits(32)) + inner,
                inner,
            ]
        )
        found += call(random, stream_id, body, end=random.random() < 0.9)
    return found


def odd_headers(random: Random) -> bytes:
    odd: dict[str, str | None] = random.choice(
        [
            {"te": None},
            {"content-type": "application/grpc+json"},
            {"content-type": None},
            {":method": "GET"},
            {":method": "P" * 50},
            {":path": "/" + "x" * 500},
            {":path": "/\u00e4"},
            {":path": ""},
            {":path": None},
            {"grpc-timeout": random.choice(["1n", "0S", "-1S", "9" * 30, "\u00b2S"])},
            {"grpc-encoding": "gzip"},
            {"Upper": "case"},
            {"connection": "close"},
            {"x-bad": "a\r\nb: c"},
            {"traceparent": "\u00ff" * 300},
            {"authorization": "Bearer " + "x" * 2000},
            {"content-length": random.choice(["5", "99", "-1", "x"])},
        ]
    )
    return HELLO + call(random, 1, framed(message(random)), **odd)  # type: ignore[arg-type]


def giant_headers(random: Random) -> bytes:
    block = headers(random, **{f"x-{n}": "y" * 900 for n in range(random.randint(10, 80))})
    found = HELLO + HeadersFrame(1, block[:16000]).serialize()
    for at in range(16000, len(block), 16000):
        found += ContinuationFrame(1, block[at : at + 16000]).serialize()
    return found + ContinuationFrame(1, b"", flags=["END_HEADERS"]).serialize()


def continuation_flood(random: Random) -> bytes:
    found = HELLO + HeadersFrame(1, headers(random)).serialize()
    return found + ContinuationFrame(1, b"").serialize() * random.randint(10, 500)


def hpack_bomb(random: Random) -> bytes:
    encoder = hpack.Encoder()
    first = encoder.encode([("x" * 3000, "y" * 900)])
    again = encoder.encode([("x" * 3000, "y" * 900)] * random.randint(100, 3000))
    return HELLO + HeadersFrame(1, bytes(first + again)[:16000], flags=["END_HEADERS"]).serialize()


def rapid_reset(random: Random) -> bytes:
    found = HELLO
    for stream_id in range(1, random.choice([50, 400, 1500]), 2):
        found += HeadersFrame(stream_id, headers(random), flags=["END_HEADERS"]).serialize()
        if random.random() < 0.5:
            found += DataFrame(stream_id, framed(b"")).serialize()
        found += RstStreamFrame(stream_id, random.getrandbits(4)).serialize()
    return found


def half_open(random: Random) -> bytes:
    found = HELLO
    for stream_id in range(1, random.choice([3, 100, 400]), 2):
        found += HeadersFrame(stream_id, headers(random), flags=["END_HEADERS"]).serialize()
    return found


def floods(random: Random) -> bytes:
    frame = random.choice(
        [
            PingFrame(0, random.randbytes(8)),
            SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: random.getrandbits(20)}),
            SettingsFrame(0, {SettingsFrame.MAX_FRAME_SIZE: 1}),
            WindowUpdateFrame(0, (1 << 31) - 1),
            WindowUpdateFrame(1, 1),
            PriorityFrame(1, depends_on=1, stream_weight=3),
            PriorityFrame(random.randrange(1, 99, 2), depends_on=random.randint(0, 99)),
            GoAwayFrame(0, last_stream_id=0, error_code=random.getrandbits(4)),
            RstStreamFrame(random.randrange(1, 9, 2), 0),
            DataFrame(1, b"x" * 1000),
        ]
    )
    body = call(random, 1, framed(message(random)), end=random.random() < 0.5)
    return HELLO + body + frame.serialize() * random.randint(1, 300)


def no_window(random: Random) -> bytes:
    hello = SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 0}).serialize()
    path = random.choice([one for one in PATHS if "Summary" in one or "Resource" in one])
    return PREFACE + hello + call(random, 1, framed(b""), **{":path": path})


def mutated(random: Random) -> bytes:
    """Return a session that was good once."""
    found = bytearray(HELLO)
    for stream_id in range(1, random.randint(1, 6) * 2, 2):
        found += call(random, stream_id, framed(message(random)))
    for _ in range(random.randint(1, 8)):
        at = random.randrange(len(found))
        match random.randrange(4):
            case 0:
                found[at] ^= 1 << random.randrange(8)
            case 1:
                del found[at : at + random.randint(1, 20)]
            case 2:
                found[at:at] = found[at : at + random.randint(1, 40)]
            case _:
                found[at:at] = random.randbytes(random.randint(1, 10))
        if len(found) < 10:
            break
    return bytes(found)


KINDS: tuple[Callable[[Random], bytes], ...] = (
    garbage,
    bad_preface,
    random_frames,
    odd_messages,
    odd_messages,
    odd_headers,
    odd_headers,
    giant_headers,
    continuation_flood,
    hpack_bomb,
    rapid_reset,
    half_open,
    floods,
    no_window,
    mutated,
    mutated,
    mutated,
)


async def played(host: str, port: int, number: int) -> None:
    """Send the bytes of a case, in pieces; read what comes for a moment; hang up."""
    random = Random(number)
    content = KINDS[number % len(KINDS)](random)
    async with await trio.open_tcp_stream(host, port) as stream:
        try:
            with trio.move_on_after(2):
                while content:
                    size = random.choice([1, 9, 100, 5000, len(content)])
                    await stream.send_all(content[:size])
                    content = content[size:]
                if random.random() < 0.3:
                    await stream.send_eof()
            with trio.move_on_after(READ_S):
                while await stream.receive_some(65536):
                    pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass


async def well_served(host: str, port: int) -> None:
    """Make a good call as a good client does, and have it answered."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    connection.send_headers(
        1,
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "x"),
            (":path", "/mirrorneuron.cluster.v1.ClusterService/GetSystemSummary"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ],
    )
    connection.send_data(1, framed(b""), end_stream=True)
    body, trailers = b"", {}
    with trio.fail_after(10):
        async with await trio.open_tcp_stream(host, port) as stream:
            await stream.send_all(connection.data_to_send())
            while not trailers:
                content = await stream.receive_some(65536)
                assert content, "the server hung up"
                for event in connection.receive_data(content):
                    if isinstance(event, h2.events.DataReceived):
                        body += event.data or b""
                    elif isinstance(event, h2.events.TrailersReceived):
                        trailers = dict(event.headers or [])
                await stream.send_all(connection.data_to_send())
    assert trailers[b"grpc-status"] == b"0"
    assert b'"self?":true' in body


async def fuzzed(tmp_path, caplog, numbers: range) -> None:
    with caplog.at_level(logging.WARNING):
        async with a_server(tmp_path) as (_, address):
            host, _, port = address.rpartition(":")
            await well_served(host, int(port))
            await trio.sleep(0.2)
            before = trio.lowlevel.current_statistics().tasks_living
            limiter = trio.CapacityLimiter(AT_ONCE)

            async def one(number: int) -> None:
                async with limiter:
                    await played(host, int(port), number)

            for start in range(numbers.start, numbers.stop, 100):
                async with trio.open_nursery() as nursery:
                    for number in range(start, min(start + 100, numbers.stop)):
                        nursery.start_soon(one, number)
                await well_served(host, int(port))
            with trio.move_on_after(GONE_S):
                while trio.lowlevel.current_statistics().tasks_living > before:
                    await trio.sleep(0.1)
            assert trio.lowlevel.current_statistics().tasks_living <= before, "tasks stay behind"
            await well_served(host, int(port))
    assert [record.getMessage() for record in caplog.records] == []


async def test_odd_bytes_break_nothing(tmp_path, caplog):
    await fuzzed(tmp_path, caplog, range(CASES))


@pytest.mark.soak
async def test_many_odd_bytes_break_nothing(tmp_path, caplog):
    await fuzzed(tmp_path, caplog, range(CASES, SOAK_CASES))
