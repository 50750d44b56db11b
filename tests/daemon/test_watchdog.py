from itertools import pairwise

import trio

from mnedge.daemon.watchdog import Watchdog
from mnedge.errors import UnavailableError
from mnedge.part import running


class Probe:
    """Moves unless it is told to hang or to be gone."""

    def __init__(self):
        self.hangs = False
        self.gone = False

    async def __call__(self):
        if self.gone:
            raise UnavailableError("closed")
        if self.hangs:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()


def watched(probe, interval_s=10.0):
    pings = []
    return pings, Watchdog(lambda: pings.append(trio.current_time()), interval_s, [probe])


async def test_it_pings_at_half_the_interval(autojump_clock):
    pings, watchdog = watched(Probe())
    began = trio.current_time()
    async with running(watchdog):
        await trio.sleep(21)
    assert [round(at - began) for at in pings] == [0, 5, 10, 15, 20]


async def test_a_probe_that_hangs_stops_the_pings(autojump_clock):
    probe = Probe()
    pings, watchdog = watched(probe)
    async with running(watchdog):
        await trio.sleep(6)
        probe.hangs = True
        await trio.sleep(100)
    assert len(pings) == 2


async def test_a_probe_that_is_gone_stops_the_pings_until_it_is_back(autojump_clock):
    probe = Probe()
    probe.gone = True
    pings, watchdog = watched(probe)
    async with running(watchdog):
        await trio.sleep(20)
        assert pings == []
        probe.gone = False
        await trio.sleep(6)
    assert pings


async def test_a_slow_probe_is_pinged_for_as_soon_as_it_moved(autojump_clock):
    async def slow():
        await trio.sleep(8)

    pings = []
    began = trio.current_time()
    async with running(Watchdog(lambda: pings.append(trio.current_time()), 10.0, [slow])):
        await trio.sleep(30)
    assert [round(at - began) for at in pings] == [8, 17, 26]


async def test_without_an_interval_it_says_nothing(autojump_clock):
    pings, watchdog = watched(Probe(), None)
    async with running(watchdog):
        await trio.sleep(100)
    assert pings == []


class Stacks:
    """Keeps what it was told, and says when nobody told it anything in time."""

    def __init__(self):
        self.armed = []
        self.is_calm = False

    def arm(self, seconds):
        self.armed.append((trio.current_time(), seconds))

    def calm(self):
        self.is_calm = True

    def moved(self):
        pass


async def test_a_loop_that_turns_shows_it_often_enough_for_the_stacks(autojump_clock):
    stacks, pings = Stacks(), []
    watchdog = Watchdog(lambda: pings.append(trio.current_time()), 16.0, [Probe()], stacks)
    async with running(watchdog):
        await trio.sleep(33)
    times = [at for at, _ in stacks.armed]
    assert [round(b - a) for a, b in pairwise(times)] == [2] * 16
    assert stacks.is_calm


async def test_the_stacks_are_written_before_the_earliest_death(autojump_clock):
    """The loop stops at any moment: its stack is on the disk before the manager gives up."""
    stacks, pings = Stacks(), []
    watchdog = Watchdog(lambda: pings.append(trio.current_time()), 16.0, [Probe()], stacks)
    async with running(watchdog):
        await trio.sleep(40)
    for at in (0.1, 1.9, 2.1, 7.9, 8.1, 15.9, 20.0, 39.9):
        began = trio.current_time() - 40 + at
        written = max(when + wait for when, wait in stacks.armed if when <= began)
        death = max(ping for ping in pings if ping <= began) + 16
        assert began < written < death


async def test_a_probe_that_hangs_is_no_reason_to_suspect_anybody(autojump_clock):
    stacks, probe = Stacks(), Probe()
    probe.hangs = True
    async with running(Watchdog(lambda: None, 16.0, [probe], stacks)):
        await trio.sleep(33)
    assert len(stacks.armed) == 17


async def test_without_an_interval_nobody_is_watched(autojump_clock):
    stacks = Stacks()
    async with running(Watchdog(lambda: None, None, [], stacks)):
        await trio.sleep(100)
    assert stacks.armed == []
