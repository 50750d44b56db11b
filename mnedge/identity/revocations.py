"""Tokens that were taken back before their time: by id, or all of one name.

A row says when it may be forgotten: when the last token it is about has ended.
"""

from collections.abc import Callable

import msgspec
import trio
from msgspec import Struct

from mnedge.errors import ConflictError
from mnedge.part import Part
from mnedge.ports import Row, Table

PREFIX = "tokens/revoked/"
_BY_ID = f"{PREFIX}id/"
_BY_NAME = f"{PREFIX}name/"


class Revocation(Struct, frozen=True, kw_only=True):
    """What was taken back."""

    at: float
    until: float
    """When every token it is about has ended."""


class Revocations(Part):
    """Knows what is revoked without asking the disk for each request, while it runs.

    Not running (a verb of the command line), it asks the table each time.
    """

    def __init__(self, table: Table, now: Callable[[], float]) -> None:
        self._table = table
        self._now = now
        self._known: dict[str, Revocation] | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow what any process revokes."""
        known: dict[str, Revocation] = {}
        try:
            async for rows in self._table.watch(PREFIX):
                known.update(self._read(rows))
                if self._known is None:
                    self._known = known
                    task_status.started()
        finally:
            self._known = None

    async def revoke_id(self, token_id: str, until: float) -> None:
        """Take one token back."""
        await self._write(f"{_BY_ID}{token_id}", Revocation(at=self._now(), until=until))

    async def revoke_name(self, name: str, until: float) -> None:
        """Take back every token of that name that was issued until now."""
        await self._write(f"{_BY_NAME}{name}", Revocation(at=self._now(), until=until))

    async def holds(self, token_id: str, name: str, issued_at: float) -> bool:
        """Tell whether that token was taken back."""
        if await self._get(f"{_BY_ID}{token_id}") is not None:
            return True
        by_name = await self._get(f"{_BY_NAME}{name}")
        return by_name is not None and issued_at <= by_name.at

    async def prune(self) -> None:
        """Forget what is about tokens that have ended anyway."""
        after = ""
        while rows := await self._table.scan(PREFIX, after=after):
            after = rows[-1].key
            for row in rows:
                if _revocation(row).until < self._now():
                    await self._forget(row)

    async def _forget(self, row: Row) -> None:
        try:
            await self._table.delete(row.key, if_version=row.version)
        except ConflictError:
            return  # revoked again meanwhile
        if self._known is not None:
            self._known.pop(row.key, None)

    async def _write(self, key: str, revocation: Revocation) -> None:
        await self._table.put(key, msgspec.json.encode(revocation))
        if self._known is not None:
            self._known[key] = revocation

    async def _get(self, key: str) -> Revocation | None:
        if self._known is not None:
            return self._known.get(key)
        row = await self._table.get(key)
        return None if row is None else _revocation(row)

    @staticmethod
    def _read(rows: list[Row]) -> dict[str, Revocation]:
        return {row.key: _revocation(row) for row in rows}


def _revocation(row: Row) -> Revocation:
    return msgspec.json.decode(row.value, type=Revocation)
