from datetime import UTC, datetime

from mnedge.daemon.clock import wall_clock


def test_the_wall_clock_is_the_machines():
    assert abs(wall_clock() - datetime.now(UTC).timestamp()) < 3600
