"""`node list`, `resource list` and `resource show`: what machines have, and how they are."""

from collections.abc import Sequence
from typing import Any

from mnedge.cli.reach import desk
from mnedge.cli.screen import Screen
from mnedge.cli.show import Cell, columns, fields
from mnedge.cli.verbs import Asked
from mnedge.errors import NotFoundError
from mnedge.model.amounts import size


class DeviceUnknownError(NotFoundError):
    """The machine has no such device."""

    code = "device.unknown"


async def list_nodes(asked: Asked) -> None:
    """Print the nodes."""
    async with desk(asked) as there:
        found, health = await there.nodes(), await there.health()
    screen = Screen(asked)
    if not asked.human:
        screen.records(found)
        return
    head = [
        Cell(word, "dim") for word in ("node", "status", "jobs", "cores", "memory free", "version")
    ]
    screen.say(*columns([head, *(_row(one, health) for one in found)], width=screen.width))


async def list_resources(asked: Asked) -> None:
    """Print what the machine has, and how full its pools are."""
    async with desk(asked) as there:
        found = await there.resources()
    screen = Screen(asked)
    if not asked.human:
        screen.document(found)
        return
    totals, usable, limits = found["totals"], found["usable"], found["limits"]
    screen.say(
        *fields(
            [
                ("cpu", f"{usable['cpu_cores']:g} of {totals['cpu_cores']:g} cores"),
                ("memory", _of(usable, totals, "memory_total_gb", "memory_available_gb")),
                ("disk", _of(usable, totals, "disk_gb", "disk_available_gb")),
                ("shares", ", ".join(f"{name} {share} %" for name, share in limits.items())),
                *_processors(found["devices"]),
            ]
        )
    )
    pools = found["pools"]
    if pools:
        head = [Cell(word, "dim") for word in ("pool", "slots", "in use", "waiting")]
        screen.say("", *columns([head, *(_pool(name, one) for name, one in pools.items())]))

    lendable = [one for one in found["devices"] if one["kind"] != "cpu"]
    if lendable:
        heads = ("device", "kind", "name", "driver", "memory", "state")
        head = [Cell(word, "dim") for word in heads]
        rows = [_device(one) for one in lendable]
        screen.say("", *columns([head, *rows], width=screen.width))
    for probe in found["probes"]:
        if probe["problem"]:
            screen.note(f"device probe {probe['name']}: {probe['problem']}")


async def show_device(asked: Asked, named: str) -> None:
    """Print what is known of a device."""
    async with desk(asked) as there:
        found = await there.resources()
    device = chosen_device(found["devices"], named)
    screen = Screen(asked)
    if not asked.human:
        screen.document(device)
        return
    told = {**device, "state": state_of(device)}
    for name in ("memory_total_mb", "memory_free_mb"):
        told[name.removesuffix("_mb").replace("_", " ")] = _memory(told.pop(name))
    for name in ("healthy", "in_use", "unified_memory"):
        told.pop(name)
    told["capabilities"] = ", ".join(device["capabilities"])
    shares = device["shares"]
    told["shares"] = "" if shares == 1 else "any number" if not shares else str(shares)
    shown = [(name.replace("_", " "), str(value)) for name, value in told.items()]
    screen.say(*fields([(name, value) for name, value in shown if value not in ("", "None")]))


def chosen_device(devices: Sequence[dict[str, Any]], named: str) -> dict[str, Any]:
    """Return the device that is meant: its id, or what only one id begins with.

    Raises: DeviceUnknownError.
    """
    whole = [one for one in devices if one["id"] == named]
    begun = whole or [one for one in devices if one["id"].lower().startswith(named.lower())]
    if len(begun) == 1:
        return begun[0]
    text = f"no device has an id that is or begins with {named!r}"
    if begun:
        text = f"{len(begun)} devices have ids that begin with {named!r}"
    raise DeviceUnknownError(text, hint="mnedge resource list shows them")


def state_of(device: dict[str, Any]) -> str:
    """Return in a word or two whether a device can be lent."""
    if not device["healthy"]:
        return "unhealthy"
    if not device["shares"]:
        return "shown only"
    if not device["in_use"]:
        return "free"
    return "lent" if device["shares"] == 1 else f"lent {device['in_use']} of {device['shares']}"


def _processors(devices: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        ("processor", f"{one['name'] or one['id']}: {' '.join(one['capabilities'])}".rstrip(": "))
        for one in devices
        if one["kind"] == "cpu"
    ]


def _device(device: dict[str, Any]) -> list[Cell]:
    state = state_of(device)
    style = {"unhealthy": "red", "free": "green"}.get(state, "yellow")
    name = device["name"] or device["path"]
    return [
        Cell(str(device["id"]), "bold"),
        Cell(str(device["kind"])),
        Cell(str(name)),
        Cell(" ".join(filter(None, (device["driver"], device["driver_version"]))), "dim"),
        Cell(_memory(device["memory_total_mb"]), right=True),
        Cell(state, style),
    ]


def _memory(told_mb: int | None) -> str:
    return size(told_mb << 20) if told_mb else ""


def _of(usable: dict[str, Any], totals: dict[str, Any], whole: str, free: str) -> str:
    return f"{usable[whole]:g} of {totals[whole]:g} GiB, {totals[free]:g} free"


def _pool(name: str, pool: dict[str, Any]) -> list[Cell]:
    figures = [pool.get(key, 0) for key in ("capacity", "in_use", "queued")]
    return [Cell(name), *(Cell(str(figure), right=True) for figure in figures)]


def _row(node: dict[str, Any], health: dict[str, Any]) -> list[Cell]:
    sound = health["status"] == "ok"
    hardware = node["hardware"]
    said = str(node.get("status") or health["status"])
    return [
        Cell(str(node["name"]), "bold"),
        Cell(said if sound else str(health["status"]), "green" if sound else "yellow"),
        Cell(str(node.get("active_jobs", ""))),
        Cell(f"{hardware['cpu']['cores']:g}"),
        Cell(f"{hardware['memory']['available_gb']:g} of {hardware['memory']['total_gb']:g} GiB"),
        Cell(str(health["version"]), "dim"),
    ]
