"""Rules about the hardware that a job and its agents ask for."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from mnedge.bundle.rules.registry import ERROR, Found, Wrong, each, rule
from mnedge.bundle.subject import (
    JsonObject,
    Subject,
    is_count,
    is_number,
    is_text,
    mapping,
)

_OPERATORS = (">", ">=", "==", "=")
_SIZE = re.compile(r"\s*[0-9]+(\.[0-9]+)?\s*([kmgt]i?b?|b)?\s*", re.IGNORECASE)
_MINIMUM = {
    "cpu": ("min_cores", "cores", "min"),
    "gpu": ("min_count", "count", "min"),
    "memory": ("min_gb", "gb", "min_mb", "mb", "min"),
    "disk": ("min_gb", "gb", "min_mb", "mb", "min"),
}


def requirements_of(manifest: JsonObject) -> Any:
    """Return the hardware requirements under either spelling, or None."""
    value = manifest.get("requirements")
    return manifest.get("requirments") if value is None else value


@rule(
    "R-01",
    ERROR,
    "*",
    "runtime.requirements",
    "requirements are malformed",
    help='write numbers, sizes such as "8 GB", or objects such as {"min_gb": 8}',
)
def requirements_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield what cannot be read as a hardware requirement."""
    needs = requirements_of(subject.manifest)
    if needs is None:
        return
    key = "requirements" if "requirements" in subject.manifest else "requirments"
    yield from each((key,), _wrong_requirements(needs), needs)


def _wrong_requirements(needs: Any) -> Wrong:
    if not isinstance(needs, dict):
        yield (), "must be an object", "an object with cpu, gpu, memory and disk"
        return
    for key, names in _MINIMUM.items():
        if key in needs and not _is_amount(needs[key], names):
            yield (key,), "must be a number, a size or a minimum", f"a number, or {{{names[0]}: …}}"
    gpu = mapping(needs.get("gpu"))
    for key in ("vendor", "driver", "min_api_version", "enforcement"):
        if key in gpu and not is_text(gpu[key]):
            yield ("gpu", key), "must be a text", "a non-empty text"
    for key in ("api_version_operator", "memory_operator"):
        if key in gpu and gpu[key] not in _OPERATORS:
            yield ("gpu", key), "must be an operator", list(_OPERATORS)
    memory = gpu.get("min_memory_mb", 0)
    if not is_number(memory) or memory < 0:
        yield ("gpu", "min_memory_mb"), "must be a number of at least 0", "a number"
    if not isinstance(gpu.get("required_capabilities", []), list):
        yield ("gpu", "required_capabilities"), "must be a list", "a list of texts"


def _is_amount(value: Any, names: tuple[str, ...]) -> bool:
    if isinstance(value, dict):
        given = [value[name] for name in names if value.get(name) is not None]
        return not given or _is_amount(given[0], ())
    if isinstance(value, str):
        return _SIZE.fullmatch(value) is not None
    return is_number(value) and value >= 0


@rule(
    "R-03",
    ERROR,
    "*",
    "runtime.resources",
    "resources of an agent are malformed",
    help="see the manual on resources: cpu_cores, memory_mb, disk_mb, devices, ports, volumes",
)
def resources_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with the resources an agent asks for."""
    for agent in subject.agents:
        resources = agent.raw.get("resources")
        if isinstance(resources, dict):
            yield from each((*agent.at, "resources"), _wrong_resources(resources), resources)


def _wrong_resources(resources: JsonObject) -> Wrong:
    for key in ("cpu_cores", "memory_mb", "disk_mb"):
        value = resources.get(key)
        if value is not None and (not is_number(value) or value < 0):
            yield (key,), "must be a number of at least 0", "a number"
    if resources.get("gpu_count") is not None and not is_count(resources["gpu_count"]):
        yield ("gpu_count",), "must be a whole number of at least 0", "a whole number"
    if resources.get("runtime_driver") is not None and not is_text(resources["runtime_driver"]):
        yield ("runtime_driver",), "must be a text", ["host_local", "docker_worker", "openshell"]
    yield from _wrong_members(resources, "devices", _wrong_device, "")
    yield from _wrong_members(resources, "ports", _wrong_port, "label")
    yield from _wrong_members(resources, "volumes", _wrong_volume, "name")


def _wrong_members(
    resources: JsonObject, key: str, check: Callable[[JsonObject], Wrong], unique: str
) -> Wrong:
    """Yield what is wrong with a list of devices, ports or volumes."""
    items = resources.get(key)
    if items is None:
        return
    if not isinstance(items, list):
        yield (key,), "must be a list", "a list of objects"
        return
    seen: set[str] = set()
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            yield (key, index), "must be an object", "an object"
            continue
        for at, reason, expected in check(item):
            yield (key, index, *at), reason, expected
        name = item.get(unique)
        if is_text(name):
            if name in seen:
                yield (key, index, unique), "is taken already", f"a {unique} of its own"
            seen.add(name)


def _wrong_device(device: JsonObject) -> Wrong:
    if not is_text(device.get("kind")) and not is_text(device.get("type")):
        yield ("kind",), "must be a text", "a kind such as gpu"
    if not is_count(device.get("count", 1), 1):
        yield ("count",), "must be a whole number of at least 1", "a positive number"
    memory = device.get("min_memory_mb", 0)
    if not is_number(memory) or memory < 0:
        yield ("min_memory_mb",), "must be a number of at least 0", "a number"
    for key in ("memory_operator", "api_version_operator"):
        if device.get(key, ">=") not in _OPERATORS:
            yield (key,), "must be an operator", list(_OPERATORS)
    for key in ("capabilities", "ids"):
        if not isinstance(device.get(key, []), list):
            yield (key,), "must be a list", "a list of texts"


def _wrong_port(port: JsonObject) -> Wrong:
    protocols = ("tcp", "udp", "http", "grpc")
    if not is_text(port.get("label")):
        yield ("label",), "must be a text", "a label of its own"
    number = port.get("port")
    if number != "auto" and (not is_count(number, 1) or number > 65535):
        yield ("port",), "must be a port", "1 to 65535, or auto"
    if port.get("protocol", "tcp") not in protocols:
        yield ("protocol",), "must be a protocol", list(protocols)


def _wrong_volume(volume: JsonObject) -> Wrong:
    if not is_text(volume.get("name")):
        yield ("name",), "must be a text", "a name of its own"
    for key in ("source", "target"):
        path = volume.get(key)
        if not is_text(path) or not path.startswith("/") or ".." in path.split("/"):
            yield (key,), "must be an absolute path without `..`", "an absolute path"
    if volume.get("mode", "ro") not in ("ro", "rw"):
        yield ("mode",), "must be ro or rw", ["ro", "rw"]
    if volume.get("type", "host") != "host":
        yield ("type",), "must be host", "host"
