import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.execution.pools import Pools, read_capacities
from mnedge.execution.refusal import RefusedError


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
