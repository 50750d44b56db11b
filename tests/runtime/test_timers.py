import trio

from mnedge.runtime.timers import Timers


async def test_timers_fire_in_order_of_moment_then_id_each_once(autojump_clock):
    fired: list[tuple[float, str]] = []
    timers = Timers(trio.current_time, lambda timer: fired.append((trio.current_time(), timer)))
    start = trio.current_time()
    timers.set("late", start + 5)
    timers.set("b", start + 1)
    timers.set("a", start + 1)
    timers.set("gone", start + 2)
    timers.clear("gone")
    timers.set("moved", start + 1)
    timers.set("moved", start + 3)
    with trio.move_on_after(3600):
        await timers.run()
    assert [(at - start, timer) for at, timer in fired] == [
        (1, "a"),
        (1, "b"),
        (3, "moved"),
        (5, "late"),
    ]


async def test_a_timer_set_while_waiting_for_a_later_one_fires_first(autojump_clock):
    fired: list[str] = []
    timers = Timers(trio.current_time, fired.append)
    start = trio.current_time()
    timers.set("hour", start + 3600)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        await trio.sleep(1)
        timers.set("soon", start + 2)
        await trio.sleep(2)
        assert fired == ["soon"]
        nursery.cancel_scope.cancel()


async def test_overdue_timers_fire_at_once(autojump_clock):
    fired: list[str] = []
    timers = Timers(trio.current_time, fired.append)
    timers.set("old", trio.current_time() - 100)
    with trio.move_on_after(0.5):
        await timers.run()
    assert fired == ["old"]


async def test_a_moment_that_is_nearer_than_the_clock_can_tell_still_comes(autojump_clock):
    await trio.sleep(157.406)
    began = trio.current_time()
    due: list[str] = []
    timers = Timers(lambda: trio.current_time() - began, due.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        timers.set("near", 4.5e-15)
        with trio.fail_after(1):
            while not due:
                await trio.sleep(1e-3)
        nursery.cancel_scope.cancel()
    assert due == ["near"]
