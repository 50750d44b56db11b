"""What a person or a program sees of jobs while they run: a picture, lines, records, or nothing."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple, Protocol

import trio
from rich.console import Group
from rich.live import Live
from rich.text import Text

from mnedge.cli.frame import answer_with, brief, frame, trouble_line
from mnedge.cli.progress import Asked, JobProgress, advance
from mnedge.cli.screen import Screen
from mnedge.cli.show import NOTE, STYLES, Cell, clock, columns, harmless, middle
from mnedge.model.events import Event
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL
from mnedge.ports import Clock
from mnedge.store.runs.readers import Follower

TOLD = frozenset({"running", "pausing", "paused"})
"""Changes of status worth a line; how a job ended is told at its end."""
REDRAW_S = 0.12
TICK_S = 1.0
DRAW_SHARE = 20
"""At most one part in so many of the time goes into drawing."""
PLAIN_EVERY_S = 5.0


class Shown(NamedTuple):
    """A job on the screen."""

    record: JobRecord
    progress: JobProgress

    @property
    def title(self) -> str:
        """What people call it."""
        return self.record.blueprint_id or self.record.graph_id

    def elapsed_s(self, now: float) -> float:
        """How long it has been going on."""
        return now - (self.record.started_at or self.record.submitted_at)


class View(Protocol):
    """Shows jobs while they run."""

    def take(self, shown: Shown, events: Sequence[Event]) -> None:
        """Take committed events in."""

    def notice(self, text: str) -> None:
        """Tell the person something at once."""

    async def run(self) -> None:
        """Draw until cancelled."""

    def draw(self) -> None:
        """Show what is there now."""

    def block(self) -> AbstractContextManager[object]:
        """Hold the screen while the block is open."""


class Silent:
    """Shows nothing but notices: `--quiet`, and JSON modes."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen

    def take(self, shown: Shown, events: Sequence[Event]) -> None:
        """Nothing to show."""

    def notice(self, text: str) -> None:
        """Print it, if a person reads."""
        self.screen.note(text)

    async def run(self) -> None:
        """Wait to be cancelled."""
        await trio.sleep_forever()

    def draw(self) -> None:
        """Nothing to draw."""

    def block(self) -> AbstractContextManager[object]:
        """Hold nothing."""
        return nullcontext()


class Records(Silent):
    """One JSON object per event, as it stands in the run folder, for programs."""

    def __init__(self, screen: Screen, every: Sequence[Shown]) -> None:
        super().__init__(screen)
        self._followers = {
            shown.record.job_id: Follower(
                Path(shown.record.run_folder), after=shown.progress.last_seq
            )
            for shown in every
        }

    def take(self, shown: Shown, events: Sequence[Event]) -> None:
        """Print what is new; the run folder has it before anybody is told."""
        del events
        for record in self._followers[shown.record.job_id].look():
            self.screen.document(record)
        self.screen.flush()

    def draw(self) -> None:
        """Print what workers wrote since."""
        for follower in self._followers.values():
            for record in follower.look():
                self.screen.document(record)
            follower.close()


class Plain(Silent):
    """Lines for a pipe or a log: changes of status, troubles, and how far it is now and then."""

    def __init__(
        self, screen: Screen, every: Sequence[Shown], now: Clock, *, verbose: bool
    ) -> None:
        super().__init__(screen)
        self.every = every
        self.now = now
        self.verbose = verbose
        self._told = {shown.record.job_id: 0 for shown in every}
        self._asked: set[tuple[str, str]] = set()

    def take(self, shown: Shown, events: Sequence[Event]) -> None:
        """Print what is news."""
        progress = shown.progress
        for event in events:
            before, troubles = progress.status, len(progress.troubles)
            asked = set(progress.requests)
            advance(progress, event)
            self._tell_asked(
                shown, [progress.requests[one] for one in progress.requests.keys() - asked]
            )
            if progress.status != before and progress.status in TOLD:
                self._line(shown, event.at, progress.status)
            for trouble in progress.troubles[troubles:]:
                line = trouble_line(trouble)
                if len(self.every) > 1:
                    line.append(f"  {shown.record.job_id}", "dim")
                self.screen.say(line)
            if self.verbose:
                self._line(shown, event.at, f"{event.type} {event.agent_id or ''}".rstrip())

    async def run(self) -> None:
        """Say now and then how far the jobs are."""
        for shown in self.every:
            self._tell_asked(shown, list(shown.progress.requests.values()))
        while True:
            await trio.sleep(PLAIN_EVERY_S)
            for shown in self.every:
                if shown.progress.events != self._told[shown.record.job_id]:
                    self._told[shown.record.job_id] = shown.progress.events
                    self._line(shown, self.now(), brief(shown.progress))

    def _tell_asked(self, shown: Shown, requests: Sequence[Asked]) -> None:
        alone = len(shown.progress.requests) == 1
        for request in requests:
            if (shown.record.job_id, request.request_id) in self._asked:
                continue
            self._asked.add((shown.record.job_id, request.request_id))
            self.screen.note(f"waiting for a person: {request.prompt or request.request_id}")
            self.screen.hint(answer_with(request, shown.record.job_id, alone=alone))
            self.screen.flush()

    def _line(self, shown: Shown, at: float, text: str) -> None:
        who = "" if len(self.every) == 1 else f"{shown.record.job_id}  "
        self.screen.say(Text.assemble((f"  {clock(at)}  ", "dim"), who, text))
        self.screen.flush()


class Drawn:
    """A picture that is drawn over again, on a terminal."""

    def __init__(self, screen: Screen, every: Sequence[Shown], now: Clock) -> None:
        self.screen = screen
        self.every = every
        self.now = now
        self.live = Live(console=screen.console, auto_refresh=False, redirect_stdout=False)
        self._changed = trio.Event()
        self._notice = ""

    def take(self, shown: Shown, events: Sequence[Event]) -> None:
        """Fold them in; the picture follows."""
        for event in events:
            advance(shown.progress, event)
        self._changed.set()

    def notice(self, text: str) -> None:
        """Show it below the picture."""
        self._notice = text
        self.draw()

    async def run(self) -> None:
        """Draw at most eight times a second, and once a second if nothing happens.

        A large picture is drawn less often: it is drawn by the process that does the work.
        """
        while True:
            began = trio.current_time()
            self.draw()
            took_s = trio.current_time() - began
            await trio.sleep(max(REDRAW_S, took_s * DRAW_SHARE))
            with trio.move_on_after(TICK_S - REDRAW_S):
                await self._changed.wait()
            self._changed = trio.Event()

    def draw(self) -> None:
        """Draw now."""
        lines = [harmless(line) for line in self._lines()]
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        self.live.update(Group(*lines), refresh=True)

    def block(self) -> AbstractContextManager[object]:
        """Hold the lower part of the terminal; the last picture stays."""
        return self.live

    def _lines(self) -> list[Text]:
        console = self.screen.console
        if len(self.every) != 1:
            return self._overview(console.width)
        shown = self.every[0]
        notice = "" if shown.progress.status in TERMINAL else self._notice
        if not notice and shown.progress.status == "paused":
            notice = f"paused; mnedge job resume {shown.record.job_id}"
        now = self.now()
        return frame(
            shown.progress,
            shown.title,
            shown.elapsed_s(now),
            width=console.width,
            height=console.height,
            notice=notice,
            now=now,
            job_id=shown.record.job_id,
        )

    def _overview(self, width: int) -> list[Text]:
        cells = [
            [
                Cell(middle(shown.record.job_id, max(width // 2, 14))),
                Cell(
                    shown.progress.shown_status.replace("_", " "),
                    STYLES.get(shown.progress.shown_status, ""),
                ),
                Cell(brief(shown.progress), "dim"),
            ]
            for shown in self.every
        ]
        lines = columns(cells, width=width)
        if self._notice:
            lines.append(Text.assemble((NOTE, "bold yellow"), " ", (self._notice, "yellow")))
        return lines


def view_for(screen: Screen, every: Sequence[Shown], now: Clock, *, quiet: bool = False) -> View:
    """Return the view that fits what was asked for and where it goes."""
    asked = screen.asked
    if asked.output == "ndjson":
        return Records(screen, every)
    if quiet or asked.output == "json":
        return Silent(screen)
    if screen.live and not asked.verbose:
        return Drawn(screen, every, now)
    return Plain(screen, every, now, verbose=asked.verbose)
