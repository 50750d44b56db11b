"""A way to start processes, for the tests of runners: the very one that a node gives them."""

from mnedge.execution.processes import Processes
from mnedge.ports import Spawner


def a_spawner() -> Spawner:
    """Return one of its own, which finds nothing of anybody else's."""
    return Processes()
