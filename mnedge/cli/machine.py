"""`node list` and `resource list`: what machines have, and how they are."""

from typing import Any

from mnedge.cli.reach import desk
from mnedge.cli.screen import Screen
from mnedge.cli.show import Cell, columns, fields
from mnedge.cli.verbs import Asked


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
            ]
        )
    )
    pools = found["pools"]
    if pools:
        head = [Cell(word, "dim") for word in ("pool", "slots", "in use", "waiting")]
        screen.say("", *columns([head, *(_pool(name, one) for name, one in pools.items())]))


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
