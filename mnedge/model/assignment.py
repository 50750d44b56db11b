"""Which devices of a machine go to whom: to each what was asked for, or to nobody anything. Pure.

Source: cluster 5.3.
"""

from collections.abc import Iterable, Mapping, Sequence

from mnedge.model.resources import Device, DeviceAsk, missing

STATES = 64
"""So many ways to hand devices out are tried, before one is taken that need not be the best."""


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
