import pytest
import trio

from mnedge.errors import UnavailableError, UsageError
from mnedge.observe.outbox import MOST, ROWS, Letter, Outbox
from mnedge.part import running
from mnedge.ports import Delivery
from mnedge.store.memory import MemoryStore
from tests.runtime.rig import now


class Channels:
    def __init__(self):
        self.sent: list[tuple[float, str, str, int]] = []
        self.away: set[str] = set()
        self.fails: dict[str, Exception] = {}

    async def send(self, channel, delivery):
        await trio.lowlevel.checkpoint()
        if channel in self.away:
            raise UnavailableError("nobody answers")
        if delivery.delivery_id in self.fails:
            raise self.fails[delivery.delivery_id]
        self.sent.append((trio.current_time(), channel, delivery.delivery_id, delivery.attempt))


def letter(number=1, channel="hook", at=None):
    at = now() if at is None else at
    return Letter(
        channel=channel,
        delivery=Delivery(delivery_id=f"d{number}-{channel}", kind="alert", title="t", at=at),
    )


@pytest.fixture
async def node():
    async with running(MemoryStore()) as store:
        yield store


def outbox_of(store, channels, said=None, counted=None):
    return Outbox(
        store.table,
        channels,
        now=now,
        tell=lambda level, text, fields: (said if said is not None else []).append((level, text)),
        counted=lambda channel, how: (counted if counted is not None else []).append(how),
    )


async def test_what_is_put_is_sent_and_forgotten(node, autojump_clock):
    channels, counted = Channels(), []
    async with running(outbox_of(node, channels, counted=counted)) as outbox:
        await outbox.put([letter(1), letter(2)])
        await trio.sleep(1)
        assert [sent[2] for sent in channels.sent] == ["d1-hook", "d2-hook"]
        assert outbox.waiting == []
    assert await node.table.scan(ROWS) == []
    assert counted == ["sent", "sent"]


async def test_a_channel_that_is_away_is_asked_less_often_and_holds_up_no_other(
    node, autojump_clock
):
    channels, said = Channels(), []
    channels.away.add("hook")
    async with running(outbox_of(node, channels, said)) as outbox:
        await outbox.put([letter(1), letter(2), letter(3, "file")])
        await trio.sleep(3)
        assert [sent[1] for sent in channels.sent] == ["file"]
        await trio.sleep(3600)
        tries = sum(1 for level, _ in said if level == "warning")
        assert 14 <= tries <= 25, "5 s, 10 s, … at most five minutes apart"
        channels.away.clear()
        await trio.sleep(600)
        assert {sent[2] for sent in channels.sent} == {"d1-hook", "d2-hook", "d3-file"}
        assert outbox.waiting == []


async def test_what_is_refused_is_dropped_and_said_and_the_next_goes(node, autojump_clock):
    channels, said, counted = Channels(), [], []
    channels.fails["d1-hook"] = UsageError("410")
    channels.fails["d2-hook"] = ValueError("a bug in the skill")
    async with running(outbox_of(node, channels, said, counted)) as outbox:
        await outbox.put([letter(1), letter(2), letter(3)])
        await trio.sleep(100)
        assert [sent[2] for sent in channels.sent] == ["d3-hook"]
        assert counted[0] == "refused"
        assert ("error", "was not sent and will not be") in said
        assert [waiting.delivery.delivery_id for waiting in outbox.waiting] == ["d2-hook"]
        assert "ValueError" in outbox.waiting[0].last_error


async def test_after_a_day_it_is_given_up(node, autojump_clock):
    channels, counted = Channels(), []
    channels.away.add("hook")
    async with running(outbox_of(node, channels, counted=counted)) as outbox:
        await outbox.put([letter(1)])
        await trio.sleep(90_000)
        assert outbox.waiting == []
        assert counted[-1] == "given_up"


async def test_a_restart_goes_on_where_it_stopped(node, autojump_clock):
    channels = Channels()
    channels.away.add("hook")
    async with running(outbox_of(node, channels)) as outbox:
        await outbox.put([letter(1)])
        await trio.sleep(20)
    channels.away.clear()
    async with running(outbox_of(node, channels)) as outbox:
        await trio.sleep(300)
        assert [(sent[2], sent[3]) for sent in channels.sent] == [("d1-hook", 4)]
        assert outbox.waiting == []


async def test_letters_and_their_alert_are_kept_together_and_once(node, autojump_clock):
    channels = Channels()
    async with running(outbox_of(node, channels)) as outbox:
        channels.away.add("hook")
        one = letter(1)
        await outbox.put([one], {"alert/k": b"1"})
        await outbox.put([one], {"alert/k": b"2"})
        assert len(outbox.waiting) == 1
        row = await node.table.get("alert/k")
        assert row.value == b"2"


async def test_it_is_bounded_and_the_oldest_goes(node, autojump_clock):
    channels, counted = Channels(), []
    channels.away.add("hook")
    async with running(outbox_of(node, channels, counted=counted)) as outbox:
        await trio.sleep(0)
        for number in range(MOST + 20):
            await outbox.put([letter(number, at=number)])
        assert len(outbox.waiting) == MOST
        assert outbox.waiting[0].delivery.delivery_id == "d20-hook"
        assert counted.count("dropped") == 20


async def test_a_row_that_cannot_be_read_holds_nobody_up(node, autojump_clock):
    await node.table.put(f"{ROWS}1", b"not json")
    channels = Channels()
    async with running(outbox_of(node, channels)) as outbox:
        await outbox.put([letter(1)])
        await trio.sleep(1)
        assert len(channels.sent) == 1


async def test_nothing_waits_nothing_wakes(node, autojump_clock):
    woken = []
    outbox = outbox_of(node, Channels())
    ready = outbox._ready
    outbox._ready = lambda: (woken.append(1), ready())[1]
    async with running(outbox):
        await trio.sleep(86_400)
    assert len(woken) == 1
