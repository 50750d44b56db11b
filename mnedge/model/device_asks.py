"""Which devices an agent asks for, wherever and in whatever words its manifest says so. Pure.

Source: bundle format 2.9.4, cluster 5.2.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mnedge.model.resources import GPU, DeviceAsk

_GPU_WORDS = frozenset({"gpu", "gpus", "cuda", "nvidia", "rocm"})
_OPERATORS = {">": ">", ">=": ">=", "==": "==", "=": "=="}


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
