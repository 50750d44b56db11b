"""One request and its answer: ended by either side, never waited for without end."""

import pytest
import trio

from mnedge.gateway.http_exchange import QUEUE, Exchange, RequestTooSlowError
from mnedge.gateway.problems import BrokenAnswerError

BODY = {"type": "http.request", "body": b"x", "more_body": True}
LAST = {"type": "http.request", "body": b"", "more_body": False}
GONE = {"type": "http.disconnect"}


class Wire:
    """What the server was told."""

    def __init__(self) -> None:
        self.sent = []
        self.over = []

    async def forward(self, message):
        self.sent.append(message)

    def exchange(self, app, timeout_s=30.0):
        return Exchange(app, {}, self.forward, timeout_s=timeout_s, over=self.over.append)


async def answered(send, body=b"ok", more=False):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def test_an_application_hears_all_and_is_heard():
    async def app(scope, receive, send):
        assert (await receive())["body"] == b"x"
        assert not (await receive())["more_body"]
        await answered(send)

    wire = Wire()
    exchange = wire.exchange(app)
    await exchange.put(BODY)
    await exchange.put(LAST)
    await exchange.run()
    assert [message and message["type"] for message in wire.sent] == [
        "http.response.start",
        "http.response.body",
        None,
    ]
    assert wire.over == [exchange]


async def test_who_leaves_before_the_answer_is_whole_ends_the_application(autojump_clock):
    ended = trio.Event()

    async def app(scope, receive, send):
        try:
            await answered(send, more=True)
            await trio.sleep_forever()
        finally:
            ended.set()

    wire = Wire()
    exchange = wire.exchange(app)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exchange.run)
        await trio.sleep(1)
        await exchange.put(GONE)
        with trio.fail_after(1):
            await ended.wait()
    assert wire.sent[-1] is None


async def test_what_comes_after_a_whole_answer_is_finished(autojump_clock):
    done = []

    async def app(scope, receive, send):
        await answered(send)
        await trio.sleep(5)
        done.append((await receive())["type"])

    exchange = Wire().exchange(app)
    await exchange.put(LAST)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exchange.run)
        await trio.sleep(1)
        await exchange.put(GONE)
    assert done == ["http.request"]


async def test_a_request_that_trickles_in_is_given_up(autojump_clock):
    caught = []

    async def app(scope, receive, send):
        try:
            while True:
                await receive()
        except RequestTooSlowError as error:
            caught.append((error.http_status, trio.current_time()))

    exchange = Wire().exchange(app, timeout_s=30)
    async with trio.open_nursery() as nursery:
        began = trio.current_time()
        nursery.start_soon(exchange.run)
        for _ in range(6):
            await trio.sleep(7)
            await exchange.put(BODY)
    [(status, at)] = caught
    assert status == 408
    assert at - began == pytest.approx(30, abs=1)


async def test_a_slow_but_steady_body_is_waited_for(autojump_clock):
    sizes = []

    async def app(scope, receive, send):
        while (message := await receive())["more_body"]:
            sizes.append(len(message["body"]))

    exchange = Wire().exchange(app, timeout_s=5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exchange.run)
        for _ in range(60):
            await trio.sleep(1)
            await exchange.put(BODY | {"body": b"x" * (32 << 10)})
        await exchange.put(LAST)
    assert sum(sizes) == 60 * (32 << 10)


async def test_a_body_that_nobody_reads_blocks_nobody(autojump_clock):
    async def app(scope, receive, send):
        await trio.sleep(1)
        await answered(send)

    exchange = Wire().exchange(app)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exchange.run)
            for _ in range(QUEUE * 3):
                await exchange.put(BODY)


async def test_an_application_that_breaks_ends_alone(caplog):
    async def app(scope, receive, send):
        raise ValueError("odd")

    wire = Wire()
    await wire.exchange(app).run()
    assert wire.sent == [None]
    assert "odd" in caplog.text


async def test_a_broken_answer_was_told_already(caplog):
    async def app(scope, receive, send):
        raise BrokenAnswerError

    await Wire().exchange(app).run()
    assert caplog.text == ""


async def test_event_streams_are_known_and_can_be_cut(autojump_clock):
    async def app(scope, receive, send):
        headers = [(b"Content-Type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await trio.sleep_forever()

    exchange = Wire().exchange(app)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exchange.run)
        await trio.sleep(1)
        assert exchange.endless
        exchange.cut()


async def test_trailers_end_an_answer_that_has_them(autojump_clock):
    done = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        await trio.sleep(5)
        await send({"type": "http.response.trailers", "headers": []})
        done.append(True)

    wire = Wire()
    exchange = wire.exchange(app)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exchange.run)
        await trio.sleep(1)
        await exchange.put(GONE)  # the body was whole, the answer was not
    assert done == []
