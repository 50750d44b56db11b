"""What a worker is told of the devices it was lent. Pure.

Hints, not walls: who looks for more finds it. Source: cluster 5.7.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mnedge.model.resources import GPU, Device

SHOWN = ("id", "index", "kind", "vendor", "driver", "memory_total_mb", "path")


def shown(device: Device) -> dict[str, Any]:
    """Return a lent device as allocations and leases show it."""
    return {name: getattr(device, name) for name in SHOWN}


def device_variables(
    lent: Sequence[Device], vendors: Mapping[str, str], *, node: str = ""
) -> dict[str, str]:
    """Return the variables that name what was lent.

    `vendors`: what the probes say about it to the libraries of its makers.
    """
    if not lent:
        return dict(vendors)
    allocation = {"node_name": node, "devices": [shown(device) for device in lent]}
    told = {
        **vendors,
        "MN_ALLOCATION_JSON": msgspec.json.encode(allocation).decode(),
        "MN_ALLOCATED_DEVICE_IDS": ",".join(device.id for device in lent),
        "MNEDGE_DEVICES": msgspec.json.encode(lent).decode(),
    }
    paths: dict[str, list[str]] = {}
    for device in lent:
        if device.path:
            paths.setdefault(_word(device.kind), []).append(device.path)
    for kind, each in paths.items():
        told[f"MNEDGE_DEVICE_{kind}_PATHS"] = ":".join(each)
    driver = next((device.driver for device in lent if device.kind == GPU), "")
    if driver:
        told["MN_GPU_DRIVER"] = driver
    return told


def _word(kind: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", kind.upper())
