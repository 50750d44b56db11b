"""Whatever is asked of them, in whatever order: memory and SQLite answer alike."""

import tempfile

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from mnedge.errors import MnedgeError
from mnedge.part import running
from mnedge.ports import Claim, Epoch
from mnedge.store.memory import MemoryStore
from mnedge.store.sqlite import SqliteStore

jobs = st.sampled_from(["a", "b"])
keys = st.sampled_from(["job/a", "job/b", "ask/1", "ask/2"])
seqs = st.integers(0, 8)
epochs = st.builds(Epoch, st.integers(0, 1), st.integers(0, 3))
texts = st.binary(max_size=3)
versions = st.none() | st.integers(0, 3)

journal_acts = st.one_of(
    st.tuples(st.just("append"), jobs, epochs, seqs, st.lists(texts, max_size=4)),
    st.tuples(st.just("append_next"), jobs, epochs, st.lists(texts, max_size=4)),
    st.tuples(st.just("read"), jobs, seqs, st.integers(1, 5)),
    st.tuples(st.just("snapshot"), jobs, epochs, seqs, texts),
    st.tuples(st.just("latest_snapshot"), jobs),
    st.tuples(st.just("compact"), jobs, epochs, seqs),
    st.tuples(st.just("forget"), jobs),
    st.tuples(st.just("claim"), keys),
    st.tuples(st.just("release"), keys),
    st.tuples(st.just("reopen")),
)
table_acts = st.one_of(
    st.tuples(st.just("put"), keys, texts, versions),
    st.tuples(st.just("delete"), keys, versions),
    st.tuples(st.just("get"), keys),
    st.tuples(st.just("scan"), st.sampled_from(["", "ask/", "job/a"]), keys, st.integers(1, 3)),
    st.tuples(st.just("watched")),
    st.tuples(st.just("reopen")),
)


class Driver:
    """Does the same to any store, and tells what came of it."""

    def __init__(self, open_again):
        self._open_again = open_again
        self._claims = {}

    async def run(self, acts):
        told = []
        for sitting in self._sittings(acts):
            async with running(self._open_again()) as store:
                self._store = store
                self._watch = aiter(store.table.watch("ask/"))
                told.append(await anext(self._watch))
                for verb, *arguments in sitting:
                    try:
                        told.append(await getattr(self, verb)(*arguments))
                    except MnedgeError as error:
                        told.append(error.code)
        return told

    def _sittings(self, acts):
        sitting = []
        for act in acts:
            if act == ("reopen",):
                yield sitting
                sitting = []
            else:
                sitting.append(act)
        yield sitting

    async def append(self, job, epoch, seq, records):
        return await self._store.journal.append(job, epoch, seq, records)

    async def append_next(self, job, epoch, records):
        found = await self._store.journal.read(job)
        kept = await self._store.journal.latest_snapshot(job)
        last = max([seq for seq, _ in found] + [kept[0] if kept else 0])
        await self._store.journal.append(job, epoch, last + 1, records)
        return last

    async def read(self, job, after, limit):
        return await self._store.journal.read(job, after=after, limit=limit)

    async def snapshot(self, job, epoch, seq, content):
        return await self._store.journal.snapshot(job, epoch, seq, content)

    async def latest_snapshot(self, job):
        return await self._store.journal.latest_snapshot(job)

    async def compact(self, job, epoch, through):
        return await self._store.journal.compact(job, epoch, through)

    async def forget(self, job):
        return await self._store.journal.forget(job)

    async def claim(self, key):
        claim = await self._store.claims.claim(key)
        if claim is not None:
            self._claims[key] = claim
        return claim and claim.epoch

    async def release(self, key):
        await self._store.claims.release(self._claims.get(key, Claim(key, "nobody", Epoch(0, 0))))
        return await self._store.claims.holder(key)

    async def put(self, key, value, version):
        return await self._store.table.put(key, value, if_version=version)

    async def delete(self, key, version):
        return await self._store.table.delete(key, if_version=version)

    async def get(self, key):
        return await self._store.table.get(key)

    async def scan(self, prefix, after, limit):
        return await self._store.table.scan(prefix, after=after, limit=limit)

    async def watched(self):
        with trio.move_on_after(1):  # of virtual time: nothing else is going on
            return await anext(self._watch)
        return []


def answers_of_both(acts):
    memory = MemoryStore("one")
    with tempfile.TemporaryDirectory() as folder:

        def sqlite():
            return SqliteStore(
                folder, durability="NORMAL", inline=True, process="one", alive=lambda _: True
            )

        return (
            trio.run(Driver(lambda: memory).run, acts, clock=MockClock(autojump_threshold=0)),
            trio.run(Driver(sqlite).run, acts, clock=MockClock(autojump_threshold=0)),
        )


@given(st.lists(journal_acts, max_size=30))
def test_journals_and_claims_answer_alike(acts):
    memory, sqlite = answers_of_both(acts)
    assert memory == sqlite


@given(st.lists(table_acts, max_size=30))
def test_tables_answer_alike(acts):
    memory, sqlite = answers_of_both(acts)
    assert memory == sqlite
