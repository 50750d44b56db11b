"""What a machine has beyond cores and memory: devices, and what jobs ask of them.

Source: cluster 5.2, 5.3 and 7.6, bundle format 2.9.4.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

GPU = "gpu"
STATES = 64
"""So many ways to hand devices out are tried, before one is taken that need not be the best."""
_GPU_WORDS = frozenset({"gpu", "gpus", "cuda", "nvidia", "rocm"})
_OPERATORS = {">": ">", ">=": ">=", "==": "==", "=": "=="}
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


class Rooms:
    """Which devices of a machine have room, and how to hand some of it out. Pure.

    `used`: device id → how many have it already.
    """

    def __init__(self, devices: Iterable[Device], used: Mapping[str, int]) -> None:
        self._free = [
            device
            for device in devices
            if device.healthy and (not device.shares or used.get(device.id, 0) < device.shares)
        ]

    def assign(self, asks: Sequence[DeviceAsk]) -> tuple[Device, ...] | None:
        """Return a device for each that is asked for, in the order of the asks; None if there is
        no way to have them all.

        The choosiest ask chooses first, and takes the smallest device that will do.
        """
        wanted = [
            (at, ask, self._candidates(ask))
            for at, ask in enumerate(asks)
            for _ in range(ask.count)
        ]
        wanted.sort(key=lambda one: (not one[1].ids, len(one[2]), -one[1].min_memory_mb))
        lists = [candidates for _, _, candidates in wanted]
        chosen = _searched(lists) or _matched(lists)
        if chosen is None:
            return None
        placed = sorted(zip((at for at, _, _ in wanted), chosen, strict=True), key=_first)
        return tuple(device for _, device in placed)

    def _candidates(self, ask: DeviceAsk) -> list[Device]:
        found = [device for device in self._free if not missing(ask, device)]
        return sorted(found, key=lambda device: (device.memory_total_mb, device.id))


def _first(pair: tuple[int, Device]) -> int:
    return pair[0]


def _searched(lists: Sequence[Sequence[Device]]) -> list[Device] | None:
    """Return the first way that a search in order finds; None also if it takes too long."""
    chosen: list[Device] = []
    taken: set[str] = set()
    nexts = [0] * (len(lists) + 1)
    states = 0
    while len(chosen) < len(lists):
        at = len(chosen)
        device = None
        while nexts[at] < len(lists[at]):
            tried = lists[at][nexts[at]]
            nexts[at] += 1
            if tried.id not in taken:
                device = tried
                break
        if device is not None:
            states += 1
            if states > max(STATES, len(lists)):
                return None
            chosen.append(device)
            taken.add(device.id)
            nexts[at + 1] = 0
        elif not chosen:
            return None
        else:
            taken.discard(chosen.pop().id)
    return chosen


def _matched(lists: Sequence[Sequence[Device]]) -> list[Device] | None:
    """Return any way there is: who comes first may be moved to another device that will do."""
    holder: dict[str, int] = {}
    found: dict[int, Device] = {}

    def place(at: int, seen: set[str]) -> bool:
        for device in lists[at]:
            if device.id in seen:
                continue
            seen.add(device.id)
            if device.id not in holder or place(holder[device.id], seen):
                holder[device.id] = at
                found[at] = device
                return True
        return False

    if not all(place(at, set()) for at in range(len(lists))):
        return None
    return [found[at] for at in range(len(lists))]


def assign(
    asks: Sequence[DeviceAsk], devices: Iterable[Device], used: Mapping[str, int] | None = None
) -> tuple[Device, ...] | None:
    """Return a device for each that is asked for; None if there is no way (`Rooms.assign`)."""
    return Rooms(devices, used or {}).assign(asks)


def why_not(asks: Sequence[DeviceAsk], devices: Sequence[Device]) -> str:
    """Return why these devices can never be enough, even if all were free; empty: they can."""
    if assign(asks, devices) is not None:
        return ""
    for ask in asks:
        good = [device for device in devices if device.healthy and not missing(ask, device)]
        if len(good) < ask.count:
            return f"{ask}: this machine has {len(good) or 'none'}{_nearest(ask, devices)}"
    return f"{'; '.join(map(str, asks))}: this machine has not enough for all of them together"


def _nearest(ask: DeviceAsk, devices: Sequence[Device]) -> str:
    kinds = {ask.kind.lower(), ask.type.lower(), ask.type.lower().rpartition("/")[2]} - {""}
    for device in devices:
        if kinds and not kinds & {device.kind.lower(), device.type.lower()}:
            continue
        why = missing(ask, device) or ("" if device.healthy else "it is unhealthy")
        if why:
            return f" ({device.id} will not do: {why})"
    return ""


def asks_of(resources: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[DeviceAsk, ...]:
    """Return which devices an agent asks for, in its `resources` or its config.

    The same GPU may be asked for in several words (a count, a list, a profile): the most that one
    of them asks for counts. Raises: ValueError saying what is wrong and where.
    """
    inner = config.get("resources")
    places: list[tuple[str, Mapping[str, Any]]] = [("resources", resources)]
    if isinstance(inner, Mapping):
        places.append(("config.resources", inner))
    asks: list[DeviceAsk] = []
    for where, place in places:
        if "devices" in place:
            asks = _listed(place["devices"], f"{where}.devices")
            break
    places.append(("config", _counts_in(config)))
    counts: dict[str, int] = {}
    for where, place in places:
        for vendor, count in _counted(place, where):
            counts[vendor] = max(counts.get(vendor, 0), count)
    asks += _more(counts, asks)
    if not any(ask.gpu_like for ask in asks) and "" not in counts and _gpu_profile(config):
        asks.append(DeviceAsk(kind=GPU))
    return tuple(asks)


def _counts_in(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a config counts GPUs; its other members are the agent's own affair."""
    return {
        key: value
        for key, value in config.items()
        if isinstance(value, int) or (isinstance(value, str) and value.isdecimal())
    }


def _more(counts: Mapping[str, int], asks: Sequence[DeviceAsk]) -> list[DeviceAsk]:
    """Return what the counts ask for beyond the list."""
    more: list[DeviceAsk] = []
    for vendor in sorted(counts, reverse=True):  # those of a vendor count as GPUs too
        have = sum(
            ask.count
            for ask in (*asks, *more)
            if ask.gpu_like
            and vendor in ("", ask.vendor.lower(), ask.type.lower().partition("/")[0])
        )
        if counts[vendor] > have:
            more.append(DeviceAsk(kind=GPU, vendor=vendor, count=counts[vendor] - have))
    return more


def _counted(place: Mapping[str, Any], where: str) -> Iterable[tuple[str, int]]:
    for key in ("gpu_count", "gpus", "gpu"):
        value = place.get(key)
        if value is None or isinstance(value, Mapping | list):
            continue
        yield "", _count(value, f"{where}.{key}")
        break
    for key, value in place.items():
        domain, slash, what = str(key).partition("/")
        if slash and what == GPU:  # nvidia.com/gpu, gpu.intel.com/gpu
            words = domain.lower().split(".")
            yield (words[-2] if len(words) > 1 else words[0]), _count(value, f"{where}.{key}")


def _count(value: Any, where: str) -> int:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{where} is {value!r}; it is a whole number of at least 0")
    return value


def _listed(value: Any, where: str) -> list[DeviceAsk]:
    if not isinstance(value, list):
        raise ValueError(f"{where} is no list of objects")
    return [_ask(item, f"{where}[{at}]") for at, item in enumerate(value)]


def _ask(item: Any, where: str) -> DeviceAsk:
    if not isinstance(item, Mapping):
        raise ValueError(f"{where} is no object")
    text = {
        name: _text(item, name, where)
        for name in ("kind", "type", "vendor", "driver", "min_api_version")
    }
    operators = {}
    for name in ("memory_operator", "api_version_operator"):
        said = item.get(name, ">=")
        if said not in _OPERATORS:
            raise ValueError(f"{where}.{name} is {said!r}; it is one of {', '.join(_OPERATORS)}")
        operators[name] = _OPERATORS[said]
    memory = item.get("min_memory_mb", 0)
    if isinstance(memory, bool) or not isinstance(memory, int | float) or memory < 0:
        raise ValueError(f"{where}.min_memory_mb is {memory!r}; it is a number of at least 0")
    count = _count(item.get("count", 1), f"{where}.count")
    if count < 1:
        raise ValueError(f"{where}.count is {count}; it is a whole number of at least 1")
    ask = DeviceAsk(
        **text,
        **operators,
        min_memory_mb=memory,
        capabilities=_texts(item, "capabilities", where),
        ids=_texts(item, "ids", where),
        count=count,
    )
    if not (ask.kind or ask.type or ask.ids):
        raise ValueError(f"{where} names no kind, type or ids")
    return ask


def _text(item: Mapping[str, Any], name: str, where: str) -> str:
    value = item.get(name)
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)  # a version may be written as a number
    if not isinstance(value, str):
        raise ValueError(f"{where}.{name} is {value!r}; it is a text")
    return value.strip()


def _texts(item: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    value = item.get(name) or []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{where}.{name} is no list of texts")
    return tuple(value)


def _gpu_profile(config: Mapping[str, Any]) -> bool:
    named = config.get("execution_profile") or config.get("profile")
    return isinstance(named, str) and bool(_GPU_WORDS & set(re.split(r"[^a-z0-9]+", named.lower())))


def with_markers(labels: Iterable[str]) -> tuple[str, ...]:
    """Return labels as the machine shows them: lower case, `-` for `_`, sorted, each once."""
    return tuple(sorted({label.strip().lower().replace("_", "-") for label in labels} - {""}))
