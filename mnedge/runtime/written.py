"""What workers wrote to stdout and stderr, from the journal: every attempt that is still in it."""

from collections.abc import Collection, Mapping
from typing import Any

from msgspec import Struct

from mnedge.errors import CorruptError, NotFoundError
from mnedge.model.body import BlobRef
from mnedge.model.codec import decode_fact
from mnedge.model.facts import AttemptEnded
from mnedge.model.message import iso_ms
from mnedge.model.states import OutcomeStatus
from mnedge.runtime import jobs

STREAMS = ("stdout", "stderr")


class Written(Struct, frozen=True, kw_only=True):
    """What one launch of an attempt wrote."""

    at: float
    agent_id: str
    attempt_id: str
    launch: int
    status: OutcomeStatus
    exit_code: int | None
    stdout: str
    stderr: str

    def record(self) -> dict[str, Any]:
        """Return it as a record among log records."""
        return {
            "ts": iso_ms(self.at),
            "type": "worker_output",
            "agent_id": self.agent_id,
            "attempt_id": self.attempt_id,
            "launch": self.launch,
            "status": self.status,
            "exit_code": self.exit_code,
            "stdout": self.stdout,
            "stderr": self.stderr,
        }


class Reader:
    """Reads on in a job's journal."""

    def __init__(
        self, stores: jobs.Stores, job_id: str, agent_ids: Collection[str], *, after: int = 0
    ) -> None:
        """`after`: the number of the last fact that was looked at."""
        self.stores = stores
        self.job_id = job_id
        self.agent_ids = sorted(agent_ids, key=len, reverse=True)
        self.after = after
        """The number of the last fact that was looked at."""

    async def look(self) -> list[Written]:
        """Return what was written since the last look; silent workers are left out."""
        return [written for _, written in await self.numbered()]

    async def numbered(self) -> list[tuple[int, Written]]:
        """Return the same, each with the number of its fact."""
        found = []
        while batch := await self.stores.journal.read(self.job_id, after=self.after):
            self.after = batch[-1][0]
            for seq, content in batch:
                fact = decode_fact(content)
                if isinstance(fact, AttemptEnded):
                    found.append((seq, await self._written(fact)))
        return [(seq, written) for seq, written in found if written.stdout or written.stderr]

    async def _written(self, fact: AttemptEnded) -> Written:
        said = fact.outcome.error or fact.outcome.result
        exit_code = said.get("exit_code")
        return Written(
            at=fact.at,
            agent_id=agent_of(fact.attempt_id, self.agent_ids),
            attempt_id=fact.attempt_id,
            launch=fact.launch,
            status=fact.outcome.status,
            exit_code=exit_code if isinstance(exit_code, int) else None,
            stdout=await self._text(said, "stdout"),
            stderr=await self._text(said, "stderr"),
        )

    async def _text(self, said: Mapping[str, Any], stream: str) -> str:
        value = said.get(stream)
        if not isinstance(value, BlobRef):
            return str(value or "")
        try:
            return (await self.stores.blobs.get(value.digest)).decode(errors="replace")
        except (NotFoundError, CorruptError):
            return f"[{value.size_bytes} bytes that are no longer kept]"


def agent_of(attempt_id: str, agent_ids: Collection[str]) -> str:
    """Return the agent whose attempt it is: an attempt's id begins with its agent's."""
    for agent_id in agent_ids:
        if attempt_id.startswith(f"{agent_id}:"):
            return agent_id
    return attempt_id.partition(":")[0]
