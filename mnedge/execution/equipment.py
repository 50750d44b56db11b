"""What all work on this node is done with."""

from collections.abc import Mapping, Sequence
from typing import Any

import trio
from msgspec import Struct

from mnedge.config.settings import Config
from mnedge.execution.hints import device_variables
from mnedge.execution.inventory import Inventory
from mnedge.execution.python_env import PythonEnvironments
from mnedge.model.resources import Device
from mnedge.ports import Blobs, Clock, Spawner


class Equipment(Struct, frozen=True, kw_only=True):
    """Made once per node and shared by all attempts and module workers."""

    config: Config
    blobs: Blobs
    spawner: Spawner
    python: PythonEnvironments
    host: Mapping[str, str]
    """What a worker sees of this machine's environment."""
    now: Clock
    copying: trio.CapacityLimiter
    """For threads that copy and remove files: they wait for one disk, so more would not help."""
    inventory: Inventory
    """The devices of this machine."""

    def device_variables(self, lent: Sequence[Device] = ()) -> dict[str, str]:
        """Return what a worker is told of the devices it was lent, and that the others are not."""
        vendors = self.inventory.environment(lent)
        return device_variables(lent, vendors, node=self.config.node)

    def setting(self, name: str) -> int | None:
        """Return a whole number from the environment, `MN_` before `MIRROR_NEURON_`, else None."""
        return number_in(self.config.environ, name)


def number_in(environ: Mapping[str, Any], name: str) -> int | None:
    """Return the whole number of a setting under either prefix; None if it is none."""
    for prefix in ("MN_", "MIRROR_NEURON_"):
        text = environ.get(prefix + name, "").strip()
        if text.removeprefix("-").isdecimal() and text.isascii():
            return int(text)
    return None
