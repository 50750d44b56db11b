"""Requests that two readers could understand differently are refused; streams fail alone."""

import h2.config
import h2.connection
import h2.events
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from mnedge.gateway.strict_http import StrictBuffer
from tests.gateway.doors import open_doors

live = pytest.mark.live

POST = b"POST /a HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /a HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
AMBIGUOUS = {
    "CL.TE": POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    "TE.CL": POST + CHUNKED + b"Content-Length: 4\r\n\r\n5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n",
    "TE.TE": POST + CHUNKED + b"Transfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "TE twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "TE odd": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "TE blank before colon": POST + b"Transfer-Encoding : chunked\r\n\r\n",
    "TE with vertical tab": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n",
    "TE in 1.0": b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "the same length twice": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "lengths in a list": POST + b"Content-Length: 3, 4\r\n\r\nabcd",
    "negative length": POST + b"Content-Length: -1\r\n\r\n",
    "signed length": POST + b"Content-Length: +3\r\n\r\nabc",
    "hex length": POST + b"Content-Length: 0x3\r\n\r\nabc",
    "folded line": GET + b"X-A: 1\r\n  folded\r\n\r\n",
    "folded length": POST + b"Content-Length:\r\n 3\r\n\r\nabc",
    "bare line feeds": b"GET /a HTTP/1.1\nHost: x\n\n",
    "a bare line feed": b"GET /a HTTP/1.1\r\nHost: x\nX-A: 1\r\n\r\n",
    "a bare carriage return": b"GET /a HTTP/1.1\r\nHost: x\rX-A: 1\r\n\r\n",
    "a zero byte": GET + b"X-A: 1\x00\r\n\r\n",
    "a control character": GET + b"X-A: 1\x01\r\n\r\n",
    "a name with a blank": GET + b"X A: 1\r\n\r\n",
    "no name": GET + b": 1\r\n\r\n",
    "no colon": GET + b"nothing\r\n\r\n",
    "no host": b"GET /a HTTP/1.1\r\n\r\n",
    "two hosts": GET + b"Host: y\r\n\r\n",
    "0.9": b"GET /a\r\n\r\n",
    "1.2": b"GET /a HTTP/1.2\r\nHost: x\r\n\r\n",
    "odd version": b"GET /a HTTP/11\r\nHost: x\r\n\r\n",
    "two blanks": b"GET  /a HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tab": b"GET\t/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "absolute form": b"GET http://evil/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "authority form": b"GET evil:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no path": b"GET a HTTP/1.1\r\nHost: x\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "odd method": b"G@T /a HTTP/1.1\r\nHost: x\r\n\r\n",
    "high bytes in the path": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "an odd chunk": POST + CHUNKED + b"\r\nzz\r\nabc\r\n0\r\n\r\n",
    "a large head": GET + b"X-A: " + b"a" * 20_000 + b"\r\n\r\n",
    "a large unfinished head": GET + b"X-A: " + b"a" * 20_000,
    "many headers": GET + b"A: 1\r\n" * 200 + b"\r\n",
}


BY_THE_LAYERS = ("absolute form", "authority form", "no path", "asterisk", "a control character")


@live
async def test_what_is_ambiguous_is_refused_and_nothing_behind_it_is_served(tmp_path):
    async with open_doors(tmp_path, request_timeout=2, idle_timeout=0.3) as doors:
        token = (await doors.token()).encode()
        behind = (
            b"GET /smuggled HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + b"\r\n\r\n"
        )
        for name, content in AMBIGUOUS.items():
            told = await doors.raw(content + behind)
            status = told[9:12]
            # Well-formed, but refused by the layers: the connection may go on.
            goes_on = name in BY_THE_LAYERS
            assert status[:1] in (b"4", b"5"), (name, told[:200])
            assert goes_on or told.count(b"HTTP/1.1 ") == 1, (name, told[:400])
            assert goes_on or b"/smuggled" not in told, (name, told)
            assert b"application/problem+json" in told, name
        assert (await doors.raw(b"GET /api/v1/health HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200")


@live
async def test_honest_requests_pass_one_after_another(tmp_path):
    async with open_doors(tmp_path, idle_timeout=0.3) as doors:
        token = (await doors.token()).encode()
        head = b"Host: x\r\nAuthorization: Bearer " + token + b"\r\n"
        told = await doors.raw(
            b"POST /a HTTP/1.1\r\n" + head + b"Content-Length: 3\r\n\r\nabc"
            b"POST /b HTTP/1.1\r\n" + head + b"Transfer-Encoding: chunked\r\n\r\n"
            b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n"
            b"GET /c HTTP/1.1\r\n" + head + b"\r\n"
        )
        assert told.count(b"HTTP/1.1 200") == 3
        assert b'"path": "/b", "method": "POST", "bytes": 5' in told


heads = st.lists(
    st.sampled_from(
        [b"GET / HTTP/1.1", b"\r\n", b"\r", b"\n", b"A: 1", b" ", b"Content-Length: 1", b"x"]
    ),
    max_size=30,
).map(b"".join)


@given(heads, st.integers(1, 9))
@settings(max_examples=200)
def test_lines_are_the_same_however_the_bytes_come_in(content, piece):
    def read(pieces):
        buffer, found = StrictBuffer(1000), []
        try:
            for one in pieces:
                buffer += one
                while (lines := buffer.maybe_extract_lines()) is not None:
                    found.append([bytes(line) for line in lines])
        except Exception:
            found.append("refused")
        return found

    whole = read([content])
    cut = read([content[at : at + piece] for at in range(0, len(content), piece)])
    assert cut == whole or cut[: len(whole)] == whole[: len(cut)] or "refused" in (cut + whole)[-1:]
    for lines in whole:
        if lines != "refused":
            assert not any(b"\r" in line or b"\n" in line for line in lines)


class Call:
    """A client of HTTP/2 that may say odd things."""

    def __init__(self, stream) -> None:
        config = h2.config.H2Configuration(
            client_side=True,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            header_encoding=None,
        )
        self.wire = h2.connection.H2Connection(config)
        self.wire.initiate_connection()
        self.stream = stream
        self.events = []

    async def flush(self):
        await self.stream.send_all(self.wire.data_to_send())

    def headers(self, token, **changed):
        pseudo = {":method": "GET", ":scheme": "http", ":authority": "x", ":path": "/a"}
        found = [(k.encode(), v.encode("latin-1")) for k, v in (pseudo | changed).items()]
        return [*found, (b"authorization", b"Bearer " + token)]

    async def until(self, kind, stream_id, within_s=5.0):
        with trio.fail_after(within_s):
            while True:
                for event in self.events:
                    if isinstance(event, kind) and event.stream_id == stream_id:
                        return event
                self.events += self.wire.receive_data(await self.stream.receive_some(65536))
                await self.flush()


@live
async def test_odd_streams_end_alone(tmp_path):
    async with open_doors(tmp_path) as doors:
        token = (await doors.token()).encode()
        async with await trio.open_tcp_stream("127.0.0.1", doors.port) as stream:
            call = Call(stream)
            for changed in (
                {":path": "/\xff"},
                {":path": "http://evil/"},
                {":path": "/a b"},
                {":method": "get"},
                {":method": "g\xe9t"},
            ):
                number = call.wire.get_next_available_stream_id()
                call.wire.send_headers(number, call.headers(token, **changed), end_stream=True)
                await call.flush()
                try:
                    await call.until(h2.events.StreamReset, number)
                except h2.exceptions.ProtocolError:
                    pytest.fail(f"{changed} ended the connection")
            number = call.wire.get_next_available_stream_id()
            call.wire.send_headers(number, call.headers(token), end_stream=True)
            await call.flush()
            headers = dict((await call.until(h2.events.ResponseReceived, number)).headers)
            assert headers[b":status"] == b"200"


@live
async def test_a_body_after_an_early_answer_harms_nobody(tmp_path):
    async with open_doors(tmp_path) as doors:
        token = (await doors.token()).encode()
        async with await trio.open_tcp_stream("127.0.0.1", doors.port) as stream:
            call = Call(stream)
            call.wire.send_headers(1, call.headers(token, **{":method": "POST", ":path": "/early"}))
            await call.flush()
            await call.until(h2.events.StreamEnded, 1)
            reset = await call.until(h2.events.StreamReset, 1)
            assert reset.error_code == h2.errors.ErrorCodes.NO_ERROR
            call.wire.send_headers(3, call.headers(token), end_stream=True)
            await call.flush()
            await call.until(h2.events.StreamEnded, 3)


@live
async def test_streams_that_are_only_opened_to_be_reset_end_the_connection(tmp_path):
    async with open_doors(tmp_path) as doors:
        token = (await doors.token()).encode()
        async with await trio.open_tcp_stream("127.0.0.1", doors.port) as stream:
            call = Call(stream)
            with trio.move_on_after(10) as waited:
                try:
                    for _ in range(2000):
                        number = call.wire.get_next_available_stream_id()
                        call.wire.send_headers(number, call.headers(token, **{":path": "/slow"}))
                        call.wire.reset_stream(number)
                        await call.flush()
                except trio.BrokenResourceError:
                    pass
                else:
                    while await stream.receive_some(65536):
                        pass
            assert not waited.cancelled_caught
        assert (await doors.raw(b"GET /api/v1/health HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200")


@live
async def test_rubbish_ends_its_own_connection_only(tmp_path):
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    async with open_doors(tmp_path, request_timeout=0.5, idle_timeout=0.5) as doors:
        for rubbish in (
            preface + b"\x00" * 100,
            preface + b"\xff" * 100,
            preface[:20] + b"x" * 50,
            preface + b"\x00\x00\x04\x08\x00\x00\x00\x00\x00" + b"\x00" * 4,
            preface,
        ):
            await doors.raw(rubbish)
        assert (await doors.raw(b"GET /api/v1/health HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200")
