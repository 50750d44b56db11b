"""Who changed what: `AuditLog` writes it down before the one who asked is answered.

A change is refused beforehand while the disk takes no records. If the disk fails between the change
and its record, the record waits in memory until the disk takes it, the one who asked is told that
it is done but not yet written down, and nothing more is changed until it is.
"""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import trio
from msgspec import Struct

from mnedge.config.settings import Audit
from mnedge.errors import UnavailableError
from mnedge.identity.audit_file import (
    AuditFile,
    AuditRecord,
    Verdict,
    files_of,
    records_in,
    verified,
)
from mnedge.model.access import Principal
from mnedge.part import Part

QUEUE = 1024
"""Records that may wait for the disk; after that nothing is changed until there is room."""
RETRY_S = (1.0, 2.0, 5.0, 15.0, 30.0)
_TEXT_CHARS = 512

T = TypeVar("T")


class AuditUnavailableError(UnavailableError):
    """The audit record cannot be written, and without it nothing is changed."""

    code = "audit.unavailable"


class AuditDelayedError(UnavailableError):
    """The change was made, but its audit record still waits for the disk."""

    code = "audit.delayed"


class _Waiting(Struct):
    record: AuditRecord
    done: trio.Event
    delayed: bool = False


class AuditLog(Part):
    """The record of every change; other tasks and processes may read it at any time."""

    grace_s = 5.0

    def __init__(
        self,
        data_dir: Path,
        settings: Audit,
        now: Callable[[], float],
        *,
        redact: Callable[[str], str] = str,
        inline: bool = False,
    ) -> None:
        """`inline`: write without a thread, as tests on a virtual clock need it."""
        self.folder = data_dir / "audit"
        self._file = AuditFile(
            self.folder, max_bytes=settings.max_size, keep_days=settings.keep_days
        )
        self._now = now
        self._redact = redact
        self._waiting: deque[_Waiting] = deque()
        self._came = trio.Event()
        self._limiter = trio.CapacityLimiter(1)
        self._inline = inline
        self._stopping = False
        self._running = False
        self.trouble = ""
        """Why the disk takes no records just now; empty if it does."""
        self.written = 0
        """Records since the start."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write down what comes, in batches."""
        self._running = True
        task_status.started()
        try:
            while self._waiting or not self._stopping:
                if not self._waiting:
                    self._came = trio.Event()
                    await self._came.wait()
                    continue
                await self._write_batch()
        finally:
            self._running = False
            self.trouble = self.trouble or "it was closed"
            for waiting in self._waiting:
                waiting.delayed = True
                waiting.done.set()

    def stop(self) -> None:
        """Write down what waits, then end."""
        self._stopping = True
        self._came.set()

    def refuse_unless_writable(self) -> None:
        """Return if a change that is made now can be written down.

        Raises: AuditUnavailableError.
        """
        why = self.trouble
        if not why and not self._running:
            why = "it is not open"
        if not why and len(self._waiting) >= QUEUE:
            why = f"{QUEUE} records wait for the disk"
        if why:
            raise AuditUnavailableError(
                f"the audit record cannot be written: {why}",
                hint=f"nothing was changed; make {self.folder} writable and ask again",
            )

    async def record(
        self,
        actor: Principal,
        action: str,
        object: str,  # noqa: A002
        result: str,
        reason: str = "",
        request_id: str = "",
    ) -> None:
        """Return when it is durably written down.

        Raises: AuditUnavailableError if the log is not open; AuditDelayedError if it still waits.
        """
        if not self._running:
            self.refuse_unless_writable()
        waiting = self._queued(actor, action, object, result, reason, request_id)
        with trio.CancelScope(shield=True):  # who hangs up is written down all the same
            await waiting.done.wait()
        if waiting.delayed:
            raise AuditDelayedError(
                f"it was done, but is not yet in the audit record: {self.trouble}",
                hint="it is written down as soon as the disk takes it; nothing is changed before",
            )

    def note(
        self,
        actor: Principal,
        action: str,
        object: str,  # noqa: A002
        result: str,
        reason: str = "",
        request_id: str = "",
    ) -> None:
        """Have it written down soon, without waiting; for what changed nothing.

        Loses: what comes while too many records wait for the disk.
        """
        if self._running and len(self._waiting) < QUEUE:
            self._queued(actor, action, object, result, reason, request_id)

    def _queued(
        self,
        actor: Principal,
        action: str,
        object: str,  # noqa: A002
        result: str,
        reason: str,
        request_id: str,
    ) -> _Waiting:
        record = AuditRecord(
            seq=0,
            at=self._now(),
            actor=self._bounded(actor.name),
            address=self._bounded(actor.address),
            token_id=actor.token_id or "",
            action=self._bounded(action),
            object=self._bounded(object),
            result=result,
            reason=self._bounded(reason),
            request_id=self._bounded(request_id),
        )
        waiting = _Waiting(record, trio.Event())
        self._waiting.append(waiting)
        self._came.set()
        return waiting

    async def page(self, *, after: int = 0, limit: int = 50) -> list[AuditRecord]:
        """Return up to `limit` records with greater numbers, the oldest first."""
        return await self._off_the_loop(self._page, after, limit)

    async def newest(self, limit: int = 50, *, before: int | None = None) -> list[AuditRecord]:
        """Return the last records (below number `before`), the newest first."""
        return await self._off_the_loop(self._newest, limit, before)

    async def verify(self) -> Verdict:
        """Read the whole record and say whether it is as it was written."""
        return await self._off_the_loop(verified, self.folder)

    def _page(self, after: int, limit: int) -> list[AuditRecord]:
        found: list[AuditRecord] = []
        files = files_of(self.folder)
        later = [path for path in files if _first_seq(path) > after + 1]
        for record in records_in(files[max(0, len(files) - len(later) - 1) :]):
            if isinstance(record, AuditRecord) and record.seq > after:
                found.append(record)
                if len(found) >= limit:
                    break
        return found

    def _newest(self, limit: int, before: int | None) -> list[AuditRecord]:
        found: list[AuditRecord] = []
        for path in reversed(files_of(self.folder)):
            if before is not None and _first_seq(path) >= before:
                continue
            kept: deque[AuditRecord] = deque(maxlen=limit - len(found))
            kept.extend(
                record
                for record in records_in([path])
                if isinstance(record, AuditRecord) and (before is None or record.seq < before)
            )
            found.extend(reversed(kept))
            if len(found) >= limit:
                break
        return found

    async def _write_batch(self) -> None:
        attempt = 0
        while True:
            batch = list(self._waiting)
            records = [waiting.record for waiting in batch]
            try:
                await self._off_the_loop(self._append, records)
            except OSError as error:
                self.trouble = error.strerror or str(error)
                for waiting in batch:
                    waiting.delayed = True
                    waiting.done.set()
                await trio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
                attempt += 1
                continue
            break
        self.trouble = ""
        self.written += len(batch)
        for waiting in batch:
            self._waiting.popleft()
            waiting.done.set()

    async def _off_the_loop(self, work: Callable[..., T], *args: Any) -> T:
        if self._inline:
            await trio.lowlevel.checkpoint()
            return work(*args)
        return await trio.to_thread.run_sync(work, *args, limiter=self._limiter)

    def _append(self, records: Sequence[AuditRecord]) -> None:
        now = self._now()
        self._file.append(records, now)
        if self._file.mended_bytes:
            said = (
                f"a line was torn when this machine lost its power: {self._file.mended_bytes} bytes"
            )
            self._file.mended_bytes = 0
            mended = AuditRecord(
                seq=0,
                at=now,
                actor="mnedge",
                action="audit.mended",
                object="audit",
                result="allow",
                reason=said,
            )
            self._file.append([mended], now)

    def _bounded(self, text: str) -> str:
        text = self._redact(text)
        text = "".join(c if c.isprintable() else "?" for c in text[: _TEXT_CHARS + 1])
        return text if len(text) <= _TEXT_CHARS else text[: _TEXT_CHARS - 1] + "…"


def _first_seq(path: Path) -> int:
    digits = path.stem.removeprefix("audit-")
    return int(digits) if digits.isdecimal() else 0
