"""What `slo` and `alert` do: they ask the daemon, for nothing is watched where none runs."""

import os
import sys
from typing import Any
from urllib.parse import quote

from mnedge.cli.reach import line
from mnedge.cli.screen import Screen
from mnedge.cli.show import Cell, clock, columns, fields, moment
from mnedge.cli.verbs import Asked, near
from mnedge.config.read import read_config
from mnedge.config.written import seconds
from mnedge.errors import NotFoundError, UnavailableError, UsageError

_STATES = {
    "fine": "green", "quiet": "green", "ticket": "yellow", "pending": "yellow",
    "page": "red", "firing": "red", "unknown": "dim",
}  # fmt: skip
_TEST_S = 120.0


class GoalNotFoundError(NotFoundError):
    """No goal is called so."""

    code = "slo.not_found"


class AlertUnsentError(UnavailableError):
    """A trial did not arrive."""

    code = "alert.unsent"


async def list_goals(asked: Asked) -> None:
    """Print all goals."""
    async with line(asked, "watches goals and alerts") as link:
        found = (await link.get("/slo"))["data"]
    screen = Screen(asked)
    if not asked.human:
        screen.records(found)
        return
    if not found:
        screen.say("no goals")
        screen.hint("trace.slos in the configuration names them; mnedge docs observability")
        return
    words = ("goal", "state", "target", "so far", "budget left", "good", "bad", "window")
    head = [Cell(word, "dim", right=word in ("good", "bad")) for word in words]
    screen.say(*columns([head, *(_goal(one) for one in found)], width=screen.width))


def _goal(one: dict[str, Any]) -> list[Cell]:
    return [
        Cell(one["name"], "bold"),
        Cell(one["state"], _STATES.get(one["state"], "")),
        Cell(_target(one)),
        Cell(_share(one["ratio"])),
        Cell(_share(one["budget_remaining"])),
        Cell(f"{one['good']:g}", right=True),
        Cell(f"{one['bad']:g}", right=True),
        Cell(one["window"], "dim"),
    ]


async def show_goal(asked: Asked, name: str) -> None:
    """Print one goal."""
    async with line(asked, "watches goals and alerts") as link:
        found = {one["name"]: one for one in (await link.get("/slo"))["data"]}
    if name not in found:
        meant = near(name, found) or list(found)[:5]
        raise GoalNotFoundError(
            f"no goal is called {name!r}",
            hint=f"there is {', '.join(meant)}" if meant else "trace.slos names them",
        )
    goal, screen = found[name], Screen(asked)
    if not asked.human:
        screen.document(goal)
        return
    screen.say(name)
    screen.say(
        *fields(
            [
                ("state", goal["state"]),
                ("target", f"{_target(goal)} over {goal['window']}"),
                ("so far", f"{_share(goal['ratio'])}: {goal['good']:g} good, {goal['bad']:g} bad"),
                ("budget left", _share(goal["budget_remaining"])),
            ]
        ),
        "",
    )
    words = ("severity", "fires above", "long", "rate", "short", "rate", "")
    head = [Cell(word, "dim") for word in words]
    screen.say(*columns([head, *(_burn(one) for one in goal["burn"])], width=screen.width))


def _burn(one: dict[str, Any]) -> list[Cell]:
    return [
        Cell(one["severity"]),
        Cell(f"{one['factor']:g} x"),
        Cell(one["long"]),
        Cell(f"{one['long_rate']:.2f} x"),
        Cell(one["short"]),
        Cell(f"{one['short_rate']:.2f} x"),
        Cell("burning", "red") if one["fires"] else Cell(""),
    ]


def print_rules(asked: Asked, file: str | None) -> None:
    """Print the rule file."""
    from mnedge.observe.rules import rule_file

    sys.stdout.write(rule_file(read_config(os.environ, data_dir=asked.data_dir, file=file).trace))


async def list_alerts(asked: Asked) -> None:
    """Print all alerts."""
    async with line(asked, "watches goals and alerts") as link:
        found = await link.get("/alerts")
    screen = Screen(asked)
    if not asked.human:
        screen.document(found)
        return
    if not found["data"]:
        screen.say("no alerts and no goals")
        screen.hint("trace.alerts and trace.slos name them; mnedge docs observability")
    else:
        head = [Cell(word, "dim") for word in ("alert", "state", "since", "severity", "")]
        screen.say(*columns([head, *_alerts(found["data"])], width=screen.width))
    for one in found["undelivered"]:
        why = f": {one['error']}" if one["error"] else ""
        screen.note(f"{one['title']} was not sent to {one['channel']} yet{why}")
    for problem in found["problems"]:
        screen.note(problem)


def _alerts(found: list[dict[str, Any]]) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for one in found:
        silent = one["silenced_until"]
        told = f"silent until {moment(silent)}" if silent else one["expr"] or ""
        if not one["instances"]:
            state = Cell(one["state"], _STATES[one["state"]])
            rows.append([Cell(one["name"], "bold"), state, Cell(""), Cell(""), Cell(told, "dim")])
        rows += [
            [
                Cell(one["name"], "bold"),
                Cell(each["state"], _STATES[each["state"]]),
                Cell(clock(each["since"])),
                Cell(each["severity"]),
                Cell(f"silent until {moment(silent)}" if silent else each.get("summary") or told),
            ]
            for each in one["instances"]
        ]
    return rows


async def silence_alert(asked: Asked, name: str, span: str, reason: str) -> None:
    """Silence an alert, or end that."""
    duration_s = seconds(span)
    if duration_s is None:
        raise UsageError(f"--for {span!r} is no time", hint="write 30m, 2h, 1d, or 0 to end it")
    body = {"duration_s": duration_s, "reason": reason}
    async with line(asked, "watches goals and alerts") as link:
        made = await link.post(f"/alerts/{quote(name, safe='')}/silence", body)
    screen = Screen(asked)
    if not asked.human:
        screen.document(made)
    elif made["until"] is None:
        screen.good(f"{name} is told again")
    else:
        screen.good(f"{name} is silent until {moment(made['until'])}")


async def test_alert(asked: Asked, name: str) -> None:
    """Send a trial, and say what became of it."""
    path = f"/alerts/{quote(name, safe='')}/test"
    async with line(asked, "watches goals and alerts") as link:
        sent = (await link.post(path, wait_s=_TEST_S))["data"]
    screen = Screen(asked)
    if not asked.human:
        screen.records(sent)
    elif not sent:
        screen.say("no channels: nobody would be told")
        screen.hint("trace.notify in the configuration names them; mnedge docs observability")
    for one in sent if asked.human else ():
        if one["sent"]:
            screen.good(f"{one['channel']} has it")
    failed = [f"{one['channel']}: {one['error']}" for one in sent if not one["sent"]]
    if failed:
        raise AlertUnsentError("; ".join(failed))


def _target(one: dict[str, Any]) -> str:
    if one["threshold_s"]:
        return f"{one['target'] * 100:g}% within {one['threshold_s'] * 1000:g} ms"
    return f"{one['target'] * 100:g}%"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.2f}%"
