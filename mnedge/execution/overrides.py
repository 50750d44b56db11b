"""What an operator says a machine has, whatever the probes find. Pure.

Source: cluster 1.1 (`MN_NODE_…`), platform 4 (an operator's value is an upper bound).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mnedge.model.resources import GPU, Device, with_markers

_TEXTS = {
    "MN_NODE_GPU_VENDOR": "vendor",
    "MN_NODE_GPU_NAME": "name",
    "MN_NODE_GPU_MODEL": "name",
    "MN_NODE_GPU_DRIVER": "driver",
    "MN_NODE_GPU_DRIVER_VERSION": "driver_version",
    "MN_NODE_GPU_API_VERSION": "api_version",
}
_MEMORY = ("MN_NODE_GPU_MEMORY_TOTAL_MB", "MN_NODE_GPU_MEMORY_MB")
_MOST_GPUS = 1024
_VISIBLE = {
    "nvidia": "CUDA_VISIBLE_DEVICES",
    "amd": "ROCR_VISIBLE_DEVICES",
    "intel": "ZE_AFFINITY_MASK",
}


class Said(Struct, frozen=True, kw_only=True):
    """What the environment says; None and empty: it says nothing."""

    cpu_cores: float | None = None
    cpu_model: str = ""
    memory_total_mb: int | None = None
    disk_total_mb: int | None = None
    display_name: str = ""
    host_paths: tuple[str, ...] = ()
    drivers: tuple[str, ...] | None = None
    capabilities: tuple[str, ...] = ()
    devices: tuple[Device, ...] | None = None
    """In place of all that is found."""
    gpu_count: int | None = None
    gpu: dict[str, Any] = {}
    """Fields of every GPU."""
    visible: dict[str, tuple[str, ...]] = {}
    """Vendor → the GPUs that its library may use, by number or id: no others are lent."""
    problems: tuple[str, ...] = ()


def said_by(environ: Mapping[str, str]) -> Said:
    """Return what the environment says of this machine; what cannot be read is a problem, and says
    nothing."""
    problems: list[str] = []
    words = {
        name: value.strip()
        for name, value in environ.items()
        if name.startswith("MN_NODE_") and value.strip()
    }
    hardware = _hardware(words.get("MN_NODE_HARDWARE_JSON", ""), problems)
    devices = _devices(hardware, problems)
    inner = {key: hardware.get(key) for key in ("cpu", "memory", "disk")}
    cpu, memory, disk = ({} if not isinstance(v, dict) else v for v in inner.values())
    gpu = _gpu(words, problems)
    count = _whole(words, "MN_NODE_GPU_COUNT", problems)
    if count is not None and count > _MOST_GPUS:
        problems.append(f"MN_NODE_GPU_COUNT: {count} is more than {_MOST_GPUS}")
        count = None
    return Said(
        cpu_cores=_number(words, "MN_NODE_CPU_CORES", problems) or _plain(cpu.get("cores")),
        cpu_model=words.get("MN_NODE_CPU_MODEL", "") or str(cpu.get("model") or ""),
        memory_total_mb=_whole(words, "MN_NODE_MEMORY_TOTAL_MB", problems)
        or _int(_plain(memory.get("total_mb"))),
        disk_total_mb=_whole(words, "MN_NODE_DISK_TOTAL_MB", problems)
        or _int(_plain(disk.get("total_mb"))),
        display_name=words.get("MN_NODE_DISPLAY_NAME", ""),
        host_paths=_list(words.get("MN_NODE_HOST_PATHS", "")),
        drivers=_list(words["MN_NODE_RUNTIME_DRIVERS"])
        if "MN_NODE_RUNTIME_DRIVERS" in words
        else None,
        capabilities=with_markers(
            [
                *words.get("MN_NODE_CAPABILITIES", "").split(","),
                *_labels(hardware.get("capabilities")),
            ]
        ),
        devices=devices,
        gpu_count=count,
        gpu=gpu,
        visible={
            vendor: _list(environ[name]) for vendor, name in _VISIBLE.items() if name in environ
        },
        problems=tuple(problems),
    )


def overridden(found: Sequence[Device], said: Said) -> tuple[Device, ...]:
    """Return the devices as the operator says they are."""
    devices = list(found if said.devices is None else said.devices)
    devices = [device for device in devices if _visible(device, said.visible)]
    if said.gpu:
        devices = [
            replace(device, **said.gpu) if device.kind == GPU else device for device in devices
        ]
    if said.gpu_count is not None:
        gpus = [device for device in devices if device.kind == GPU][: said.gpu_count]
        more = range(len(gpus), said.gpu_count)
        gpus += [Device(id=f"gpu-{at}", kind=GPU, index=at, **said.gpu) for at in more]
        devices = [device for device in devices if device.kind != GPU] + gpus
    return tuple(devices)


def _visible(device: Device, allowed: Mapping[str, Sequence[str]]) -> bool:
    """Tell whether a maker's own variable lets a GPU be seen; of others it says nothing."""
    if device.kind != GPU or device.vendor not in allowed:
        return True
    return any(
        one == str(device.index) or (len(one) > 4 and device.id.startswith(one))
        for one in allowed[device.vendor]
    )


def _hardware(text: str, problems: list[str]) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        problems.append(f"MN_NODE_HARDWARE_JSON: {error}")
        return {}
    if not isinstance(found, dict):
        problems.append("MN_NODE_HARDWARE_JSON: it is no object")
        return {}
    return found


def _devices(hardware: Mapping[str, Any], problems: list[str]) -> tuple[Device, ...] | None:
    listed = hardware.get("devices", hardware.get("gpu"))
    if not isinstance(listed, list):
        return None
    found: list[Device] = []
    for at, item in enumerate(listed):
        given = {"id": f"gpu-{at}", "kind": GPU, **item} if isinstance(item, dict) else item
        try:
            found.append(msgspec.convert(given, Device))
        except msgspec.ValidationError as error:
            problems.append(f"MN_NODE_HARDWARE_JSON: devices[{at}]: {error}")
    ids = [device.id for device in found]
    if len(set(ids)) != len(ids):
        problems.append("MN_NODE_HARDWARE_JSON: two devices have one id")
        return None
    return tuple(found)


def _gpu(words: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    """Return the fields that every GPU has."""
    gpu: dict[str, Any] = {
        field: words[name] for name, field in reversed(_TEXTS.items()) if name in words
    }
    for field in ("vendor", "driver"):
        if field in gpu:
            gpu[field] = gpu[field].lower()
    total = next((_whole(words, name, problems) for name in _MEMORY if name in words), None)
    if total is not None:
        gpu["memory_total_mb"] = total
    if "MN_NODE_GPU_CAPABILITIES" in words:
        gpu["capabilities"] = with_markers(words["MN_NODE_GPU_CAPABILITIES"].split(","))
    return gpu


def _labels(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _list(text: str) -> tuple[str, ...]:
    return tuple(part for part in (one.strip() for one in text.split(",")) if part)


def _number(words: Mapping[str, str], name: str, problems: list[str]) -> float | None:
    text = words.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e12:
        problems.append(f"{name}: {text!r} is no number of at least 0")
        return None
    return value


def _whole(words: Mapping[str, str], name: str, problems: list[str]) -> int | None:
    return _int(_number(words, name, problems))


def _int(value: float | None) -> int | None:
    return None if value is None else int(value)


def _plain(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return value if good else None
