"""The process of one module agent, asked one thing at a time."""

import signal
from typing import Any

import trio

from mnedge.execution.frames import Frames
from mnedge.execution.output import decoded, hidden
from mnedge.execution.telling import TellEvent
from mnedge.ports import Process

LINES_AT_ONCE = 100
LINES_A_SECOND = 10.0
"""What a worker prints becomes notes, this many at most: it must not fill the journal."""
LINE_CHARS = 2048
LAST_LINES = 10
GOODBYE_S = 1.0
LAST_WORDS_S = 0.5


class CrashedError(Exception):
    """A callback raised, or the process is gone."""


class ModuleWorker:
    """One process, one call at a time."""

    def __init__(
        self,
        process: Process,
        tell: TellEvent,
        secrets: tuple[str, ...],
    ) -> None:
        self._process = process
        self._frames = Frames(process)
        self._allowance = float(LINES_AT_ONCE)
        self._printed_at = trio.current_time()
        self._last_lines: list[str] = []
        self._silent = trio.Event()
        self.tell = tell
        self.secrets = secrets
        self.held_version: int | None = None

    async def ask(self, request: bytes) -> dict[str, Any]:
        """Send a request, return the answer.

        Raises: FrameError if the process ends or says something else; CrashedError.
        """
        answer = decoded(await self._frames.exchange(request))
        if not isinstance(answer, dict):
            raise CrashedError("module worker answered no JSON object")
        return answer

    async def read_what_it_prints(self) -> None:
        """Turn its lines into notes, a flood left out, until it has ended."""
        try:
            async for line in self._frames.lines():
                self._printed(hidden(line.decode(errors="replace"), self.secrets)[:LINE_CHARS])
        finally:
            self._silent.set()

    async def leave(self) -> None:
        """Let it end by itself, for a moment."""
        self._frames.say_goodbye()
        with trio.move_on_after(GOODBYE_S):
            await self._process.exited()
        self._frames.close()
        await self._process.end()

    async def end(self) -> str:
        """Make it end; return how it did, and its last lines."""
        self._process.signal(signal.SIGKILL)
        with trio.move_on_after(LAST_WORDS_S):
            await self._silent.wait()
        self._frames.close()
        ended = await self._process.end()
        how = f"exit code {ended.code}" if ended.signal is None else f"signal {ended.signal}"
        said = "\n".join(self._last_lines)
        return f" ({how})" + (f"\n{said}" if said else "")

    def _printed(self, text: str) -> None:
        self._last_lines = [*self._last_lines[1 - LAST_LINES :], text]
        if self._may_note():
            self.tell("agent_activity", {"message": text, "category": "log"})

    def _may_note(self) -> bool:
        now = trio.current_time()
        gained = (now - self._printed_at) * LINES_A_SECOND
        self._printed_at = now
        self._allowance = min(self._allowance + gained, LINES_AT_ONCE)
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True
