"""What waits to be applied to one job: facts in order, and notes that can wait for company."""

from collections import deque
from collections.abc import Sequence

import trio

from mnedge.model.facts import AnyFact, Note, Noted, WorkerSaid

NOTE_WAIT_S = 0.1
"""How long notes wait for a fact whose fsync they can share."""
NOTES_AT_MOST = 10_000
"""Beyond this a flood of notes is thinned: notes decide nothing, and nobody may eat all memory."""
SAID_AT_MOST = 500
"""Of one launch: what a worker says faster than it can be written down is left out."""

Launch = tuple[str, int]


class Inbox:
    """Facts and notes of one job in the order in which they came.

    Loses: notes beyond `NOTES_AT_MOST` waiting, and what one launch says beyond `SAID_AT_MOST`; a
    note with their number takes their place.
    """

    def __init__(self) -> None:
        self._waiting: deque[AnyFact | Note] = deque()
        self._facts = 0
        self._notes = 0
        self._dropped = 0
        self._said: dict[Launch, int] = {}
        """How many of its words wait, of each launch that said something."""
        self._unheard: dict[Launch, int] = {}
        self._arrived = trio.Event()

    def put(self, fact: AnyFact) -> None:
        """Add a fact. Facts are bounded by what the job has under way."""
        self._waiting.append(fact)
        self._facts += 1
        self._arrived.set()

    def put_back(self, facts: Sequence[AnyFact]) -> None:
        """Put what was taken, and not used, before everything else."""
        self._waiting.extendleft(reversed(facts))
        self._facts += len(facts)
        for fact in facts:
            if isinstance(fact, WorkerSaid):
                self._count(fact, 1)
        self._arrived.set()

    def note(self, told: Note | WorkerSaid) -> None:
        """Add a note, or what a worker said, which is a fact."""
        if isinstance(told, WorkerSaid):
            self._say(told)
            return
        if self._notes >= NOTES_AT_MOST:
            self._dropped += 1
            return
        self._waiting.append(told)
        self._notes += 1
        self._arrived.set()

    def _say(self, said: WorkerSaid) -> None:
        launch = (said.work_id, said.launch)
        if self._said.get(launch, 0) >= SAID_AT_MOST:
            self._unheard[launch] = self._unheard.get(launch, 0) + 1
            return
        self._count(said, 1)
        self.put(said)

    def _count(self, said: WorkerSaid, change: int) -> None:
        launch = (said.work_id, said.launch)
        count = self._said.pop(launch, 0) + change
        if count > 0:
            self._said[launch] = count

    @property
    def empty(self) -> bool:
        """Tell whether nothing waits."""
        return not self._waiting

    async def take(self, at_most: int) -> list[AnyFact]:
        """Wait for something and return what came, notes folded into `Noted` facts.

        A fact is returned at once; notes alone wait `NOTE_WAIT_S` for one, to share its fsync.
        """
        while not self._waiting:
            await self._wait()
        if not self._decisive:
            with trio.move_on_after(NOTE_WAIT_S):
                while not self._decisive:
                    await self._wait()
        return self._folded(at_most)

    @property
    def _decisive(self) -> bool:
        return self._facts > 0 or self._notes >= NOTES_AT_MOST

    async def _wait(self) -> None:
        self._arrived = trio.Event()
        await self._arrived.wait()

    def _folded(self, at_most: int) -> list[AnyFact]:
        batch: list[AnyFact] = []
        notes: list[Note] = []
        at = 0.0
        while self._waiting and len(batch) < at_most:
            item = self._waiting.popleft()
            at = item.at
            if isinstance(item, Note):
                self._notes -= 1
                notes.append(item)
                continue
            self._facts -= 1
            if isinstance(item, WorkerSaid):
                self._count(item, -1)
            if notes:
                batch.append(Noted(at=notes[-1].at, notes=notes))
                notes = []
            batch.append(item)
        notes += self._left_out(at)
        if notes:
            batch.append(Noted(at=notes[-1].at, notes=notes))
        return batch

    def _left_out(self, at: float) -> list[Note]:
        """Return notes of what was dropped, once all that was kept is taken."""
        notes: list[Note] = []
        for launch in [launch for launch in self._unheard if launch not in self._said]:
            work_id, number = launch
            payload = {"count": self._unheard.pop(launch), "work_id": work_id}
            notes.append(
                Note(
                    at=at,
                    type="worker_events_dropped",
                    payload=payload,
                    work_id=work_id,
                    launch=number,
                )
            )
        if self._dropped and not self._notes:
            notes.append(Note(at=at, type="notes_dropped", payload={"count": self._dropped}))
            self._dropped = 0
        return notes
