"""What the wire does, whatever is called."""

import logging

import pytest
import trio

from mnedge.gateway.grpc import transport
from mnedge.gateway.grpc.calls import Rpc
from mnedge.gateway.grpc.frames import framed
from mnedge.gateway.grpc.messages import OBSERVABILITY, OPERATIONS
from mnedge.gateway.grpc.transport import REPLY_BYTES, Transport, timeout_of
from tests.gateway.grpc.wire import a_wire

STREAM = "/mirrorneuron.observability.v1.ObservabilityService/StreamEvents"
EMPTY = framed(b"")
UNARY = "/mirrorneuron.operations.v1.OperationsService/GetOperation"


def served(wire, **handlers):
    """Have these handlers in place of ours."""
    rpcs = {}
    if "unary" in handlers:
        rpcs[UNARY] = Rpc(path=UNARY, method=OPERATIONS.methods[1], unary=handlers["unary"])
    if "streaming" in handlers:
        rpcs[STREAM] = Rpc(
            path=STREAM, method=OBSERVABILITY.methods[0], streaming=handlers["streaming"]
        )
    wire.app = Transport(rpcs, wire.backend)


async def status_of(wire, path=UNARY, body=(EMPTY,), **headers):
    answer = await wire.ask(path, list(body), **headers)
    return int(answer.trailers[b"grpc-status"]), answer.trailers.get(b"grpc-message", b"").decode()


async def test_a_call_whose_time_is_over_is_cut(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        cut = []

        async def slow(call):
            try:
                await trio.sleep_forever()
            finally:
                cut.append(trio.current_time())

        served(wire, unary=slow)
        started = trio.current_time()
        status, text = await status_of(wire, grpc_timeout="250m")
        assert (status, cut) == (4, [started + 0.25])
        assert "0.25 s" in text


async def test_a_client_that_leaves_ends_the_work_for_it(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        gone, cut = trio.Event(), trio.Event()

        async def slow(call, tell):
            await tell({"event_json": "{}"})
            gone.set()
            try:
                await trio.sleep_forever()
            finally:
                cut.set()

        served(wire, streaming=slow)
        answer = await wire.ask(STREAM, [framed(b"")], leave=gone)
        assert cut.is_set()
        assert answer.trailers == {}


@pytest.mark.parametrize(
    "body, status",
    [
        ([b""], 3),
        ([framed(b"")[:3]], 3),
        ([framed(b""), framed(b"")], 3),
        ([framed(b"\xff")], 3),
        ([b"\x01\0\0\0\0"], 12),
        ([b"\0\xff\xff\xff\xff"], 8),
        ([b"\x07\0\0\0\0", b"x" * 1000, b"y" * 1000], 3),
    ],
)
async def test_bad_bodies_are_refused_and_taken_to_their_end(tmp_path, body, status):
    async with a_wire(tmp_path) as wire:
        assert (await status_of(wire, body=body))[0] == status


async def test_a_request_that_never_ends_is_given_up(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        started = trio.current_time()
        body = [framed(b"")[:2]]

        async def send(event):
            sent.append(event)

        sent = []

        async def receive():
            if not body:
                await trio.sleep_forever()
            return {"type": "http.request", "body": body.pop(), "more_body": True}

        headers = [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
        scope = {
            "http_version": "2",
            "method": "POST",
            "path": UNARY,
            "headers": headers,
            "state": {"principal": wire.principal},
        }
        await wire.app(scope, receive, send)
        assert (b"grpc-status", b"14") in sent[-1]["headers"]
        assert trio.current_time() - started < 60


@pytest.mark.parametrize(
    "given, wanted_s",
    [("1H", 3600), ("2M", 120), ("10S", 10), ("10100m", 10.1), ("5u", 5e-6), ("7n", 7e-9)],
)
def test_timeouts_are_read(given, wanted_s):
    scope = {"headers": [(b"grpc-timeout", given.encode())]}
    assert timeout_of(scope) == pytest.approx(wanted_s)
    assert timeout_of({"headers": []}) == float("inf")


@pytest.mark.parametrize("given", ["", "S", "10", "-1S", "123456789S", "1s", "1.5S", "1 S"])
async def test_an_odd_timeout_is_refused(tmp_path, given):
    async with a_wire(tmp_path) as wire:
        assert (await status_of(wire, grpc_timeout=given))[0] == 3


async def test_what_nobody_foresaw_is_told_to_the_log_only(tmp_path, caplog):
    async with a_wire(tmp_path) as wire:

        async def broken(call):
            async with trio.open_nursery():
                raise ZeroDivisionError("a secret")

        served(wire, unary=broken)
        with caplog.at_level(logging.ERROR):
            status, text = await status_of(wire)
        assert status == 13
        assert "secret" not in text
        assert "a secret" in caplog.text


async def test_an_answer_too_large_is_not_sent(tmp_path):
    async with a_wire(tmp_path) as wire:

        async def large(call):
            return {"operation_json": "x" * (REPLY_BYTES + 1)}

        served(wire, unary=large)
        status, text = await status_of(wire)
        assert (status, "clients take" in text) == (8, True)


async def test_unknown_paths_and_encodings_are_not_offered(tmp_path):
    async with a_wire(tmp_path) as wire:
        assert (await status_of(wire, "/x.Y/Dance"))[0] == 12
        assert (await status_of(wire, "/"))[0] == 12
        answer = await wire.ask(UNARY, [framed(b"")], grpc_encoding="gzip")
        assert answer.trailers[b"grpc-status"] == b"12"
        assert answer.headers[b"grpc-accept-encoding"] == b"identity"
        assert (await status_of(wire, grpc_encoding="identity"))[0] == 3  # operation_id is empty


async def test_what_is_no_grpc_is_answered_in_plain_http(tmp_path):
    async with a_wire(tmp_path) as wire:
        headers = {"te": "trailers", "content-type": "application/grpc"}
        for change, status in (
            ({"http_version": "1.1"}, 426),
            ({"method": "GET"}, 405),
            ({"headers": {**headers, "content-type": "application/grpc+json"}}, 415),
            ({"headers": {**headers, "content-type": "application/grpc-web"}}, 415),
            ({"headers": {"content-type": "application/grpc"}}, 400),
        ):
            given = {"http_version": "2", "method": "POST", "headers": headers, **change}
            given["headers"] = [(k.encode(), v.encode()) for k, v in given["headers"].items()]
            sent = []

            async def send(event, sent=sent):
                sent.append(event)

            await wire.app({**given, "path": UNARY, "state": {}}, None, send)
            assert [event["type"] for event in sent] == [
                "http.response.start",
                "http.response.body",
            ]
            assert sent[0]["status"] == status


async def test_a_client_that_takes_nothing_does_not_hold_the_call_for_ever(
    tmp_path, autojump_clock
):
    async with a_wire(tmp_path) as wire:

        async def send(event):
            await trio.sleep_forever()

        headers = [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
        scope = {"http_version": "2", "method": "POST", "path": "/x", "headers": headers}
        with trio.fail_after(4 * transport.LINGER_S):
            await wire.app({**scope, "state": {}}, trio.sleep_forever, send)
