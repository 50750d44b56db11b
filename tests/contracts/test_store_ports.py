"""Every store against the contracts of its ports."""

import pytest

from mnedge.store.memory import MemoryStore
from mnedge.store.sqlite import SqliteStore
from mnedge.testing.blobs_contract import BlobsContract
from mnedge.testing.claims_contract import ClaimsContract
from mnedge.testing.journal_contract import JournalContract
from mnedge.testing.table_contract import TableContract


class Node:
    """One data directory (or memory) that several processes share."""

    def __init__(self, kind, data_dir, nursery):
        self._kind = kind
        self._data_dir = data_dir
        self._nursery = nursery
        self._memory = MemoryStore("nobody")
        self._living = set()

    async def process(self, name):
        self._living.add(name)
        if self._kind == "memory":
            store = self._memory.beside(name)
        else:
            store = SqliteStore(
                self._data_dir,
                inline=self._kind == "sqlite inline",
                process=name,
                alive=self._living.__contains__,
            )
        await self._nursery.start(store.run)
        return store

    async def claims(self, holder):
        return (await self.process(holder)).claims

    def perish(self, holder):
        self._living.discard(holder)
        self._memory.perish(holder)


@pytest.fixture(params=["memory", "sqlite inline", pytest.param("sqlite", marks=pytest.mark.live)])
def processes(request, tmp_path, nursery):
    return Node(request.param, tmp_path / "data", nursery)


@pytest.fixture
async def store(processes):
    return await processes.process("only")


@pytest.fixture
def table(store):
    return store.table


@pytest.fixture
def claims(store):
    return store.claims


@pytest.fixture
def journal(store):
    return store.journal


@pytest.fixture
def blobs(store):
    return store.blobs


class TestTable(TableContract):
    pass


class TestClaims(ClaimsContract):
    pass


class TestJournal(JournalContract):
    pass


class TestBlobs(BlobsContract):
    pass
