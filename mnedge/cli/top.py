"""`mnedge top`: looks at the node now and then, draws it, and takes keys."""

import os
import re
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

import trio
from rich.console import Group
from rich.live import Live
from rich.text import Text

from mnedge.cli import top_frame
from mnedge.cli.desk import Desk
from mnedge.cli.look import ledger_lines, view_lines
from mnedge.cli.reach import desk
from mnedge.cli.screen import Screen
from mnedge.cli.show import harmless
from mnedge.cli.steps import WELL, from_ledger
from mnedge.cli.top_frame import Sight
from mnedge.cli.verbs import Asked
from mnedge.daemon.clock import wall_clock
from mnedge.errors import MnedgeError, UnavailableError
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL, JobStatus

MOST_OPEN = 200
MOST_LOOKED_INTO = 12
"""So many open jobs are asked how far they are."""
MOST_OVER = 15
KEYS = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"k": "up",
    b"j": "down",
    b"\r": "enter",
    b"\n": "enter",
    b"\x1b": "back",
    b"\x7f": "back",
    b"q": "quit",
    b"\x03": "quit",
}
KEY_LOOK_S = 0.1
_KEY = re.compile(rb"\x1b\[.|.", re.DOTALL)


async def watch_node(asked: Asked, once: bool, every_s: float) -> int:
    """Show the node until somebody leaves; return the exit code."""
    screen = Screen(asked)
    if not once and (screen.live and sys.stdin.isatty()):
        with _keys() as keyboard:
            await _Top(screen, keyboard, every_s).run()
        return 0
    async with desk(asked) as there:
        sight = await see(there)
        if asked.human:
            width = screen.width or 100
            screen.say(*top_frame.lines(sight, width=width, height=1000, where=there.where))
            return 0
        screen.document(sight.document())
        while not once and asked.output == "ndjson":
            screen.flush()
            await trio.sleep(every_s)
            screen.document((await see(there)).document())
    return 0


async def see(there: Desk) -> Sight:
    """Return what there is to see of a node now."""
    unfinished = await there.jobs(set(JobStatus) - TERMINAL, MOST_OPEN)
    over = await there.jobs(TERMINAL, MOST_OVER)
    done: dict[str, tuple[int, int]] = {}
    for record in unfinished[:MOST_LOOKED_INTO]:
        done[record.job_id] = await _done(there, record)
    waits = any(record.waiting_for_human for record in unfinished)
    return Sight(
        at=wall_clock(),
        health=await there.health(),
        resources=await there.resources(),
        jobs=[*unfinished, *over],
        requests=await there.requests(None) if waits else (),
        done={job_id: steps for job_id, steps in done.items() if steps[1]},
    )


async def _done(there: Desk, record: JobRecord) -> tuple[int, int]:
    try:
        view = (await there.look(record.job_id)).view
    except MnedgeError:  # it was forgotten meanwhile, or its journal cannot be read
        return (0, 0)
    steps = [step for step in from_ledger(view.workflow).values() if step.outcome != "mapped"]
    return sum(step.status in WELL for step in steps), len(steps)


class _Top:
    """What is on the screen, and what keys do to it."""

    def __init__(self, screen: Screen, keyboard: int, every_s: float) -> None:
        self.screen = screen
        self.keyboard = keyboard
        self.every_s = every_s
        self.sight: Sight | None = None
        self.before: Sight | None = None
        self.chosen = 0
        self.inside: list[Text] | None = None
        """The one job that is shown; None: all."""
        self.trouble = ""
        self.live = Live(
            console=screen.console, auto_refresh=False, redirect_stdout=False, screen=True
        )

    async def run(self) -> None:
        """Look and draw until somebody leaves."""
        with self.live:
            async with desk(self.screen.asked) as there, trio.open_nursery() as nursery:
                nursery.start_soon(self._take_keys, there, nursery.cancel_scope)
                while True:
                    await self._look(there)
                    self.draw(there.where)
                    await trio.sleep(self.every_s)

    async def _look(self, there: Desk) -> None:
        try:
            seen = await see(there)
            if self.inside is not None:
                self.inside = await self._job(there)
        except UnavailableError as error:
            self.trouble = error.message
            return
        self.before, self.sight, self.trouble = self.sight, seen, ""
        self.chosen = min(self.chosen, max(len(seen.jobs) - 1, 0))

    async def _take_keys(self, there: Desk, scope: trio.CancelScope) -> None:
        while True:
            await trio.sleep(KEY_LOOK_S)
            for pressed in keys_in(_pressed(self.keyboard)):
                await self.press(there, KEYS.get(pressed, ""), scope)
                self.draw(there.where)

    async def press(self, there: Desk, key: str, scope: trio.CancelScope) -> None:
        """Do what a key means."""
        count = len(self.sight.jobs) if self.sight else 0
        match key:
            case "quit":
                scope.cancel()
            case "up" if self.inside is None:
                self.chosen = max(self.chosen - 1, 0)
            case "down" if self.inside is None:
                self.chosen = min(self.chosen + 1, max(count - 1, 0))
            case "enter" if count:
                self.inside = await self._job(there)
            case "back":
                self.inside = None
            case _:
                pass

    async def _job(self, there: Desk) -> list[Text]:
        if self.sight is None or not self.sight.jobs:
            return []
        view = (await there.look(self.sight.jobs[self.chosen].job_id)).view
        now = wall_clock()
        steps = ledger_lines(view, now, self.screen.console.width) if view.workflow else []
        return [*view_lines(view, now), Text(), *steps]

    def draw(self, where: str) -> None:
        """Draw what was seen last."""
        console = self.screen.console
        if self.inside is not None:
            found = list(self.inside)
        elif self.sight is not None:
            found = top_frame.lines(
                self.sight,
                self.before,
                width=console.width,
                height=console.height - 1,
                where=where,
                chosen=self.chosen,
            )
        else:
            found = [Text("looking …", "dim")]
        if self.trouble:
            found.append(Text(self.trouble, "red"))
        back = "esc back  q leave" if self.inside is not None else "↑↓ choose  enter show  q leave"
        found = [*found[: console.height - 1], Text(back, "dim")]
        shown = [harmless(line) for line in found]
        for line in shown:
            line.no_wrap, line.overflow = True, "ellipsis"
        self.live.update(Group(*shown), refresh=True)


def keys_in(content: bytes) -> list[bytes]:
    """Return the keys that were pressed; arrows come as three bytes."""
    return _KEY.findall(content)


@contextmanager
def _keys() -> Iterator[int]:
    """Have keys come one by one and unseen."""
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield keyboard
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _pressed(keyboard: int) -> bytes:
    """Return the key that was pressed, if one was."""
    ready, _, _ = select.select([keyboard], [], [], 0)
    return os.read(keyboard, 64) if ready else b""
