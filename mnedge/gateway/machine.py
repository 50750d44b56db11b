"""This machine as schedulers see it: what it has, and how much of it may be used.

Source: client surface 1.3, the node and resource shapes.
"""

import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from mnedge.config.settings import Config
from mnedge.errors import ConflictError, UsageError
from mnedge.execution.inventory import Inventory
from mnedge.execution.pools import PoolStats
from mnedge.execution.selection import HOST_LOCAL
from mnedge.gateway.eligibility import Eligibility
from mnedge.gateway.nodes import node_name
from mnedge.model.resources import GPU, Device
from mnedge.runtime.jobs import Stores

LIMITS = "node/limits"
IDENTITY = "node/coordination_store"
SHARES = ("cpu", "gpu", "memory", "disk")
_GB = 1 << 30


class LimitsInvalidError(UsageError):
    """A share of the machine is no percentage."""

    code = "resource.limits_invalid"


async def limits(stores: Stores) -> dict[str, int]:
    """Return which share of each resource may be used, in percent."""
    row = await stores.table.get(LIMITS)
    kept = {} if row is None else _decode_limits(row.value)
    return {name: kept.get(name, 100) for name in SHARES}


async def set_limits(stores: Stores, wanted: Mapping[str, Any]) -> dict[str, int]:
    """Keep the shares that are given; return all of them.

    Raises: LimitsInvalidError.
    """
    unknown = sorted(wanted.keys() - set(SHARES))
    odd = [
        name
        for name, value in wanted.items()
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 100
    ]
    if unknown or odd:
        what = f"{', '.join(unknown)}: no such resource" if unknown else f"{', '.join(odd)}"
        raise LimitsInvalidError(
            f"limits are percentages from 1 to 100: {what}", hint=f"there is {', '.join(SHARES)}"
        )
    found = {**await limits(stores), **{name: int(value) for name, value in wanted.items()}}
    await stores.table.put(LIMITS, msgspec.msgpack.encode(found))
    return found


async def store_identity(stores: Stores) -> str:
    """Return what tells this node's table from any other; it is drawn once."""
    while True:
        row = await stores.table.get(IDENTITY)
        if row is not None:
            return row.value.decode()
        try:
            await stores.table.put(IDENTITY, os.urandom(16).hex().encode(), if_version=0)
        except ConflictError:
            continue


def totals(config: Config, inventory: Inventory) -> dict[str, float]:
    """Return what the machine has, as found or as its operator says."""
    import psutil

    memory, said = psutil.virtual_memory(), inventory.said
    place: Path = config.data_dir if config.data_dir.exists() else Path("/")
    disk = shutil.disk_usage(place)
    memory_bytes = _told(said.memory_total_mb, memory.total)
    disk_bytes = _told(said.disk_total_mb, disk.total)
    gpus = [one for one in inventory.devices if one.kind == GPU and one.healthy]
    return {
        "cpu_cores": said.cpu_cores or os.cpu_count() or 1,
        "gpu_count": len(gpus),
        "gpu_memory_total_mb": sum(one.memory_total_mb for one in gpus),
        "gpu_memory_free_mb": sum(_free_mb(one) for one in gpus),
        "memory_gb": round(memory_bytes / _GB, 2),
        "memory_total_gb": round(memory_bytes / _GB, 2),
        "memory_available_gb": round(min(memory.available, memory_bytes) / _GB, 2),
        "disk_gb": round(disk_bytes / _GB, 2),
        "disk_available_gb": round(min(disk.free, disk_bytes) / _GB, 2),
    }


def _told(said_mb: int | None, found_bytes: int) -> int:
    return said_mb << 20 if said_mb else found_bytes


def _free_mb(device: Device) -> int:
    return device.memory_total_mb if device.memory_free_mb is None else device.memory_free_mb


def devices_json(inventory: Inventory) -> list[dict[str, Any]]:
    """Return the devices as the wire has them, and how many attempts hold each."""
    lent = inventory.lent()
    return [
        {
            "id": one.id,
            "kind": one.kind,
            "type": one.type,
            "name": one.name,
            "vendor": one.vendor,
            "driver": one.driver,
            "driver_version": one.driver_version,
            "api_version": one.api_version,
            "memory_total_mb": one.memory_total_mb,
            "memory_free_mb": one.memory_free_mb,
            "unified_memory": one.unified_memory,
            "index": one.index,
            "path": one.path,
            "capabilities": list(one.capabilities),
            "healthy": one.healthy,
            "shares": one.shares,
            "in_use": lent.get(one.id, 0),
        }
        for one in inventory.devices
    ]


def usable(found: Mapping[str, float], shares: Mapping[str, int]) -> dict[str, float]:
    """Return what of it may be used."""
    return {
        name: round(value * shares[next(one for one in SHARES if name.startswith(one))] / 100, 2)
        for name, value in found.items()
    }


async def resource_report(stores: Stores, config: Config, inventory: Inventory) -> dict[str, Any]:
    """Return the machine's resources, its limits, what remains of one by the other, its devices,
    and how those who look for them fared."""
    await inventory.known()
    found, shares = totals(config, inventory), await limits(stores)
    rest = usable(found, shares)
    devices = devices_json(inventory)
    here = {"name": node_name(config), "self?": True, "limits": shares, "devices": devices}
    return {
        "limits": shares,
        "totals": found,
        "usable": rest,
        "combined": rest,
        "nodes": [{**here, **found, "totals": found, "usable": rest}],
        "devices": devices,
        "capabilities": list(inventory.capabilities),
        "probes": msgspec.to_builtins(inventory.probes),
    }


async def node_json(
    stores: Stores,
    config: Config,
    pools: Mapping[str, PoolStats],
    decided: Eligibility,
    inventory: Inventory,
    *,
    active_jobs: int,
) -> dict[str, Any]:
    """Return this node as lists of nodes show it."""
    await inventory.known()
    found, said, devices = totals(config, inventory), inventory.said, devices_json(inventory)
    model = next((one["name"] for one in devices if one["kind"] == "cpu"), "")
    name = node_name(config)
    sound = stores.conditions.current.name == "ok"
    drain = {"status": decided.drain_status} if decided.drain_status else None
    return {
        "name": name,
        "node": name,
        "self?": True,
        "self": True,
        "status": decided.status,
        "scheduling_eligible": decided.open,
        "maintenance": decided.maintenance,
        "drain": drain,
        "reason": decided.reason,
        "operator_disconnect": False,
        "connected_nodes": [],
        "hostname": platform.node(),
        "display_name": said.display_name or platform.node(),
        "executor_pools": {
            pool: {
                "capacity": one.capacity,
                "available": one.available,
                "in_use": one.in_use,
                "queued": one.queued,
                "active": one.active,
            }
            for pool, one in pools.items()
        },
        "hardware": {
            "cpu": {
                "cores": found["cpu_cores"],
                "architecture": platform.machine(),
                "model": said.cpu_model or model,
            },
            "memory": {
                "total_gb": found["memory_gb"],
                "available_gb": found["memory_available_gb"],
            },
            "disk": {"total_gb": found["disk_gb"], "available_gb": found["disk_available_gb"]},
            "gpu": [one for one in devices if one["kind"] == GPU],
            "devices": devices,
            "capabilities": list(inventory.capabilities),
            "system": platform.system().lower(),
        },
        "devices": devices,
        "capabilities": list(inventory.capabilities),
        "runtime_drivers": sorted({HOST_LOCAL, *inventory.drivers}),
        "host_paths": list(said.host_paths),
        "coordination_store": {
            "identity": await store_identity(stores),
            "healthy": sound,
            "writable_primary": sound,
        },
        "load": _load(),
        "active_jobs": active_jobs,
        "running_jobs": active_jobs,
        **_address(config),
    }


def _load() -> float:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return 0.0


def _address(config: Config) -> dict[str, Any]:
    """Return where clients reach the gRPC services, if the configuration fixes it."""
    host, colon, port = (config.relay.listen.grpc or "").rpartition(":")
    if not colon or not port.isdecimal() or port == "0":
        return {}
    return {"grpc_host": host.strip("[]"), "address": host.strip("[]"), "grpc_port": int(port)}


_decode_limits = msgspec.msgpack.Decoder(dict[str, int]).decode
