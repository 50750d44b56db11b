"""Mailbox bounds: what a config says, and when pressure begins and ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.engine.pressure import NORMAL, PRESSURED, SATURATED, Bounds, bounds_of


@pytest.mark.parametrize(
    "config,bounds",
    [
        ({}, (100, 75, 25, 250)),
        ({"max_queue_depth": 10}, (10, 9, 9, 250)),
        ({"backpressure": {"max_queue_depth": 3, "retry_after_ms": 5}}, (3, 2, 2, 5)),
        ({"max_queue_depth": 9, "backpressure": {"max_queue_depth": 4}}, (4, 3, 3, 250)),
        ({"max_queue_depth": 1}, (1, 1, 1, 250)),
        ({"high_watermark": 50, "low_watermark": 60}, (100, 50, 50, 250)),
        ({"high_watermark": 500}, (100, 99, 25, 250)),
        ({"low_watermark": 0}, (100, 75, 0, 250)),
        ({"max_queue_depth": 0, "high_watermark": "x", "low_watermark": -1}, (100, 75, 25, 250)),
        ({"max_queue_depth": True, "backpressure": 7}, (100, 75, 25, 250)),
    ],
)
def test_bounds(config, bounds):
    found = bounds_of(config)
    assert (found.most, found.high, found.low, found.retry_after_ms) == bounds


@pytest.mark.parametrize(
    "config,keeps_all",
    [
        ({"backpressure": {"drop_policy": "block"}}, True),
        ({"drop_policy": "block"}, True),
        ({"backpressure": {"drop_policy": "drop_oldest"}}, False),
        ({}, False),
    ],
)
def test_blocking_keeps_stream_messages_too(config, keeps_all):
    assert bounds_of(config).keeps_all is keeps_all


def test_pressure_begins_high_and_ends_low():
    bounds, level, seen = bounds_of({}), NORMAL, []
    for depth in [*range(101), *range(99, -1, -1)]:
        before, level = level, bounds.level(depth, level)
        if before != level:
            seen.append((depth, level))
    assert seen == [(75, PRESSURED), (100, SATURATED), (99, PRESSURED), (25, NORMAL)]


@given(st.integers(1, 50), st.integers(1, 60), st.integers(0, 60), st.integers(0, 60))
def test_below_the_alarm_nothing_changes(most, high, low, depth):
    bounds = bounds_of({"max_queue_depth": most, "high_watermark": high, "low_watermark": low})
    for level in (NORMAL, PRESSURED):
        if depth < bounds.alarm(level) and (level == NORMAL or depth > bounds.low):
            assert bounds.level(depth, level) == level


def test_a_snapshot_says_how_full_it_is():
    assert Bounds().shown("a", 80, PRESSURED) == {
        "agent_id": "a",
        "queue_depth": 80,
        "max_queue_depth": 100,
        "high_watermark": 75,
        "low_watermark": 25,
        "retry_after_ms": 250,
        "backpressure": True,
        "status": "pressured",
    }
