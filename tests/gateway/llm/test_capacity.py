import pytest
import trio

from mnedge.config.settings import AdapterLimits
from mnedge.gateway.llm.capacity import MOST_CALLERS, Allowance, Capacity
from mnedge.gateway.llm.refusals import BusyError


async def test_what_is_over_the_rate_is_refused_and_told_when_to_come_back(autojump_clock):
    capacity = Capacity("a", AdapterLimits(rps=2.0, burst=3))
    for _ in range(3):
        async with capacity.place("ada"):
            pass
    with pytest.raises(BusyError) as refused:
        async with capacity.place("ada"):
            pass
    assert refused.value.retry_after_s == pytest.approx(0.5)
    async with capacity.place("bob"):
        pass
    await trio.sleep(0.5)
    async with capacity.place("ada"):
        pass


async def test_over_a_long_time_exactly_burst_and_rate_are_admitted(autojump_clock):
    capacity = Capacity("a", AdapterLimits(rps=50.0, burst=100))
    admitted = 0
    for _ in range(10_000):
        try:
            async with capacity.place("ada"):
                admitted += 1
        except BusyError:
            pass
        await trio.sleep(0.002)
    assert admitted == pytest.approx(100 + 50 * 20, rel=0.01)


async def test_a_place_is_waited_for_but_not_for_ever(autojump_clock):
    capacity = Capacity("a", AdapterLimits(concurrency=1, queue_timeout=5.0))
    async with capacity.place("ada"):
        assert capacity.busy == 1
        with pytest.raises(BusyError, match="in time"):
            async with capacity.place("bob"):
                pass
        assert trio.current_time() == 5.0
    async with capacity.place("bob"):
        pass
    assert capacity.busy == 0


async def test_a_full_queue_refuses_at_once(autojump_clock):
    capacity = Capacity("a", AdapterLimits(concurrency=1, queue=1, queue_timeout=5.0))

    async def wait():
        async with capacity.place("bob"):
            pass

    async with capacity.place("ada"), trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(BusyError, match="queue is full"):
            async with capacity.place("eve"):
                pass
        assert trio.current_time() == 0.0
        nursery.cancel_scope.cancel()


async def test_tokens_are_paid_for_afterwards(autojump_clock):
    capacity = Capacity("a", AdapterLimits(tokens_per_minute=600))
    async with capacity.place("ada"):
        capacity.spend("ada", 1200)
    with pytest.raises(BusyError, match="tokens") as refused:
        async with capacity.place("ada"):
            pass
    assert refused.value.retry_after_s == pytest.approx(60.1)
    await trio.sleep(61)
    async with capacity.place("ada"):
        pass


async def test_callers_that_come_once_do_not_fill_the_memory(autojump_clock):
    capacity = Capacity("a", AdapterLimits(rps=1.0, burst=1))
    for number in range(MOST_CALLERS + 50):
        async with capacity.place(f"caller {number}"):
            pass
    assert len(capacity._rates) == MOST_CALLERS


def test_an_amount_over_the_burst_can_be_had_when_the_bucket_is_full():
    allowance = Allowance(rate=1.0, burst=10.0, now=0.0)
    assert allowance.waits_s(25, 0.0) == 0.0
    allowance.spend(25, 0.0)
    assert allowance.waits_s(1, 0.0) == 16.0
