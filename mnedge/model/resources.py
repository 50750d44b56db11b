"""What a machine has beyond cores and memory: devices, and what jobs ask of them.

Source: cluster 5.2, 5.3 and 7.6, bundle format 2.9.4.
"""

import re
from collections.abc import Iterable

from msgspec import Struct

GPU = "gpu"
_NUMBER = re.compile(r"\d+")


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
    """How many attempts may have it at the same time; 0: any number, it is only shown."""

    @property
    def type(self) -> str:
        """The kind as manifests spell it: `nvidia/gpu`, and just the kind where no vendor is."""
        return f"{self.vendor}/{self.kind}" if self.vendor and self.kind == GPU else self.kind


class Fingerprint(Struct, frozen=True, kw_only=True):
    """What one probe found on this machine."""

    devices: tuple[Device, ...] = ()
    capabilities: tuple[str, ...] = ()
    """Labels of the whole machine: `gpu`, `nvidia-h100`, `unified-memory`, `avx2`."""
    drivers: tuple[str, ...] = ()
    """Ways to run things that it makes possible."""


class DeviceAsk(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`count` devices of which all of this holds; what is empty is not asked for.

    Units: MiB.
    """

    kind: str = ""
    type: str = ""
    vendor: str = ""
    driver: str = ""
    min_memory_mb: float = 0
    memory_operator: str = ">="
    min_api_version: str = ""
    api_version_operator: str = ">="
    capabilities: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    """One of these."""
    count: int = 1

    @property
    def gpu_like(self) -> bool:
        """Tell whether it can only be met by GPUs."""
        return GPU in {self.kind.lower(), self.type.lower().rpartition("/")[2]}

    def __str__(self) -> str:
        what = self.type or self.kind or "device"
        said = [f"{self.count} {what}"]
        said += [f"{name} {value}" for name in ("vendor", "driver") if (value := self._of(name))]
        if self.min_memory_mb:
            said.append(f"memory {self.memory_operator} {self.min_memory_mb:g} MiB")
        if self.min_api_version:
            said.append(f"API {self.api_version_operator} {self.min_api_version}")
        if self.capabilities:
            said.append(f"with {', '.join(self.capabilities)}")
        if self.ids:
            said.append(f"one of {', '.join(self.ids)}")
        return ", ".join(said)

    def _of(self, name: str) -> str:
        value: str = getattr(self, name)
        return value


def missing(ask: DeviceAsk, device: Device) -> str:
    """Return why the device is not what is asked for, the first reason; empty: it is."""
    kinds = {device.kind.lower(), device.type.lower()}
    for wanted in (ask.kind, ask.type):
        if wanted and wanted.lower() not in kinds:
            return f"it is a {device.kind}"
    if ask.vendor and ask.vendor.lower() != device.vendor.lower():
        return f"its vendor is {device.vendor or 'unknown'}"
    if ask.driver and ask.driver.lower() != device.driver.lower():
        return f"its driver is {device.driver or 'unknown'}"
    total = device.memory_total_mb
    if ask.min_memory_mb and not _holds(ask.memory_operator, (total,), (ask.min_memory_mb,)):
        return f"it has {total} MiB"
    version = _version(device.api_version)
    if ask.min_api_version and not (
        version and _holds(ask.api_version_operator, version, _version(ask.min_api_version))
    ):
        return f"its API version is {device.api_version or 'unknown'}"
    has = {capability.lower() for capability in device.capabilities}
    lacks = [capability for capability in ask.capabilities if capability.lower() not in has]
    if lacks:
        return f"it has no {', '.join(lacks)}"
    if ask.ids and device.id not in ask.ids:
        return "its id is another"
    return ""


def _version(text: str) -> tuple[float, ...]:
    numbers = [float(number) for number in _NUMBER.findall(text)]
    while numbers and not numbers[-1]:
        numbers.pop()  # 12 and 12.0 are one
    return tuple(numbers) or ((0.0,) if _NUMBER.search(text) else ())


def _holds(operator: str, left: tuple[float, ...], right: tuple[float, ...]) -> bool:
    match operator:
        case ">":
            return left > right
        case "==" | "=":
            return left == right
        case _:
            return left >= right


def with_markers(labels: Iterable[str]) -> tuple[str, ...]:
    """Return labels as the machine shows them: lower case, `-` for `_`, sorted, each once."""
    return tuple(sorted({label.strip().lower().replace("_", "-") for label in labels} - {""}))
