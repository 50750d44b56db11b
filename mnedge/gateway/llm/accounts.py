"""What each caller used of each model, by day: kept in the table, written now and then."""

from contextlib import suppress
from typing import NamedTuple

import msgspec
import trio
from msgspec import Struct

from mnedge.errors import UnavailableError
from mnedge.gateway.llm.usage import Usage
from mnedge.part import Part
from mnedge.ports import Clock, Table

ACCOUNTS = "llm/"
DAY_S = 86400
WRITE_S = 30.0
"""Between two writes at least; a crash loses no more than this."""
KEPT_DAYS = 90
NAME_CHARACTERS = 80

_encode = msgspec.msgpack.Encoder().encode


class Account(NamedTuple):
    """Whose, and of what."""

    day: int
    """Days since 1970, UTC."""
    adapter: str
    model: str
    caller: str

    @property
    def key(self) -> str:
        """Where it stands in the table."""
        return f"{ACCOUNTS}{self.day:06d}/" + msgspec.json.encode(self[1:]).decode()


class Total(Struct):
    """What an account comes to."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated_tokens: int = 0
    """How many of them are a guess."""


_decode = msgspec.msgpack.Decoder(Total).decode


class Accounts(Part):
    """Adds up; an idle node writes nothing."""

    def __init__(self, table: Table, *, now: Clock) -> None:
        self._table = table
        self._now = now
        self._fresh: dict[Account, Total] = {}
        self._came = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write what was added, every so often, and at the end."""
        await self._forget_old()
        task_status.started()
        try:
            while True:
                await self._came.wait()
                await trio.sleep(WRITE_S)
                with suppress(UnavailableError):
                    await self.write()
        finally:
            with trio.move_on_after(2, shield=True), suppress(UnavailableError):
                await self.write()

    def add(self, adapter: str, model: str, caller: str, usage: Usage) -> None:
        """Count one request."""
        day = int(self._now()) // DAY_S
        account = Account(day, adapter, model[:NAME_CHARACTERS], caller[:NAME_CHARACTERS])
        total = self._fresh.setdefault(account, Total())
        total.requests += 1
        total.prompt_tokens += usage.prompt
        total.completion_tokens += usage.completion
        total.estimated_tokens += usage.total if usage.estimated else 0
        self._came.set()

    async def write(self) -> None:
        """Write what was added since the last time.

        Raises: UnavailableError if the disk refuses; what was not written is kept.
        """
        self._came = trio.Event()
        while self._fresh:
            account, added = self._fresh.popitem()
            try:
                row = await self._table.get(account.key)
                kept = Total() if row is None else _decode(row.value)
                await self._table.put(account.key, _encode(_sum(kept, added)), sync=False)
            except UnavailableError:
                self._fresh[account] = _sum(self._fresh.get(account, Total()), added)
                self._came.set()
                raise

    async def totals(self, *, days: int = 30) -> list[tuple[Account, Total]]:
        """Return every account of the last `days` days, today's too, written or not."""
        first = int(self._now()) // DAY_S - days + 1
        found: dict[Account, Total] = {}
        after = f"{ACCOUNTS}{first:06d}"
        while rows := await self._table.scan(ACCOUNTS, after=after):
            after = rows[-1].key
            for row in rows:
                found[_account_of(row.key)] = _decode(row.value)
        for account, added in self._fresh.items():
            found[account] = _sum(found.get(account, Total()), added)
        return sorted(found.items())

    async def _forget_old(self) -> None:
        oldest = int(self._now()) // DAY_S - KEPT_DAYS
        while rows := await self._table.scan(ACCOUNTS):
            old = [row.key for row in rows if _account_of(row.key).day < oldest]
            for key in old:
                await self._table.delete(key, sync=False)
            if len(old) < len(rows):
                return


def _account_of(key: str) -> Account:
    day, _, rest = key.removeprefix(ACCOUNTS).partition("/")
    adapter, model, caller = msgspec.json.decode(rest, type=tuple[str, str, str])
    return Account(int(day), adapter, model, caller)


def _sum(left: Total, right: Total) -> Total:
    return Total(*(getattr(left, name) + getattr(right, name) for name in Total.__struct_fields__))
