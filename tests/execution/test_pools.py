from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mnedge.execution.pools import Pools, read_capacities
from mnedge.execution.refusal import RefusedError
from mnedge.model.assignment import assign
from mnedge.model.resources import Device, DeviceAsk


def test_what_fits_is_granted_at_once():
    pools = Pools({"default": 4})
    assert pools.request("default", 3).granted
    assert pools.request("default", 1).granted
    assert pools.stats()["default"].available == 0


def test_what_does_not_fit_waits_until_it_does():
    pools = Pools({"default": 4})
    first, second = pools.request("default", 3), pools.request("default", 2)
    assert not second.granted
    assert pools.release(first) == [second]
    assert second.granted


def test_nobody_overtakes_a_large_request_that_waits():
    pools = Pools({"default": 4})
    held = [pools.request("default", 1) for _ in range(3)]
    large = pools.request("default", 4)
    small = pools.request("default", 1)
    assert not small.granted
    for ticket in held[:2]:
        assert pools.release(ticket) == []
    assert pools.release(held[2]) == [large]
    assert pools.release(large) == [small]


def test_leaving_the_queue_lets_those_behind_go():
    pools = Pools({"default": 2})
    held = pools.request("default", 1)
    large, small = pools.request("default", 2), pools.request("default", 1)
    assert pools.release(large) == [small]
    assert held.granted
    assert small.granted


def test_releasing_twice_gives_nothing_back_twice():
    pools = Pools({"default": 2})
    held = pools.request("default", 2)
    pools.release(held)
    pools.release(held)
    assert pools.stats()["default"].in_use == 0


@pytest.mark.parametrize(
    "pool,slots,text",
    [
        ("gpu", 1, 'unknown executor pool "gpu"'),
        ("default", 25, "requested 25 executor slots but pool capacity is 4"),
        ("default", 0, "executor slots must be a positive integer"),
        ("default", True, "executor slots must be a positive integer"),
    ],
)
def test_the_impossible_is_refused_at_once(pool, slots, text):
    with pytest.raises(RefusedError) as refused:
        Pools({"default": 4}).request(pool, slots)
    assert refused.value.error["error"] == text


def test_a_full_queue_refuses_and_says_how_long_it_is():
    pools = Pools({"default": 1})
    pools.request("default", 1)
    pools.request("default", 1, max_queue_length=1)
    with pytest.raises(RefusedError) as refused:
        pools.request("default", 1, max_queue_length=1)
    error = refused.value.error
    assert error["reason"] == "executor_pool_queue_full"
    assert (error["queued"], error["max_queue_length"], error["retry_after_ms"]) == (1, 1, 250)


@given(
    capacity=st.integers(1, 8),
    steps=st.lists(st.tuples(st.booleans(), st.integers(1, 8)), max_size=60),
)
def test_slots_are_never_lent_twice_and_waiting_is_in_order(capacity, steps):
    pools = Pools({"p": capacity})
    held, waiting = [], []
    for asks, number in steps:
        if asks and number <= capacity:
            ticket = pools.request("p", number)
            assert ticket.granted == (
                not waiting and number + sum(t.slots for t in held) <= capacity
            )
            (held if ticket.granted else waiting).append(ticket)
        elif held and not asks:
            for granted in pools.release(held.pop(number % len(held))):
                assert granted is waiting.pop(0)
                held.append(granted)
        assert pools.stats()["p"].in_use == sum(t.slots for t in held) <= capacity
        assert not waiting or waiting[0].slots > capacity - sum(t.slots for t in held)
    while held:
        for granted in pools.release(held.pop()):
            assert granted is waiting.pop(0)
            held.append(granted)
    assert not waiting, "everybody who asked for what is possible got it"


@pytest.mark.parametrize(
    "environ,capacities",
    [
        ({}, {"default": 4}),
        ({"MN_EXECUTOR_MAX_CONCURRENCY": "9"}, {"default": 9}),
        ({"MIRROR_NEURON_EXECUTOR_MAX_CONCURRENCY": "3"}, {"default": 3}),
        (
            {
                "MN_EXECUTOR_MAX_CONCURRENCY": "2",
                "MIRROR_NEURON_EXECUTOR_MAX_CONCURRENCY": "3",
            },
            {"default": 2},
        ),
        (
            {"MN_EXECUTOR_POOL_CAPACITIES": " default=50, gpu=1 ,io=8,"},
            {"default": 50, "gpu": 1, "io": 8},
        ),
    ],
)
def test_capacities_come_from_the_environment(environ, capacities):
    assert read_capacities(environ) == (capacities, [])


@pytest.mark.parametrize("entry", ["gpu", "gpu=", "gpu=0", "gpu=-1", "=3", "gpu=x", "gpu=1.5"])
def test_a_malformed_capacity_changes_nothing_but_is_reported(entry):
    capacities, problems = read_capacities({"MN_EXECUTOR_POOL_CAPACITIES": f"{entry},io=2"})
    assert capacities == {"default": 4, "io": 2}
    assert len(problems) == 1
    assert entry in problems[0]


def test_a_malformed_concurrency_is_reported():
    capacities, problems = read_capacities({"MN_EXECUTOR_MAX_CONCURRENCY": "many"})
    assert capacities == {"default": 4}
    assert "many" in problems[0]


# ---- devices ----

A, B = (Device(id=name, kind="gpu") for name in "ab")
ONE, TWO = (DeviceAsk(kind="gpu"),), (DeviceAsk(kind="gpu", count=2),)
THAT = {device.id: (DeviceAsk(kind="gpu", ids=(device.id,)),) for device in (A, B)}


def test_devices_are_granted_together_with_slots_and_given_back_with_them():
    pools = Pools({"default": 4}, [A, B])
    first = pools.request("default", 1, asks=ONE)
    assert (first.granted, first.devices) == (True, (A,))
    second = pools.request("default", 1, asks=TWO)
    assert not second.granted
    assert pools.stats()["default"].queued == 1
    assert pools.lent() == {"a": 1}
    assert pools.release(first) == [second]
    assert second.devices == (A, B)
    pools.release(second)
    assert pools.lent() == {}


def test_who_waits_for_a_device_lets_those_who_need_none_have_slots():
    pools = Pools({"default": 2}, [A])
    held = pools.request("default", 1, asks=ONE)
    waits = pools.request("default", 1, asks=ONE)
    plain = pools.request("default", 1)
    assert plain.granted
    assert not waits.granted
    assert pools.release(plain) == []
    assert pools.release(held) == [waits]


def test_nobody_takes_a_device_that_an_older_request_waits_for():
    pools = Pools({"default": 8}, [A, B])
    held = pools.request("default", 1, asks=THAT["a"])
    both = pools.request("default", 1, asks=TWO)
    late = pools.request("default", 1, asks=THAT["b"])
    assert not late.granted, "b is free, but the older request needs it together with a"
    assert pools.release(held) == [both]
    assert pools.release(both) == [late]


def test_who_has_his_devices_is_in_line_for_slots_and_nobody_overtakes_him():
    pools = Pools({"default": 2}, [A])
    first, second = pools.request("default", 1), pools.request("default", 1)
    large = pools.request("default", 2, asks=ONE)
    small = pools.request("default", 1)
    assert pools.release(first) == []
    assert pools.release(second) == [large]
    assert pools.release(large) == [small]


def test_a_device_is_promised_to_who_waits_for_slots_in_another_pool():
    pools = Pools({"small": 1, "default": 1}, [A])
    held = pools.request("small", 1)
    waits = pools.request("small", 1, asks=ONE)
    late = pools.request("default", 1, asks=ONE)
    assert not late.granted
    assert pools.release(held) == [waits]
    assert pools.release(waits) == [late]


def test_leaving_the_queue_sets_free_what_was_promised():
    pools = Pools({"default": 8}, [A, B])
    pools.request("default", 1, asks=THAT["a"])
    both = pools.request("default", 1, asks=TWO)
    late = pools.request("default", 1, asks=THAT["b"])
    assert pools.release(both) == [late]


def test_a_device_that_the_machine_never_has_is_refused_with_the_reason():
    with pytest.raises(RefusedError, match="1 camera: this machine has none") as refused:
        Pools({"default": 1}, [A]).request("default", 1, asks=[DeviceAsk(kind="camera")])
    assert refused.value.error["code"] == "device.unavailable"
    with pytest.raises(RefusedError, match="2 gpu: this machine has 1"):
        Pools({"default": 1}, [A]).request("default", 1, asks=TWO)


def test_the_queue_is_counted_whatever_is_waited_for():
    pools = Pools({"default": 1}, [A])
    pools.request("default", 1, asks=ONE)
    pools.request("default", 1, asks=ONE, max_queue_length=1)
    for asks in (ONE, ()):
        with pytest.raises(RefusedError) as refused:
            pools.request("default", 1, asks=asks, max_queue_length=1)
        assert refused.value.error["reason"] == "executor_pool_queue_full"
    assert pools.stats()["default"].queued == 1


def test_a_device_that_comes_serves_who_waits():
    pools = Pools({"default": 4}, [A])
    pools.request("default", 1, asks=ONE)
    waits = pools.request("default", 1, asks=ONE)
    moved = pools.have([A, B])
    assert (moved.settled, moved.lost) == ([waits], [])
    assert waits.devices == (B,)


def test_who_waits_for_what_will_never_come_is_refused_and_who_holds_it_has_lost_it():
    pools = Pools({"default": 4}, [A])
    holds = pools.request("default", 1, asks=ONE)
    waits = pools.request("default", 1, asks=ONE)
    moved = pools.have([replace(A, healthy=False)], frozenset("a"))
    assert moved.settled == [waits]
    assert "this machine has none" in waits.refused
    assert moved.lost == [holds]
    assert pools.release(holds) == []
    assert pools.release(waits) == []
    assert pools.stats()["default"].in_use == pools.stats()["default"].queued == 0


DEVICES = [
    Device(id="a", kind="gpu", memory_total_mb=8),
    Device(id="b", kind="gpu", memory_total_mb=16),
    Device(id="c", kind="camera", shares=2),
]
WANTED = st.lists(
    st.builds(
        DeviceAsk,
        kind=st.sampled_from(["gpu", "camera"]),
        min_memory_mb=st.sampled_from([0, 16]),
        count=st.integers(1, 2),
    ),
    max_size=2,
).map(tuple)


@given(
    steps=st.lists(
        st.tuples(
            st.booleans(), st.sampled_from(["p", "q"]), st.integers(1, 3), WANTED, st.integers(0, 9)
        ),
        max_size=40,
    )
)
def test_nothing_is_lent_twice_nobody_starves_and_nobody_waits_for_nothing(steps):
    pools = Pools({"p": 3, "q": 2}, DEVICES)
    held, waiting = [], []

    def settle(granted):
        for ticket in granted:
            waiting.remove(ticket)
            held.append(ticket)

    def check():
        for name, capacity in (("p", 3), ("q", 2)):
            slots = sum(ticket.slots for ticket in held if ticket.pool == name)
            assert slots == pools.stats()[name].in_use <= capacity
        lent = Counter(device.id for ticket in held for device in ticket.devices)
        assert lent == pools.lent()
        assert all(lent[device.id] <= device.shares for device in DEVICES)
        if waiting:  # the oldest waits for a reason
            oldest = waiting[0]
            free = pools.stats()[oldest.pool].available
            assert oldest.slots > free or assign(oldest.asks, DEVICES, lent) is None

    for asks, pool, slots, wanted, at in steps:
        if asks:
            try:
                ticket = pools.request(pool, slots, asks=wanted)
            except RefusedError:
                assert slots > 2 or assign(wanted, DEVICES) is None
                continue
            (held if ticket.granted else waiting).append(ticket)
        elif held and at % 3:
            settle(pools.release(held.pop(at % len(held))))
        elif waiting:
            settle(pools.release(waiting.pop(at % len(waiting))))
        check()
    while held:
        settle(pools.release(held.pop(0)))
        check()
    assert not waiting, "everybody who asked for what is possible got it"
