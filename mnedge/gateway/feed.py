"""What happens to jobs, told to any number of readers: first what is on disk, then what comes.

Records are those of the job's event stream, byte for byte, in its order. A reader's place in it is
a mark (`store.runs.places.Mark`): who comes back with the mark of the last record goes on right
behind it, also after a restart of the daemon.

What just came is kept for all readers of a job together, within bounds; who is behind that reads
from the disk. So a slow reader costs its place and nothing else. One whose last batch has not been
taken while `stream_backlog` more records came is lagged: it gets no more, is told, and is cut.

Nothing is looked at while nobody reads.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from pathlib import Path

import trio
from msgspec import Struct

from mnedge.bus import Bus
from mnedge.config.settings import Config
from mnedge.errors import OverloadedError, UsageError
from mnedge.model.states import TERMINAL
from mnedge.part import Part
from mnedge.runtime import jobs
from mnedge.runtime.jobs import Stores
from mnedge.store.runs.folder import STREAMS
from mnedge.store.runs.places import PAGE_BYTES, START, Mark, Place, Places, Told, mark_of

LOOK_S = 1.0
"""Between two looks at streams that somebody reads: lines of workers come without a word."""
RECORD_LOOKS = 5
"""After so many looks at a silent stream its job's record is asked whether more can come."""
JOB_BYTES = 256 << 10
"""Of one job's newest records, kept for its readers."""
ALL_BYTES = 16 << 20
"""Of the newest records of all jobs that are read."""
RING_BYTES = 4 << 20
"""Of the newest records for those who read all jobs at once."""
BATCH_BYTES = 64 << 10
ENDINGS = frozenset({"job_completed", "job_failed", "job_cancelled"})
"""Events behind which a job's stream ends, but for what stands there already."""
END_AMONG = 8
"""So many records at the end of a stream are looked at to see whether the job is over."""
_BUS_BATCHES = 10_000
_OVER = 2000
"""Jobs that are over and remembered."""
_LAST = 1 << 40
"""Behind all lines that follow an event."""


class MarkInvalidError(UsageError):
    """A place in a stream that no stream ever told."""

    code = "stream.mark_invalid"


class StreamsError(OverloadedError):
    """As many streams are open as this node serves at once."""

    code = "stream.too_many"


def _ends(told: Told) -> bool:
    return told.head.type in ENDINGS


def place_after(text: str) -> Mark:
    """Return the mark that a client gives back: the `id` of the last record it has.

    Raises: MarkInvalidError.
    """
    mark = mark_of(text)
    if mark is None:
        raise MarkInvalidError(
            f"{text[:80]!r} is no place in a stream of events",
            hint="give the id of the last event you have, such as 12; 0 is the beginning",
        )
    return mark


class OfJob(Struct, frozen=True):
    """A record of some job, for those who read all of them."""

    job_id: str
    told: Told

    def __str__(self) -> str:
        return f"{self.job_id}:{self.told.mark}"


class _Readers:
    """Who reads one thing, and how much of it has come."""

    def __init__(self) -> None:
        self.count = 0
        """Records that came since anybody reads."""
        self.changed = trio.Event()
        self.readers: set[_Pace] = set()

    def came(self, count: int, backlog: int) -> None:
        """Wake those who wait; mark those who have not taken what they were given long ago."""
        self.count += count
        for reader in self.readers:
            reader.look(backlog)
        self.wake()

    def wake(self) -> None:
        """Have everybody who waits look again."""
        changed, self.changed = self.changed, trio.Event()
        changed.set()


class _Pace:
    """How a reader keeps up. Lagged: it was given something, and too much came meanwhile."""

    def __init__(self, source: _Readers) -> None:
        self.lagged = trio.Event()
        self._source = source
        self._given_at: int | None = None

    def look(self, backlog: int) -> None:
        """Note that records came."""
        if self._given_at is not None and self._source.count - self._given_at > backlog:
            self.lagged.set()

    def _gives(self) -> None:
        self._given_at = self._source.count

    def _asks(self) -> None:
        self._given_at = None


class _Job(_Readers):
    """A job that somebody reads: its newest records, from where some reader met the end."""

    def __init__(self, job_id: str, places: Places) -> None:
        super().__init__()
        self.job_id = job_id
        self.places = places
        self.kept: deque[Told] = deque()
        self.kept_bytes = 0
        self.start: Place | None = None
        """Where the first kept record stands; None: nobody has met the end yet."""
        self.end = Place(0, 0)
        self.mark = START
        self.over = False
        self.quiet = 0
        self.told_all = False
        """Those who read all jobs are told of this one."""

    def begin(self, place: Place, mark: Mark) -> None:
        """Keep what comes from here on."""
        self.start, self.end, self.mark = place, place, mark

    def behind(self, place: Place) -> list[Told]:
        """Return kept records behind a place that is not before the first, as many as fit."""
        count = 0
        for told in reversed(self.kept):
            if told.end <= place:
                break
            count += 1
        found: list[Told] = []
        size_bytes = 0
        for told in islice(self.kept, len(self.kept) - count, None):
            found.append(told)
            size_bytes += len(told.line)
            if size_bytes >= BATCH_BYTES:
                break
        return found

    def forget(self) -> int:
        """Drop the oldest record; return its size."""
        old = self.kept.popleft()
        self.start = old.end
        self.kept_bytes -= len(old.line)
        return len(old.line)


class Reader(_Pace):
    """Reads one job. Iterate over it, or take what is there with `batch`."""

    def __init__(self, job: _Job, after: Mark) -> None:
        super().__init__(job)
        self.ending = False
        """Nothing more comes than what is there."""
        self._job = job
        self._after = after
        self._place: Place | None = None
        self._mark = after
        self._taken: deque[Told] = deque()

    def __aiter__(self) -> AsyncIterator[Told]:
        return self

    async def __anext__(self) -> Told:
        if not self._taken:
            self._taken.extend(await self.batch())
        if not self._taken:
            raise StopAsyncIteration
        return self._taken.popleft()

    async def batch(self) -> list[Told]:
        """Return the next records, as soon as there are some; none at the end, or if lagged."""
        await trio.lowlevel.checkpoint()
        self._asks()
        while not self.lagged.is_set():
            if found := self._ready():
                self._gives()
                return found
            if self.ending or self._job.over:
                break
            await self._job.changed.wait()
        return []

    def _ready(self) -> list[Told]:
        if self._place is None:
            self._place, self._mark = self._job.places.find(self._after)
        while True:
            start = self._job.start
            if start is not None and self._place >= start:
                found = self._job.behind(self._place)
                if not found:
                    return []
            elif not (found := self._job.places.read(self._place, self._mark)):
                if start is not None:  # the stream was cut: go on with what comes
                    self._place, self._mark = self._job.end, self._job.mark
                    return []
                self._job.begin(self._place, self._mark)
                return []
            self._place, self._mark = found[-1].end, found[-1].mark
            if start is None and sum(len(told.line) for told in found) < PAGE_BYTES // 2:
                self._job.begin(self._place, self._mark)  # the end is near
            self.ending = self.ending or any(map(_ends, found))
            if fresh := [told for told in found if told.mark > self._after]:
                return fresh


class Watcher(_Pace):
    """Reads all jobs, from now on or from where it was."""

    def __init__(self, source: _Readers, ring: deque[OfJob], after: str) -> None:
        super().__init__(source)
        self.gap = False
        """What came behind the reader's mark is not known any more."""
        self._ring = ring
        self._at = source.count
        if after:
            behind = next(
                (count for count, one in enumerate(reversed(ring)) if str(one) == after), None
            )
            self.gap = behind is None
            self._at -= behind or 0

    def __aiter__(self) -> AsyncIterator[list[OfJob]]:
        return self

    async def __anext__(self) -> list[OfJob]:
        found = await self.batch()
        if not found:
            raise StopAsyncIteration
        return found

    async def batch(self) -> list[OfJob]:
        """Return the next records, as soon as there are some; none if lagged."""
        await trio.lowlevel.checkpoint()
        self._asks()
        while self._source.count == self._at and not self.lagged.is_set():
            await self._source.changed.wait()
        new = self._source.count - self._at
        if new > len(self._ring):
            self.lagged.set()
        if self.lagged.is_set():
            return []
        skipped = len(self._ring) - new
        found: list[OfJob] = []
        size_bytes = 0
        for one in islice(self._ring, skipped, None):
            found.append(one)
            size_bytes += len(one.told.line)
            if size_bytes >= BATCH_BYTES:
                break
        self._at += len(found)
        self._gives()
        return found


class Feed(Part):
    """Tells of jobs; all records are JSON, redacted."""

    def __init__(self, bus: Bus, stores: Stores, settings: Callable[[], Config]) -> None:
        self._bus = bus
        self._stores = stores
        self._settings = settings
        self._jobs: dict[str, _Job] = {}
        self._kept_bytes = 0
        self._all = _Readers()
        self._ring: deque[OfJob] = deque()
        self._ring_bytes = 0
        self._told_of: dict[str, Mark] = {}
        """Jobs that are over, and how far those who read all were told of them."""
        self._open = 0
        self._somebody = trio.Event()

    @property
    def open_streams(self) -> int:
        """Readers that are served now."""
        return self._open

    @property
    def is_full(self) -> bool:
        """True if no more streams are served now."""
        return self._open >= self._settings().relay.limits.max_streams

    def too_many(self) -> StreamsError:
        """Return what refuses one stream more."""
        return StreamsError(
            f"{self._open} event streams are open, and more are not served",
            retry_after_s=5.0,
            hint="close some, or raise relay.limits.maxStreams",
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_around)
            with self._bus.subscribe(_BUS_BATCHES) as published:
                task_status.started()
                async for item in published:
                    job = self._jobs.get(item.job_id)
                    if self._all.readers and (job is None or not job.told_all):
                        job = self._watched(item.job_id, item.events[0].seq)
                    if job is not None:
                        self._refresh(job)

    # ---- reading ----

    @asynccontextmanager
    async def follow(self, job_id: str, *, after: Mark = START) -> AsyncIterator["Reader"]:
        """Read the job's records behind a mark; the reader ends when the job's stream does.

        Raises: JobNotFoundError, StreamsError.
        """
        record = await jobs.read_job(self._stores, job_id)
        with self.counted():
            job = self._jobs.get(job_id)
            if job is None:
                job = self._jobs[job_id] = _Job(job_id, self.places(job_id))
            reader = Reader(job, after)
            if record.status in TERMINAL and after.seq >= record.events:
                reader.ending = True
            elif any(told.mark <= after for told in job.places.newest(END_AMONG) if _ends(told)):
                reader.ending = True  # the record, which says so too, follows the stream
            job.readers.add(reader)
            self._somebody.set()
            try:
                yield reader
            finally:
                job.readers.discard(reader)
                self._tidy(job)

    @contextmanager
    def everything(self, *, after: str = "") -> Iterator["Watcher"]:
        """Read the records of all jobs as they come, for ever.

        `after`: what `str` says of the last record that the reader has. If that is too long ago,
        `gap` of the watcher is true.
        Raises: StreamsError.
        """
        with self.counted():
            watcher = Watcher(self._all, self._ring, after)
            self._all.readers.add(watcher)
            self._somebody.set()
            try:
                yield watcher
            finally:
                self._all.readers.discard(watcher)
                if not self._all.readers:
                    self._nobody_watches()

    def page(self, job_id: str, *, after: Mark = START, limit: int = 500) -> list[Told]:
        """Return up to `limit` records behind a mark, as they are on the disk now."""
        places = self.places(job_id)
        place, mark = places.find(after)
        found: list[Told] = []
        while len(found) < limit and (more := places.read(place, mark)):
            place, mark = more[-1].end, more[-1].mark
            found += [told for told in more if told.mark > after]
        return found[:limit]

    def newest(self, job_id: str, limit: int) -> list[Told]:
        """Return the last records of a job, in order."""
        return self.places(job_id).newest(limit)

    def places(self, job_id: str, name: str = "events") -> Places:
        """Return how a stream of the job is read: ours, or the run folder where there is none."""
        config = self._settings()
        ours = config.data_dir / STREAMS / job_id
        return Places(ours if ours.is_dir() else Path(config.runs_root / job_id), name)

    # ---- what came ----

    def _refresh(self, job: _Job) -> bool:
        """Take in what came to the stream; tell whether something did."""
        if job.start is None:
            return False
        fresh = job.places.read(job.end, job.mark)
        while fresh:
            job.end, job.mark = fresh[-1].end, fresh[-1].mark
            job.over = job.over or any(map(_ends, fresh))
            self._keep(job, fresh)
            if job.told_all:
                self._tell_all(job.job_id, fresh)
            job.came(len(fresh), self._backlog)
            job.quiet = 0
            more = job.places.read(job.end, job.mark)
            if not more:
                if job.over:
                    self._tidy(job)
                return True
            fresh = more
        return False

    def _keep(self, job: _Job, fresh: list[Told]) -> None:
        size_bytes = sum(len(told.line) for told in fresh)
        job.kept.extend(fresh)
        job.kept_bytes += size_bytes
        self._kept_bytes += size_bytes
        wanted = JOB_BYTES if job.readers else 0
        while job.kept and (job.kept_bytes > wanted or self._kept_bytes > ALL_BYTES):
            self._kept_bytes -= job.forget()

    def _tell_all(self, job_id: str, fresh: list[Told]) -> None:
        self._ring.extend(OfJob(job_id, told) for told in fresh)
        self._ring_bytes += sum(len(told.line) for told in fresh)
        while self._ring_bytes > RING_BYTES:
            self._ring_bytes -= len(self._ring.popleft().told.line)
        self._all.came(len(fresh), self._backlog)

    def _watched(self, job_id: str, seq: int) -> _Job:
        """Return a job that is told to those who read all, from event `seq` on."""
        job = self._jobs.get(job_id)
        if job is None:
            job = self._jobs[job_id] = _Job(job_id, self.places(job_id))
        job.told_all = True
        told = self._told_of.pop(job_id, START)
        place, mark = job.places.find(max(Mark(seq - 1, _LAST), told))
        if job.start is None:
            job.begin(place, mark)
        while place < job.end and (more := job.places.read(place, mark)):
            place, mark = more[-1].end, more[-1].mark  # its own readers were faster
            self._tell_all(job_id, [told for told in more if told.end <= job.end])
        return job

    async def _look_around(self) -> None:
        while True:
            if not self._jobs:
                self._somebody = trio.Event()
                await self._somebody.wait()
            await trio.sleep(LOOK_S)
            for job in list(self._jobs.values()):
                if self._refresh(job):
                    continue
                job.quiet += 1
                if job.quiet % RECORD_LOOKS == 0:
                    await self._ask_record(job)

    async def _ask_record(self, job: _Job) -> None:
        """A job may be over without a word: given up by hand, or its stream is gone."""
        try:
            record = await jobs.read_job(self._stores, job.job_id)
        except (jobs.JobNotFoundError, jobs.JobUnreadableError):
            job.over = True
        else:
            job.over = job.over or record.status in TERMINAL
        if job.over:
            job.wake()
            self._tidy(job)

    # ---- who reads ----

    @property
    def _backlog(self) -> int:
        return self._settings().relay.limits.stream_backlog

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count as an open stream while the block is open.

        Raises: StreamsError.
        """
        if self.is_full:
            raise self.too_many()
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    def _tidy(self, job: _Job) -> None:
        """Forget a job that nobody reads any more."""
        if job.readers or (job.told_all and not job.over):
            return
        if self._jobs.get(job.job_id) is job:
            del self._jobs[job.job_id]
            if job.told_all:  # its last batch may have been read before the bus told of it
                self._told_of[job.job_id] = job.mark
                while len(self._told_of) > _OVER:
                    self._told_of.pop(next(iter(self._told_of)))
        self._kept_bytes -= job.kept_bytes
        job.kept.clear()
        job.kept_bytes = 0

    def _nobody_watches(self) -> None:
        self._ring.clear()
        self._told_of.clear()
        self._ring_bytes = 0
        for job in list(self._jobs.values()):
            job.told_all = False
            self._tidy(job)
