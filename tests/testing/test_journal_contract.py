"""The journal suite notices journals that break their word."""

from inspect import signature

import pytest

from mnedge.store.journal_rows import claim_key_of
from mnedge.store.memory import MemoryJournal, MemoryStore
from mnedge.testing.journal_contract import JournalContract

SUITE = JournalContract()


class Gullible(MemoryJournal):
    """Takes facts with any number."""

    async def append(self, job_id, epoch, first_seq, records, *, sync=True):
        job = self._contents.jobs.get(job_id)
        await super().append(job_id, epoch, job.last_seq + 1 if job else 1, records)


class Timeless(MemoryJournal):
    """Knows no epochs but those of writers."""

    def _owned(self, job_id, epoch):
        self._contents.epochs.pop(claim_key_of(job_id), None)
        return super()._owned(job_id, epoch)


class Lenient(MemoryJournal):
    """Takes facts of any epoch."""

    def _owned(self, job_id, epoch):
        job = super()._owned(job_id, max(epoch, (99, 99)))
        job.epoch = epoch
        return job


class Eager(MemoryJournal):
    """Compacts as far as it is told."""

    async def compact(self, job_id, epoch, through):
        job = self._owned(job_id, epoch)
        job.compacted = min(through, job.last_seq)
        for seq in [seq for seq in job.records if seq <= through]:
            del job.records[seq]


class Amnesic(MemoryJournal):
    """Begins anew after a compaction."""

    async def compact(self, job_id, epoch, through):
        await super().compact(job_id, epoch, through)
        self._contents.jobs[job_id].compacted = 0


class Hoarding(MemoryJournal):
    """Forgets nothing."""

    async def forget(self, job_id):
        pass


class Prophetic(MemoryJournal):
    """Keeps snapshots of facts that were never written."""

    async def snapshot(self, job_id, epoch, seq, data):
        self._owned(job_id, epoch).snapshots.append((seq, data))


class Endless(MemoryJournal):
    """Reads everything from the start."""

    async def read(self, job_id, *, after=0, limit=500):
        return await super().read(job_id, limit=10_000)


@pytest.mark.parametrize(
    "kind,test",
    [
        (Gullible, SUITE.test_a_new_job_begins_at_one),
        (Gullible, SUITE.test_a_compacted_journal_goes_on_where_it_was),
        (Timeless, SUITE.test_a_newer_claim_stops_the_former_owner_before_the_new_one_writes),
        (Lenient, SUITE.test_an_older_epoch_than_the_last_writer_is_refused),
        (Eager, SUITE.test_one_snapshot_alone_lets_no_fact_go),
        (Eager, SUITE.test_compaction_never_passes_the_older_of_two_snapshots),
        (Amnesic, SUITE.test_a_compacted_journal_goes_on_where_it_was),
        (Hoarding, SUITE.test_a_forgotten_job_leaves_nothing),
        (Prophetic, SUITE.test_a_snapshot_stands_only_where_the_journal_leads),
        (Endless, SUITE.test_reading_goes_on_after_a_number_page_by_page),
    ],
)
async def test_a_broken_journal_is_caught(notices, kind, test):
    def subjects():
        store = MemoryStore()
        return [getattr(store, name) for name in signature(test).parameters]

    await test(*subjects())
    broken = subjects()
    broken[0].__class__ = kind
    assert await notices(test, *broken)
