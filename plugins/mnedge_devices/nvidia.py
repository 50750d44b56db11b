"""NVIDIA's GPUs, as the driver's own management library (NVML) tells of them.

The library is opened for each look and closed after it: nothing of the driver stays open.
"""

import ctypes
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mnedge.hookspecs import hookimpl
from mnedge.model.resources import Device, Fingerprint
from mnedge.ports import DeviceProbe
from mnedge_devices.trees import text

LIBRARIES = (
    "libnvidia-ml.so.1",
    "/run/opengl-driver/lib/libnvidia-ml.so.1",  # NixOS
    "/usr/lib/wsl/lib/libnvidia-ml.so.1",
    "libnvidia-ml.so",
)
MARKERS = ("h100", "h200", "b200", "gb10", "gb200", "spark")
"""Models that schedulers ask for by name."""
UNIFIED = ("gb10", "spark")
NO_DRIVER, NO_LIBRARY = 9, 12
_TEXT_BYTES = 96


class _Memory(ctypes.Structure):
    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


class NvmlError(OSError):
    """The library is there, and cannot be used."""


class Nvidia:
    """Asks NVML."""

    name = "nvidia"

    def __init__(self, sys_root: str, dev_root: str, libraries: Sequence[str] = LIBRARIES) -> None:
        self._sys = Path(sys_root)
        self._dev = Path(dev_root)
        self._libraries = libraries
        self.watched: tuple[str, ...] = (dev_root,)

    def probe(self) -> Fingerprint:
        """Return the GPUs; nothing if there is no driver.

        Raises: NvmlError if the driver is there and does not work.
        """
        library = self._library()
        if library is None:
            return Fingerprint()
        with _opened(library) as nvml:
            if nvml is None:
                return Fingerprint()
            driver = nvml.text("nvmlSystemGetDriverVersion")
            cuda = nvml.number("nvmlSystemGetCudaDriverVersion_v2") or 0
            api = f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else ""
            count = nvml.number("nvmlDeviceGetCount_v2", unsigned=True) or 0
            found = [self._device(nvml, at, driver, api) for at in range(count)]
        devices = tuple(device for device in found if device is not None)
        labels = {label for device in devices for label in device.capabilities}
        return Fingerprint(
            devices=devices,
            capabilities=tuple(sorted(labels)),
            drivers=("cuda",) if devices else (),
        )

    def environment(self, lent: Sequence[Device]) -> Mapping[str, str]:
        """Return the GPUs by UUID, which CUDA counts in no order of its own; empty hides all."""
        names = [
            device.id if device.id.startswith(("GPU-", "MIG-")) else str(device.index)
            for device in lent
        ]
        return {"CUDA_VISIBLE_DEVICES": ",".join(names)}

    def _library(self) -> ctypes.CDLL | None:
        for name in self._libraries:
            try:
                return ctypes.CDLL(name)
            except OSError:
                continue
        return None

    def _device(self, nvml: "_Nvml", at: int, driver: str, api: str) -> Device | None:
        handle = nvml.handle(at)
        if handle is None:
            return None
        name = nvml.text("nvmlDeviceGetName", handle)
        minor = nvml.number("nvmlDeviceGetMinorNumber", handle, unsigned=True)
        major_minor = nvml.pair("nvmlDeviceGetCudaComputeCapability", handle)
        mig = nvml.pair("nvmlDeviceGetMigMode", handle)
        memory = nvml.memory(handle)
        labels = labels_of(name)
        unified = "unified-memory" in labels
        if unified and memory is None:
            memory = self._of_the_machine()
        if major_minor is not None:
            labels.append(f"compute-{major_minor[0]}.{major_minor[1]}")
        if mig is not None and mig[0]:
            labels.append("mig")
        return Device(
            id=nvml.text("nvmlDeviceGetUUID", handle) or f"nvidia-{at}",
            kind="gpu",
            name=name,
            vendor="nvidia",
            driver="cuda",
            driver_version=driver,
            api_version=api,
            memory_total_mb=memory[0] >> 20 if memory else 0,
            memory_free_mb=memory[1] >> 20 if memory else None,
            unified_memory=unified,
            index=at,
            path=str(self._dev / f"nvidia{minor}") if minor is not None else "",
            capabilities=tuple(sorted(labels)),
        )

    def _of_the_machine(self) -> tuple[int, int] | None:
        """Return the machine's memory, which such a GPU has as its own."""
        told = text(self._sys.parent / "proc/meminfo")
        figures = {name: int(kib) << 10 for name, kib in re.findall(r"(Mem\w+): +(\d+) kB", told)}
        total = figures.get("MemTotal")
        return None if total is None else (total, figures.get("MemAvailable", 0))


def labels_of(name: str) -> list[str]:
    """Return what a GPU is called by schedulers, from its full name."""
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    models = [marker for marker in MARKERS if marker in words]
    if "gb10" in models and "spark" not in models:
        models.append("spark")  # the machine around this chip
    unified = ["unified-memory"] if set(models) & set(UNIFIED) else []
    return ["gpu", "nvidia", "cuda", *(f"nvidia-{model}" for model in models), *unified]


class _Nvml:
    """The calls of an open library; what one GPU cannot answer is None."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def handle(self, at: int) -> ctypes.c_void_p | None:
        handle = ctypes.c_void_p()
        good = self._asked("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(at), ctypes.byref(handle))
        return handle if good else None

    def text(self, name: str, *of: Any) -> str:
        said = ctypes.create_string_buffer(_TEXT_BYTES)
        good = self._asked(name, *of, said, ctypes.c_uint(_TEXT_BYTES))
        return said.value.decode(errors="replace") if good else ""

    def number(self, name: str, *of: Any, unsigned: bool = False) -> int | None:
        said: Any = ctypes.c_uint() if unsigned else ctypes.c_int()
        return said.value if self._asked(name, *of, ctypes.byref(said)) else None

    def pair(self, name: str, handle: ctypes.c_void_p) -> tuple[int, int] | None:
        first, second = ctypes.c_uint(), ctypes.c_uint()
        good = self._asked(name, handle, ctypes.byref(first), ctypes.byref(second))
        return (first.value, second.value) if good else None

    def memory(self, handle: ctypes.c_void_p) -> tuple[int, int] | None:
        said = _Memory()
        good = self._asked("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(said))
        return (said.total, said.free) if good else None

    def _asked(self, name: str, *arguments: Any) -> bool:
        call: Callable[..., int] | None = getattr(self._library, name, None)
        return call is not None and call(*arguments) == 0


@contextmanager
def _opened(library: ctypes.CDLL) -> Iterator[_Nvml | None]:
    """Have the library open; None if there is no driver or no GPU for it."""
    code = library.nvmlInit_v2()
    if code in (NO_DRIVER, NO_LIBRARY):
        yield None
        return
    if code:
        describe = library.nvmlErrorString
        describe.restype = ctypes.c_char_p
        said = (describe(code) or b"").decode(errors="replace")
        raise NvmlError(f"NVML cannot be used: {said or f'error {code}'}")
    try:
        yield _Nvml(library)
    finally:
        library.nvmlShutdown()


@hookimpl
def devices(sys_root: str, dev_root: str) -> list[DeviceProbe]:
    """Bring `nvidia`."""
    return [Nvidia(sys_root, dev_root)]
