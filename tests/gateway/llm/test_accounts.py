import pytest
import trio

from mnedge.errors import UnavailableError
from mnedge.gateway.llm.accounts import KEPT_DAYS, WRITE_S, Account, Accounts, Total
from mnedge.gateway.llm.usage import Usage
from mnedge.part import running
from mnedge.store.memory import MemoryStore

DAY = 86400.0
NOW = 20_000 * DAY


class Days:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


class Refusing:
    """A table whose disk is full while it is told so."""

    def __init__(self, table):
        self.table = table
        self.full = False

    async def put(self, *args, **more):
        if self.full:
            raise UnavailableError("disk is full")
        return await self.table.put(*args, **more)

    def __getattr__(self, name):
        return getattr(self.table, name)


async def test_what_was_used_is_added_up_by_day_model_and_caller(autojump_clock):
    table, days = MemoryStore().table, Days()
    async with running(Accounts(table, now=days)) as accounts:
        accounts.add("a", "m", "ada", Usage(prompt=3, completion=1))
        accounts.add("a", "m", "ada", Usage(prompt=2, completion=2, estimated=True))
        accounts.add("a", "m", "bob", Usage(prompt=9))
        await trio.sleep(WRITE_S + 1)
        days.now += DAY
        accounts.add("a", "m", "ada", Usage(prompt=1))
        expected = [
            (Account(20_000, "a", "m", "ada"), Total(2, 5, 3, 4)),
            (Account(20_000, "a", "m", "bob"), Total(1, 9, 0, 0)),
            (Account(20_001, "a", "m", "ada"), Total(1, 1, 0, 0)),
        ]
        assert await accounts.totals() == expected
        assert await accounts.totals(days=1) == expected[2:]
    assert await Accounts(table, now=days).totals() == expected


async def test_an_idle_node_writes_nothing(autojump_clock):
    table = MemoryStore().table
    async with running(Accounts(table, now=Days())):
        await trio.sleep(10 * WRITE_S)
    assert await table.scan("") == []


async def test_what_a_full_disk_refused_is_written_later(autojump_clock):
    table = Refusing(MemoryStore().table)
    table.full = True
    accounts = Accounts(table, now=Days())
    accounts.add("a", "m", "ada", Usage(prompt=3))
    with pytest.raises(UnavailableError):
        await accounts.write()
    async with running(accounts):
        await trio.sleep(WRITE_S + 1)
        accounts.add("a", "m", "ada", Usage(prompt=4))
        table.full = False
        await trio.sleep(2 * WRITE_S)
        assert len(await table.scan("llm/")) == 1
    [(_, total)] = await accounts.totals()
    assert (total.requests, total.prompt_tokens) == (2, 7)


async def test_old_accounts_are_forgotten(autojump_clock):
    table, days = MemoryStore().table, Days()
    async with running(Accounts(table, now=days)) as accounts:
        accounts.add("a", "m", "ada", Usage(prompt=3))
    days.now += (KEPT_DAYS + 1) * DAY
    async with running(Accounts(table, now=days)):
        assert await table.scan("llm/") == []
