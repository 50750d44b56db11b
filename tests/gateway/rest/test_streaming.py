import trio

from mnedge.gateway.rest.streaming import (
    HEARTBEAT,
    HEARTBEAT_S,
    TOGETHER_S,
    EventStream,
    frame,
    told_frame,
)
from mnedge.store.runs.places import Head, Mark, Place, Told


def test_an_event_is_framed_with_its_id_and_type():
    assert frame(b"{}", event="tick", mark="1") == b"id: 1\nevent: tick\ndata: {}\n\n"
    assert frame(b"{}") == b"data: {}\n\n"


def test_a_type_that_a_worker_chose_cannot_begin_another_line():
    assert frame(b"{}", event="a\ndata: b\r\n") == b"event: a_data: b__\ndata: {}\n\n"


def test_a_record_is_framed_once_for_all_its_readers():
    told = Told(mark=Mark(7, 2), head=Head(type="t"), line=b'{"a":1}', end=Place(1, 8))
    first = told_frame(told)
    assert first == b'id: 7.2\nevent: t\ndata: {"a":1}\n\n'
    assert told_frame(told) is first
    assert told_frame(told, "job:7").startswith(b"id: job:7\n")


async def test_streams_that_begin_apart_beat_at_the_same_moments(autojump_clock):
    beats: dict[int, list[float]] = {0: [], 1: [], 2: []}

    async def reads(number: int) -> None:
        async def send(message):
            if message.get("body") == HEARTBEAT:
                beats[number].append(trio.current_time())

        async def tell(write, pulse):
            await trio.sleep_forever()

        stream = EventStream(tell)
        await trio.sleep(number * TOGETHER_S / 7)
        await stream({"type": "http", "method": "GET"}, trio.sleep_forever, send)

    await trio.sleep(TOGETHER_S - trio.current_time() % TOGETHER_S + 1)
    with trio.move_on_after(HEARTBEAT_S * 5):
        async with trio.open_nursery() as nursery:
            for number in beats:
                nursery.start_soon(reads, number)
    assert beats[0] == beats[1] == beats[2]
    assert len(beats[0]) >= 4
    pauses = [late - early for early, late in zip(beats[0], beats[0][1:], strict=False)]
    assert all(HEARTBEAT_S - TOGETHER_S <= round(pause, 3) <= HEARTBEAT_S for pause in pauses)
