"""The node itself: how it does, what it has left, whether it keeps its goals, what was changed."""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field
from starlette.requests import Request
from starlette.responses import Response

from mnedge.gateway.auth import known
from mnedge.gateway.console import api, words
from mnedge.gateway.console.faults import Handler
from mnedge.gateway.console.forms import proved_form
from mnedge.gateway.console.rendering import backend_of, moved, page
from mnedge.model.access import Scope
from mnedge.model.states import TERMINAL, JobStatus
from mnedge.runtime import jobs

ENDED_SHOWN = 10
SAMPLES = 120
SAMPLE_S = 5.0
"""No two samples are nearer; they are taken when somebody looks, an idle node takes none."""
_WIDTH, _HEIGHT = 300.0, 48.0


async def overview(request: Request) -> Response:
    """How the node does, what runs, what waits for people."""
    health = await api.get(request, "/health")
    records = await jobs.list_jobs(backend_of(request).store, limit=None)
    counts = Counter(record.status for record in records)
    unfinished = await api.get(request, "/jobs", running="true", limit=50)
    latest = await api.get(request, "/jobs", limit=50)
    over = {status.value for status in TERMINAL}
    ended = [one for one in latest["data"] if one["status"] in over]
    asks = (await api.get(request, "/human-requests"))["data"] if unfinished["data"] else []
    resources = await api.get(request, "/resources")
    return await page(
        request,
        "overview.html",
        place="/",
        health={"status": health.get("status"), "problems": health.get("problems") or []},
        counts={
            "running": counts[JobStatus.RUNNING] + counts[JobStatus.PAUSED],
            "pending": counts[JobStatus.PENDING]
            + counts[JobStatus.VALIDATED]
            + counts[JobStatus.SCHEDULED],
            "completed": counts[JobStatus.COMPLETED],
            "failed": counts[JobStatus.FAILED] + counts[JobStatus.FAULTED],
        },
        pools=pools_of(resources),
        asks=asks[:5],
        open_jobs=unfinished["data"],
        ended_jobs=ended[:ENDED_SHOWN],
    )


_SAID = ("name", "node", "status", "self", "self?")


async def nodes(request: Request) -> Response:
    """The machines that carry jobs."""
    answer = await api.get(request, "/nodes")
    shown = [
        {
            "name": str(one["name"]),
            "status": str(one["status"]),
            "pairs": [
                (name.replace("_", " "), _plainly(name, value, backend_of(request).now()))
                for name, value in brief(one).items()
                if name not in _SAID and value not in (None, "", [], {}) and value is not False
            ],
        }
        for one in answer["data"]
    ]
    return await page(request, "nodes.html", place="/nodes", nodes=shown)


def brief(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node with its devices by name: the page of resources has the rest."""
    hardware = {
        name: value
        for name, value in node["hardware"].items()
        if name not in ("gpu", "devices", "capabilities")
    }
    devices = [f"{one['kind']} {one['name'] or one['id']}" for one in node["devices"]]
    return {**node, "hardware": hardware, "devices": devices}


def devices_of(resources: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the devices as the table shows them."""
    return [
        {
            "id": one["id"],
            "kind": one["kind"],
            "name": one["name"] or one["path"],
            "driver": " ".join(filter(None, (one["driver"], one["driver_version"]))),
            "memory": words.size(one["memory_total_mb"] << 20) if one["memory_total_mb"] else "",
            "labels": ", ".join(one["capabilities"]),
            "state": _state(one),
        }
        for one in resources.get("devices") or ()
    ]


def _state(device: Mapping[str, Any]) -> str:
    if not device["healthy"]:
        return "unhealthy"
    if not device["shares"]:
        return "shown only"
    return f"lent {device['in_use']} of {device['shares']}" if device["in_use"] else "free"


def _plainly(name: str, value: Any, now: float) -> str:
    if isinstance(value, dict):
        inner = ((key, _plainly(key, one, now)) for key, one in value.items() if one or one == 0)
        return ", ".join(f"{key.replace('_', ' ')} {told}" for key, told in inner)
    if isinstance(value, list):
        return ", ".join(_plainly(name, one, now) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_bytes"):
        return words.size(value)
    if name.endswith("_gb"):
        return f"{words.number(value)} GiB"
    if name.endswith("_at"):
        return f"{words.moment(value)} ({words.ago(value, now)})"
    if name.endswith("_s"):
        return words.duration(value)
    return words.number(value)


def pools_of(resources: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the pools of the node by name."""
    pools = resources.get("pools")
    if isinstance(pools, dict):
        pools = [{**one, "name": name} for name, one in pools.items()]
    names = ("capacity", "in_use", "available", "queued", "active")
    return [
        {
            "name": str(one.get("name") or one.get("pool")),
            **{key: one.get(key) or 0 for key in names},
        }
        for one in pools or ()
    ]


class Line(Struct):
    """One figure of the machine over the time that somebody looked."""

    name: str
    whole: float = 0.0
    """What it is a part of; 0: of nothing."""
    unit: str = "bytes"
    values: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def add(self, at: float, value: float) -> None:
        """Take a sample, unless the last one is near."""
        if not self.values or at - self.values[-1][0] >= SAMPLE_S:
            self.values.append((at, value))

    def shown(self) -> dict[str, Any]:
        """Return what the page draws."""
        at, value = self.values[-1]
        say = words.size if self.unit == "bytes" else words.number
        path, area = drawn([one for _, one in self.values], self.whole)
        return {
            "name": self.name,
            "value": value,
            "whole": self.whole,
            "shown": say(value),
            "told": f"of {say(self.whole)}" if self.whole else "",
            "span": at - self.values[0][0],
            "path": path,
            "area": area,
        }


def drawn(values: list[float], whole: float) -> tuple[str, str]:
    """Return a line and the area below it, as SVG paths; empty for fewer than two values."""
    if len(values) < 2:
        return "", ""
    top = whole or max(values) * 1.1 or 1.0
    step = _WIDTH / (len(values) - 1)
    points = [
        f"{at * step:.1f} {_HEIGHT - 2 - (_HEIGHT - 4) * min(value / top, 1.0):.1f}"
        for at, value in enumerate(values)
    ]
    path = "M" + "L".join(points)
    return path, f"{path}L{_WIDTH:g} {_HEIGHT:g}L0 {_HEIGHT:g}Z"


_GIB = 1 << 30


def figures_of(
    resources: Mapping[str, Any], metrics: Mapping[str, Any]
) -> list[tuple[str, str, float, float]]:
    """Return what is known of the machine: name, unit, value, and what it is a part of."""
    totals = resources.get("totals") or {}
    found = []
    for name, whole, left in (
        ("Memory in use", "memory_total_gb", "memory_available_gb"),
        ("Disk in use", "disk_gb", "disk_available_gb"),
    ):
        if isinstance(totals.get(whole), int | float) and isinstance(totals.get(left), int | float):
            used = (totals[whole] - totals[left]) * _GIB
            found.append((name, "bytes", used, totals[whole] * _GIB))
    import psutil

    found.append(("Memory of mnedge", "bytes", float(psutil.Process().memory_info().rss), 0.0))
    under_way = figure(metrics, "mnedge_jobs")
    if under_way is not None:
        found.append(("Jobs under way", "number", under_way, 0.0))
    return found


def figure(metrics: Mapping[str, Any], name: str) -> float | None:
    """Return the sum of a series; None if there is none."""
    kept = metrics.get(name)
    samples = kept.get("samples") if isinstance(kept, dict) else None
    values = [one.get("value") for one in samples or () if isinstance(one, dict)]
    numbers = [float(one) for one in values if isinstance(one, int | float)]
    return sum(numbers) if numbers else None


async def resources(request: Request) -> Response:
    """Slots, leases, memory and disk; with a line for what was seen while somebody looked."""
    answer = await api.get(request, "/resources")
    metrics = await api.get(request, "/metrics")
    plugins = await api.get(request, "/plugins")
    kept: dict[str, Line] = getattr(request.app.state, "lines", {})
    request.app.state.lines = kept
    now = backend_of(request).now()
    for name, unit, value, whole in figures_of(answer, metrics):
        line = kept.setdefault(name, Line(name=name, unit=unit))
        line.whole = whole
        line.add(now, value)
    return await page(
        request,
        "resources.html",
        place="/resources",
        pools=pools_of(answer),
        devices=devices_of(answer),
        probes=[one for one in answer.get("probes") or () if one["problem"]],
        plugins=[plugin_row(one) for one in plugins["data"]],
        lines=[line.shown() for line in kept.values()],
        document=answer,
    )


def plugin_row(found: Mapping[str, Any]) -> dict[str, str]:
    """Return a plugin from outside as the table shows it."""
    brings = found.get("brings") or {}
    words = [f"{hook}: {', '.join(names)}" for hook, names in brings.items() if names]
    shown = {name: str(found.get(name) or "") for name in ("name", "version", "state", "reason")}
    return {**shown, "brings": "; ".join(words)}


async def goals(request: Request) -> Response:
    """Goals and alerts."""
    slos = await api.get(request, "/slo")
    alerts = await api.get(request, "/alerts")
    return await page(
        request,
        "slo.html",
        place="/slo",
        slos=[goal_row(one) for one in slos["data"]],
        alerts=[alert_row(one) for one in alerts["data"]],
        undelivered=alerts.get("undelivered") or (),
        problems=alerts.get("problems") or (),
    )


def goal_row(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a goal as the table shows it."""
    left = found.get("budget_remaining")
    burning = [
        f"{one['long_rate']:.2f} x over {one['long']}"
        for one in found.get("burn") or ()
        if isinstance(one.get("long_rate"), int | float) and one["long_rate"] > 0
    ]
    counts = (found.get("good") or 0, found.get("bad") or 0)
    return {
        **{name: found.get(name, "") for name in ("name", "sli", "window", "state")},
        "target": _share(found.get("target")),
        "ratio": _share(found.get("ratio")),
        "counts": ", ".join(words.number(int(one)) for one in counts),
        "budget": "" if left is None else _share(left) if left > 0 else "spent",
        "budget_share": None if left is None else max(0.0, min(float(left), 1.0)),
        "burn": "; ".join(burning),
    }


def _share(value: Any) -> str:
    if not isinstance(value, int | float):
        return str(value or "")
    return f"{value * 100:.4g} %"


def alert_row(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return an alert as the table shows it."""
    instances = [one for one in found.get("instances") or () if isinstance(one, dict)]
    state = str(found.get("state"))
    return {
        **{name: found.get(name) for name in ("name", "expr", "severity", "silenced_until")},
        "state": {"pending": "about to fire"}.get(state, state),
        "instances": [
            words.one_line(one.get("summary") or one.get("labels") or one.get("value") or "", 200)
            for one in instances[:10]
        ],
    }


def alert(verb: str) -> Handler:
    """Return what silences an alert, or sends a test of it."""

    async def done(request: Request) -> Response:
        await proved_form(request)
        await api.post(request, api.at("alerts", request.path_params["name"], verb), {})
        return moved("/slo", verb)

    return done


async def audit(request: Request) -> Response:
    """The record of every change, for those who may see it."""
    who = known(request.scope)
    if who is None or not who.may(Scope.ADMIN):
        return await page(
            request, "audit.html", place="/audit", status=403, allowed=False, rows=[], next_page=""
        )
    cursor = request.query_params.get("cursor", "")
    answer = await api.get(request, "/audit", limit=100, cursor=cursor)
    rows = [_entry(one) for one in answer["data"]]
    following = answer.get("next")
    return await page(
        request,
        "audit.html",
        place="/audit",
        allowed=True,
        rows=rows,
        next_page=f"/audit?cursor={following}" if following else "",
    )


def _entry(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: found.get(name, "")
        for name in ("at", "actor", "action", "object", "result", "reason")
    }
