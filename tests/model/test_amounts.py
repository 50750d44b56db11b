"""Durations and sizes as people read them."""

import pytest

from mnedge.model.amounts import duration, size


@pytest.mark.parametrize(
    "seconds,said",
    [
        (-1, "0.0 s"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3600, "1 h 00 min"),
        (7800, "2 h 10 min"),
        (86400 * 5 + 3 * 3600, "5 d 3 h"),
    ],
)
def test_a_duration_is_told_in_the_units_people_use(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    "count,said", [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB")]
)
def test_a_size_is_told_in_binary_units(count, said):
    assert size(count) == said
