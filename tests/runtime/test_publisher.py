import pytest
import trio

from mnedge.bus import Bus
from mnedge.errors import UnavailableError
from mnedge.model.events import Event
from mnedge.runtime.publisher import AT_ONCE, CATCH_UP_S, LAG_S, RETRY_S, SETTLE_S, Publisher


class Folder:
    """Keeps what is published, and when; a full one refuses."""

    def __init__(self):
        self.written = []
        self.full = False
        self.is_behind = False
        self.merged = []

    def publish(self, events):
        if self.full:
            raise UnavailableError("the disk is full")
        self.written.append((trio.current_time(), [event.seq for event in events]))

    def merge_worker_files(self):
        self.merged.append(trio.current_time())
        self.is_behind = len(self.merged) < 2


def events(*numbers):
    return [Event(number, 0.0, "agent_message_received", "a", {}) for number in numbers]


@pytest.fixture
async def folder(nursery):
    return Folder()


@pytest.fixture
async def publisher(folder, nursery):
    publisher = Publisher("job-1", folder, Bus())
    nursery.start_soon(publisher.run)
    return publisher


async def test_the_first_event_is_published_in_a_moment(publisher, folder, autojump_clock):
    began = trio.current_time()
    await publisher.add(events(1))
    await trio.testing.wait_all_tasks_blocked()
    assert folder.written == []  # what was started with it goes first
    await trio.sleep(1)
    assert folder.written == [(began + SETTLE_S, [1])]


async def test_events_of_a_busy_job_are_published_together(publisher, folder, autojump_clock):
    for number in range(1, 6):
        await publisher.add(events(number))
        await trio.sleep(LAG_S / 8)
    await trio.sleep(LAG_S)
    assert [numbers for _, numbers in folder.written] == [[1], [2, 3, 4, 5]]


async def test_after_a_silence_an_event_does_not_wait_long(publisher, folder, autojump_clock):
    await publisher.add(events(1))
    await trio.sleep(10)
    came = trio.current_time()
    await publisher.add(events(2))
    await trio.sleep(1)
    assert folder.written[-1] == (came + SETTLE_S, [2])


async def test_many_events_are_published_before_the_job_goes_on(publisher, folder, autojump_clock):
    await trio.testing.wait_all_tasks_blocked()
    await publisher.add(events(*range(1, AT_ONCE + 1)))
    assert [len(numbers) for _, numbers in folder.written] == [AT_ONCE]
    await publisher.add(events(AT_ONCE + 1))
    await trio.sleep(1)
    assert folder.written[-1][1] == [AT_ONCE + 1]


async def test_a_full_disk_holds_events_up_and_loses_none(folder, autojump_clock):
    bus = Bus()
    publisher = Publisher("job-1", folder, bus)
    with bus.subscribe() as seen:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publisher.run)
            folder.full = True
            await publisher.add(events(1))
            await trio.sleep(RETRY_S * 2.5)
            await publisher.add(events(2))
            folder.full = False
            await publisher.flush()
            nursery.cancel_scope.cancel()
        published = await anext(seen)
    assert [event.seq for event in published.events] == [1, 2]
    assert [numbers for _, numbers in folder.written] == [[1, 2]]


async def test_an_idle_publisher_never_wakes(publisher, folder, autojump_clock):
    await publisher.add(events(1))
    await trio.sleep(LAG_S * 2)
    assert trio.lowlevel.current_statistics().seconds_to_next_deadline == float("inf")
    assert len(folder.written) == 1


async def test_who_hurries_waits_for_no_disk_and_loses_nothing(publisher, folder, autojump_clock):
    folder.full = True
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publisher.add, events(*range(1, AT_ONCE + 1)))
        await trio.sleep(RETRY_S * 3.5)
        publisher.hurry()
    assert trio.current_time() - began == RETRY_S * 3.5
    assert not await publisher.settle()
    folder.full = False
    await trio.sleep(RETRY_S * 2)
    assert [len(numbers) for _, numbers in folder.written] == [AT_ONCE]
    assert await publisher.settle()


async def test_a_folder_that_was_spared_is_looked_at_until_it_shows_all(
    publisher, folder, autojump_clock
):
    folder.is_behind = True
    await publisher.add(events(1))
    await trio.sleep(20 * CATCH_UP_S)
    began = folder.written[0][0] + LAG_S
    assert folder.merged == [began + CATCH_UP_S, began + 2 * CATCH_UP_S]
