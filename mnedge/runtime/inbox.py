"""What waits to be applied to one job: facts in order, and notes that can wait for company."""

from collections import deque
from collections.abc import Sequence

import trio

from mnedge.model.facts import AnyFact, Note, Noted

NOTE_WAIT_S = 0.1
"""How long notes wait for a fact whose fsync they can share."""
NOTES_AT_MOST = 10_000
"""Beyond this a flood of notes is thinned: notes decide nothing, and nobody may eat all memory."""


class Inbox:
    """Facts and notes of one job in the order in which they came.

    Loses: notes beyond `NOTES_AT_MOST` waiting; a note with their number takes their place.
    """

    def __init__(self) -> None:
        self._waiting: deque[AnyFact | Note] = deque()
        self._facts = 0
        self._notes = 0
        self._dropped = 0
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
        self._arrived.set()

    def note(self, note: Note) -> None:
        """Add a note."""
        if self._notes >= NOTES_AT_MOST:
            self._dropped += 1
            return
        self._waiting.append(note)
        self._notes += 1
        self._arrived.set()

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
        while self._waiting and len(batch) < at_most:
            item = self._waiting.popleft()
            if isinstance(item, Note):
                self._notes -= 1
                notes.append(item)
                continue
            self._facts -= 1
            if notes:
                batch.append(Noted(at=notes[-1].at, notes=notes))
                notes = []
            batch.append(item)
        if self._dropped and not self._notes:
            notes.append(self._drop_note(notes, batch))
        if notes:
            batch.append(Noted(at=notes[-1].at, notes=notes))
        return batch

    def _drop_note(self, notes: list[Note], batch: list[AnyFact]) -> Note:
        at = notes[-1].at if notes else batch[-1].at
        dropped, self._dropped = self._dropped, 0
        return Note(at=at, type="notes_dropped", payload={"count": dropped})
