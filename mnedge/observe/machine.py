"""Figures about this process, its pools and its disk; asked for only when somebody scrapes."""

import os
import resource
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from mnedge import __version__
from mnedge.model.resources import GPU, Device
from mnedge.observe.metrics import Registry
from mnedge.ports import Clock
from mnedge.store.condition import Conditions

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Pool(Protocol):
    """How full a pool is."""

    @property
    def capacity(self) -> int:
        """Slots."""

    @property
    def in_use(self) -> int:
        """Slots that are lent."""

    @property
    def queued(self) -> int:
        """Requests that wait."""


def measure_process(registry: Registry, *, now: Clock, node: str) -> None:
    """Have the process measured: memory, processor time, files, how long it has run."""
    started_at = now()
    build = registry.gauge(
        "mnedge_build_info", "1, with the version and the node.", ["version", "node"]
    )
    build.set(1, __version__, node)
    registry.gauge("process_start_time_seconds", "When the process began, seconds since 1970.").set(
        started_at
    )
    registry.gauge("process_resident_memory_bytes", "Memory it holds.").asked(
        lambda: {(): float(_resident_bytes())}
    )
    registry.asked_counter(
        "process_cpu_seconds_total", "Processor time it took.", lambda: {(): _cpu_s()}
    )
    registry.gauge("process_open_fds", "Files and sockets it has open.").asked(
        lambda: {(): float(len(os.listdir("/proc/self/fd")) - 1)}
    )


def measure_pools(registry: Registry, pools: Callable[[], Mapping[str, Pool]]) -> None:
    """Have the pools measured: slots by state, and requests that wait."""

    def slots() -> dict[tuple[str, ...], float]:
        found: dict[tuple[str, ...], float] = {}
        for name, pool in pools().items():
            found[(name, "in_use")] = float(pool.in_use)
            found[(name, "free")] = float(pool.capacity - pool.in_use)
        return found

    registry.gauge("mnedge_pool_slots", "Slots of execution pools.", ["pool", "state"]).asked(slots)
    registry.gauge("cortex_queue_depth", "Requests that wait for slots.", ["pool"]).asked(
        lambda: {(name,): float(pool.queued) for name, pool in pools().items()}
    )


def measure_devices(registry: Registry, devices: Callable[[], Sequence[Device]]) -> None:
    """Have the devices counted, and the memory of GPUs measured as it was last seen."""

    def counted() -> dict[tuple[str, ...], float]:
        found: dict[tuple[str, ...], float] = {}
        for device in devices():
            labels = (device.kind, "true" if device.healthy else "false")
            found[labels] = found.get(labels, 0.0) + 1
        return found

    def memory(*, used: bool) -> dict[tuple[str, ...], float]:
        return {
            (str(device.index), device.id): float((device.memory_total_mb - free) << 20)
            for device in devices()
            if device.kind == GPU and device.vendor == "nvidia" and device.healthy
            and (free := (device.memory_free_mb if used else 0)) is not None
        }  # fmt: skip

    registry.gauge("mnedge_devices", "Devices of this machine.", ["kind", "healthy"]).asked(counted)
    labels = ["gpu", "uuid"]
    registry.gauge("nvidia_gpu_memory_total_bytes", "Memory a GPU has.", labels).asked(
        lambda: memory(used=False)
    )
    registry.gauge("nvidia_gpu_memory_used_bytes", "Memory of a GPU in use.", labels).asked(
        lambda: memory(used=True)
    )


def measure_store(registry: Registry, conditions: Conditions, database: Path) -> None:
    """Have the store measured: what is wrong with its disk, and how large its files are."""
    registry.gauge(
        "mnedge_store_condition", "1 for the state of the store's disk.", ["condition"]
    ).asked(lambda: {(conditions.current.name,): 1.0})
    registry.gauge("mnedge_store_bytes", "Size of the database's files.", ["file"]).asked(
        lambda: {
            (kind,): float(file.stat().st_size)
            for kind, file in (
                ("database", database),
                ("log", database.with_name(f"{database.name}-wal")),
            )
            if file.exists()
        }
    )


def measure_plugins(registry: Registry, states: Callable[[], Mapping[str, int]]) -> None:
    """Have the plugins from outside counted by what becomes of them."""
    registry.gauge("mnedge_plugins", "Plugins from outside, by state.", ["state"]).asked(
        lambda: {(state,): float(count) for state, count in states().items()}
    )


def measure_streams(registry: Registry, readers: Callable[[], int]) -> None:
    """Have the gateway's open event streams counted."""
    registry.gauge("mnedge_streams_open", "Event streams that are open.").asked(
        lambda: {(): float(readers())}
    )


def _resident_bytes() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE_BYTES


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
