"""What people, tools and workers append to a job's `human.jsonl`, brought into its inbox.

Nobody tells us when a file grows, so it is looked at now and then: only while a worker runs that
may write there, or a person is asked who may answer there. An idle job looks at nothing.
"""

from collections.abc import Callable, Sequence

import trio

from mnedge.model.facts import AnyFact, HumanSaid, Note
from mnedge.ports import Clock
from mnedge.runtime.inbox import Inbox
from mnedge.store.runs.folder import RunFolder

WORKING_S = 0.5
"""Between two looks while a worker runs."""
ASKED_S = 1.0
"""While only a person is asked, who may take days."""


class Listener:
    """Listens for one job. `expecting`: when to look again, in seconds; None: nobody may speak."""

    def __init__(
        self, folder: RunFolder, inbox: Inbox, clock: Clock, expecting: Callable[[], float | None]
    ) -> None:
        self._folder = folder
        self._inbox = inbox
        self._clock = clock
        self._expecting = expecting
        self._stirred = trio.Event()

    def hear(self) -> None:
        """Put what is new into the inbox."""
        at = self._clock()
        for spoken in self._folder.listen():
            if not spoken.is_for_people:
                self._inbox.note(Note(at=at, type=spoken.type, payload=spoken.payload))
                self._folder.confirm([spoken.line_id])
                continue
            self._inbox.put(
                HumanSaid(
                    at=at,
                    line_id=spoken.line_id,
                    type=spoken.type,
                    payload=spoken.payload,
                    by=spoken.by,
                )
            )

    def journaled(self, facts: Sequence[AnyFact]) -> None:
        """Forget what is among these facts, which are durable; look whether it is time to listen.

        What is not confirmed is heard again after a crash, and known by its id.
        """
        heard = [fact.line_id for fact in facts if isinstance(fact, HumanSaid)]
        if heard:
            self._folder.confirm(heard)
        if self._expecting() is not None:
            self._stirred.set()

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            wait_s = self._expecting()
            if wait_s is not None:
                await trio.sleep(wait_s)
                self.hear()
            else:
                self._stirred = trio.Event()
                await self._stirred.wait()
