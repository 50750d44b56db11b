import trio

from mnedge.bus import Bus, Published


async def test_a_watcher_gets_what_is_published_while_it_watches():
    bus = Bus()
    bus.publish(Published("before", []))
    with bus.subscribe() as subscription:
        bus.publish(Published("a", []))
        bus.publish(Published("b", []))
        assert (await anext(subscription)).job_id == "a"
        assert (await anext(subscription)).job_id == "b"
    bus.publish(Published("after", []))
    with trio.move_on_after(0) as scope:
        await anext(subscription)
    assert scope.cancelled_caught


async def test_a_slow_watcher_loses_the_oldest_and_knows_how_many():
    bus = Bus()
    with bus.subscribe(size=2) as subscription:
        for name in "abcd":
            bus.publish(Published(name, []))
        assert subscription.lost == 2
        assert [(await anext(subscription)).job_id for _ in range(2)] == ["c", "d"]


async def test_a_watcher_that_waits_is_woken(autojump_clock):
    bus = Bus()

    async def later():
        await trio.sleep(1)
        bus.publish(Published("x", []))

    with bus.subscribe() as subscription:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(later)
            assert (await anext(subscription)).job_id == "x"
