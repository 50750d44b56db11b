"""What a machine has beyond cores and memory: devices, and what jobs ask of them.

Source: cluster 5.3 and 7.6, bundle format 2.9.4.
"""

from msgspec import Struct


class Device(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something a job may be lent: an accelerator, a camera, a port, a pin.

    Units: MiB.
    """

    id: str
    """The same after every start: a UUID, a serial number, a bus address or a path."""
    kind: str
    """`gpu`, `npu`, `cpu`, `camera`, `serial`, `gpio`, `i2c`, `usb`, `audio`."""
    name: str = ""
    vendor: str = ""
    driver: str = ""
    driver_version: str = ""
    api_version: str = ""
    memory_total_mb: int = 0
    memory_free_mb: int | None = None
    unified_memory: bool = False
    index: int | None = None
    path: str = ""
    """Where a program opens it."""
    capabilities: tuple[str, ...] = ()
    healthy: bool = True
    shares: int = 1
    """How many attempts may have it at the same time."""


class Fingerprint(Struct, frozen=True, kw_only=True):
    """What one probe found on this machine."""

    devices: tuple[Device, ...] = ()
    capabilities: tuple[str, ...] = ()
    """Labels of the whole machine: `gpu`, `nvidia-h100`, `unified-memory`, `avx2`."""
    drivers: tuple[str, ...] = ()
    """Ways to run things that it makes possible."""
