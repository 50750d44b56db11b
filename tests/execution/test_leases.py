import random
from collections import Counter

import msgspec
import pytest
import trio
from msgspec.structs import replace

from mnedge.execution.inventory import Changed
from mnedge.execution.leases import Leases, NodeStoppingError
from mnedge.execution.refusal import RefusedError
from mnedge.model.resources import Device, DeviceAsk


class Told(list):
    def __call__(self, event, payload):
        self.append((event, payload))


@pytest.fixture
def leases():
    return Leases({"default": 2}, random.Random(1))


async def test_a_lease_says_what_happens_to_it(leases, autojump_clock):
    told = Told()
    metadata = {"job_id": "j", "agent_id": "a", "node": "n"}
    async with leases.lease("default", 1, metadata, told) as lease:
        await trio.sleep(1)
    assert len(lease.lease_id) == 11
    assert lease.metadata == metadata
    assert told == [
        ("executor_lease_requested", {"pool": "default", "slots": 1}),
        (
            "executor_lease_acquired",
            {"lease_id": lease.lease_id, "pool": "default", "slots": 1, "queue_wait_ms": 0},
        ),
        (
            "executor_lease_released",
            {"lease_id": lease.lease_id, "pool": "default", "slots": 1},
        ),
    ]


async def test_waiting_is_measured(leases, autojump_clock):
    got = []

    async def hold(seconds):
        async with leases.lease("default", 2, {}, Told()) as lease:
            got.append(lease.queue_wait_ms)
            assert lease.acquired_at_ms - lease.requested_at_ms == lease.queue_wait_ms
            await trio.sleep(seconds)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(hold, 1.5)
            await trio.testing.wait_all_tasks_blocked()
    assert got == [0, 1500, 3000]


async def test_a_cancelled_waiter_leaves_the_queue(leases, autojump_clock):
    async with leases.lease("default", 2, {}, Told()):
        with trio.move_on_after(1):
            async with leases.lease("default", 1, {}, Told()):
                pytest.fail("there was no slot")
        assert leases.stats()["default"].queued == 0
    assert leases.stats()["default"].in_use == 0


async def test_a_cancelled_holder_gives_back(leases, autojump_clock):
    told = Told()
    with trio.move_on_after(1):
        async with leases.lease("default", 2, {}, told):
            await trio.sleep_forever()
    assert leases.stats()["default"].in_use == 0
    assert told[-1][0] == "executor_lease_released"


async def test_waiting_too_long_is_refused_if_a_limit_is_set(leases, autojump_clock):
    told = Told()
    async with leases.lease("default", 2, {}, Told()):
        with pytest.raises(RefusedError) as refused:
            async with leases.lease("default", 1, {}, told, timeout_s=30):
                pytest.fail("there was no slot")
    waited = {
        "reason": "executor_pool_queue_timeout",
        "pool": "default",
        "slots": 1,
        "queue_wait_ms": 30_000,
        "timeout_ms": 30_000,
        "retry_after_ms": 250,
    }
    assert told[-1] == ("executor_lease_rejected", waited)
    assert waited.items() <= refused.value.error.items()


async def test_without_a_limit_a_waiter_waits_for_days(leases, autojump_clock):
    async def hold():
        async with leases.lease("default", 2, {}, Told()):
            await trio.sleep(86_400)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold)
        await trio.testing.wait_all_tasks_blocked()
        async with leases.lease("default", 1, {}, Told()) as lease:
            assert lease.queue_wait_ms == 86_400_000


async def test_the_impossible_is_said_and_refused(leases):
    told = Told()
    with pytest.raises(RefusedError):
        async with leases.lease("gpu", 1, {}, told):
            pytest.fail("there is no such pool")
    assert told == [
        ("executor_lease_requested", {"pool": "gpu", "slots": 1}),
        (
            "executor_lease_rejected",
            {"pool": "gpu", "slots": 1, "reason": 'unknown executor pool "gpu"'},
        ),
    ]


async def test_a_grant_and_a_timeout_at_the_same_moment_lose_no_slot(leases, autojump_clock):
    async def hold(seconds, timeout_s):
        try:
            async with leases.lease("default", 2, {}, Told(), timeout_s=timeout_s):
                await trio.sleep(seconds)
        except RefusedError:
            pass

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(hold, 1, 1)
    assert leases.stats()["default"].in_use == 0
    assert leases.stats()["default"].queued == 0


async def test_after_the_close_held_leases_stay_and_waiters_are_sent_away(leases, autojump_clock):
    sent_away = []

    async def wait():
        with pytest.raises(NodeStoppingError):
            async with leases.lease("default", 1, {}, Told()):
                pytest.fail("nothing is lent any more")
        sent_away.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        async with leases.lease("default", 2, {}, Told()):
            nursery.start_soon(wait)
            await trio.sleep(1)
            leases.close()
            await wait()
            await trio.sleep(1)
        assert len(sent_away) == 2
    assert leases.stats()["default"].in_use == 0
    assert leases.stats()["default"].queued == 0


async def test_a_slot_granted_at_the_moment_of_the_close_is_not_used(leases, autojump_clock):
    async with trio.open_nursery() as nursery:

        async def wait():
            with pytest.raises(NodeStoppingError):
                async with leases.lease("default", 1, {}, Told()):
                    pytest.fail("nothing is lent any more")

        async with leases.lease("default", 2, {}, Told()):
            nursery.start_soon(wait)
            await trio.sleep(1)
        leases.close()
    assert leases.stats()["default"].in_use == 0


# ---- devices ----

A, B = (Device(id=name, kind="gpu") for name in "ab")
ONE = (DeviceAsk(kind="gpu"),)


@pytest.fixture
def equipped(leases):
    leases.have(Changed(devices=(A,)))
    return leases


async def test_a_lease_says_which_devices_it_holds(equipped):
    told = Told()
    async with equipped.lease("default", 1, {}, told, asks=ONE) as lease:
        assert lease.devices == (A,)
        assert equipped.lent() == {"a": 1}
    assert equipped.lent() == {}
    assert told[0][1]["devices"] == ["1 gpu"]
    assert told[1][1]["devices"] == told[2][1]["devices"] == ["a"]


async def test_what_holds_no_device_encodes_as_it_always_did(leases):
    async with leases.lease("default", 1, {}, Told()) as lease:
        assert "devices" not in msgspec.to_builtins(lease)


async def test_a_holder_of_a_device_that_is_lost_is_told_stopped_and_refused(equipped):
    told, ended = Told(), []

    async def hold():
        with pytest.raises(RefusedError, match="a device was lost while it was lent: a") as lost:
            async with equipped.lease("default", 1, {}, told, asks=ONE):
                await trio.sleep_forever()
        ended.append(lost.value.error["code"])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold)
        await trio.testing.wait_all_tasks_blocked()
        equipped.have(Changed(devices=(B,), gone=frozenset("a")))
    assert ended == ["device_lost"]
    assert [event for event, _ in told[-2:]] == ["device_lost", "executor_lease_released"]
    assert told[-2][1]["lost"] == ["a"]
    assert equipped.stats()["default"].in_use == 0


async def test_who_waits_for_a_device_that_goes_for_good_is_refused(equipped):
    told, refusals = Told(), []

    async def wait():
        with pytest.raises(RefusedError, match="no such device can be lent") as refused:
            async with equipped.lease("default", 1, {}, told, asks=ONE):
                pytest.fail("there was no device")
        refusals.append(refused.value.error["code"])

    async with equipped.lease("default", 1, {}, Told(), asks=ONE), trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        equipped.have(Changed(devices=(replace(A, healthy=False),)))
    assert refusals == ["device.unavailable"]
    assert told[-1][0] == "executor_lease_rejected"


async def test_who_waits_gets_a_device_that_comes(equipped):
    got = trio.Event()

    async def wait():
        async with equipped.lease("default", 1, {}, Told(), asks=ONE) as lease:
            assert lease.devices == (B,)
            got.set()

    async with equipped.lease("default", 1, {}, Told(), asks=ONE), trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        equipped.have(Changed(devices=(A, B)))
        await got.wait()


async def test_what_the_block_raises_itself_is_not_hidden_by_a_lost_device(equipped):
    async def broken():
        async with equipped.lease("default", 1, {}, Told(), asks=ONE):
            equipped.have(Changed(devices=(), gone=frozenset("a")))
            raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        await broken()


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_to_holders_no_device_is_held_twice_and_all_comes_back(
    autojump_clock, seed
):
    chance = random.Random(seed)
    leases = Leases({"default": 3, "other": 2}, chance)
    devices = {name: Device(id=name, kind="gpu") for name in "abc"}
    here = dict(devices)
    leases.have(Changed(devices=tuple(here.values())))
    holders, ends = {}, Counter()

    async def work(number):
        asks = (DeviceAsk(kind="gpu", count=chance.randint(1, 2)),) if chance.random() < 0.7 else ()
        pool = chance.choice(["default", "other"])
        slots, limit = chance.randint(1, 2), chance.choice([None, 3.0])
        await trio.sleep(chance.random() * 40)
        with trio.move_on_after(chance.choice([1.0, 6.0, 1000.0])) as given_up:
            try:
                async with leases.lease(pool, slots, {}, Told(), asks=asks, timeout_s=limit) as got:
                    for device in got.devices:
                        assert holders.setdefault(device.id, number) == number
                    try:
                        await trio.sleep(chance.random() * 5)
                        ends["done"] += 1
                    finally:
                        for device in got.devices:
                            del holders[device.id]
            except RefusedError as refused:
                ends[refused.error["reason"]] += 1
        ends["given up"] += given_up.cancelled_caught

    async def comes_and_goes():
        while True:
            await trio.sleep(chance.random() * 4)
            name = chance.choice("abc")
            if here.pop(name, None) is None:
                here[name] = devices[name]
                leases.have(Changed(devices=tuple(here.values())))
            else:
                leases.have(Changed(devices=tuple(here.values()), gone=frozenset(name)))

    async with trio.open_nursery() as around:
        around.start_soon(comes_and_goes)
        async with trio.open_nursery() as nursery:
            for number in range(60):
                nursery.start_soon(work, number)
        around.cancel_scope.cancel()
    assert leases.lent() == holders == {}
    for stats in leases.stats().values():
        assert stats.in_use == stats.queued == stats.active == 0
    assert ends["done"] > 5
    assert sum(ends.values()) >= 60
