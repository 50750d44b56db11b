"""`mnedge logs` and `mnedge events` without a job: all jobs at once, also those that come."""

from collections.abc import Callable, Iterable

import trio
from rich.text import Text

from mnedge.cli.desk import Desk, Stream
from mnedge.cli.reach import desk
from mnedge.cli.screen import Screen
from mnedge.cli.show import middle
from mnedge.cli.story import OUTPUT_LINES, Wanted, event_line, interruptible, log_lines
from mnedge.cli.verbs import Asked
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL, JobStatus
from mnedge.store.runs.readers import Record

NEW_JOBS_S = 1.0
LOOK_JOBS = 50
"""So many of the newest are looked at each time."""
MOST_JOBS = 20
"""So many of the newest jobs are looked into, if nobody follows."""


async def tell_everybody(asked: Asked, stream: str, wanted: Wanted) -> None:
    """Print what all jobs log, or what happens in them; `stream`: `logs` or `events`."""
    screen = Screen(asked)
    if wanted.follow and not asked.human:
        screen = Screen(asked._replace(output="ndjson"))
    most = None if asked.verbose else OUTPUT_LINES
    lines_of: Callable[[Record], list[Text]] = (
        (lambda record: log_lines(record, most))
        if stream == "logs"
        else (lambda record: [event_line(record)])
    )
    async with desk(asked) as there:
        if wanted.follow:
            await interruptible(Following(screen, there, stream, wanted, lines_of).run)
            return
        found: list[tuple[str, Record]] = []
        for record in await there.jobs(set(JobStatus), MOST_JOBS):
            opened = await _opened(there, stream, record)
            found += [(record.job_id, one) for one in await opened.look() if wanted.wants(one)]
    found.sort(key=lambda one: str(one[1].get("ts") or ""))
    found = found[-wanted.last :] if wanted.last is not None else found
    if not asked.human:
        screen.records({"job_id": job_id, **one} for job_id, one in found)
        return
    _print(screen, found, lines_of)
    if not found:
        screen.say("nothing yet")


class Following:
    """Follows every job that is open, and each that begins."""

    def __init__(
        self,
        screen: Screen,
        there: Desk,
        stream: str,
        wanted: Wanted,
        lines_of: Callable[[Record], list[Text]],
    ) -> None:
        self.screen = screen
        self.there = there
        self.stream = stream
        self.wanted = wanted
        self.lines_of = lines_of
        self.known: set[str] = set()

    async def run(self) -> None:
        """Follow until interrupted. What happened before is not told; of later jobs all is."""
        # What is over first: a job that begins and ends between the two looks is a later one.
        self.known.update(record.job_id for record in await self.there.jobs(TERMINAL, LOOK_JOBS))
        begun = await self.there.jobs(set(JobStatus) - TERMINAL, None)
        async with trio.open_nursery() as nursery:
            self._start(nursery, begun, from_now=True)
            while True:
                await trio.sleep(NEW_JOBS_S)
                newest = await self.there.jobs(set(JobStatus), LOOK_JOBS)
                self._start(nursery, newest, from_now=False)

    def _start(
        self, nursery: trio.Nursery, records: Iterable[JobRecord], *, from_now: bool
    ) -> None:
        for record in records:
            if record.job_id not in self.known:
                self.known.add(record.job_id)
                nursery.start_soon(self._follow, record, from_now)

    async def _follow(self, record: JobRecord, from_now: bool) -> None:
        opened = await _opened(self.there, self.stream, record)
        before = await opened.look()
        if not from_now:
            self._take(record.job_id, before)
        await opened.follow(lambda found: self._take(record.job_id, found))

    def _take(self, job_id: str, found: list[Record]) -> None:
        kept = [(job_id, one) for one in found if self.wanted.wants(one)]
        if self.screen.asked.human:
            _print(self.screen, kept, self.lines_of)
        else:
            for named, one in kept:
                self.screen.document({"job_id": named, **one})
        self.screen.flush()


async def _opened(there: Desk, stream: str, record: JobRecord) -> Stream:
    return await (there.logs(record) if stream == "logs" else there.events(record))


def _print(
    screen: Screen, found: list[tuple[str, Record]], lines_of: Callable[[Record], list[Text]]
) -> None:
    most = 200 if screen.width is None else max(screen.width // 4, 12)
    for job_id, one in found:
        for line in lines_of(one):
            screen.say(Text.assemble((f"{middle(job_id, most)}  ", "dim"), line))
