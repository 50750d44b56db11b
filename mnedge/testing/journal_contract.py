"""What every journal keeps to. Subclass it in a test module with fixtures `journal` and `claims`.

Both belong to one store; `claims` is what the journal checks epochs against.
"""

import pytest
import trio

from mnedge.errors import ConflictError
from mnedge.ports import Claims, Epoch, Journal

FIRST = Epoch(0, 1)
"""An epoch for jobs that nobody claimed."""


class JournalContract:
    """Tests of the Journal port."""

    async def test_an_unknown_job_has_no_facts(self, journal: Journal) -> None:
        assert await journal.read("job") == []
        assert await journal.latest_snapshot("job") is None

    async def test_facts_come_back_in_order_and_numbered_from_one(self, journal: Journal) -> None:
        await journal.append("job", FIRST, 1, [b"one", b"two"])
        await journal.append("job", FIRST, 3, [b"three"])
        assert await journal.read("job") == [(1, b"one"), (2, b"two"), (3, b"three")]

    async def test_any_bytes_may_be_a_fact(self, journal: Journal) -> None:
        records = [b"", bytes(range(256)), b"\0" * 70_000, b"x" * 1_000_000]
        await journal.append("job", FIRST, 1, records)
        assert [body for _, body in await journal.read("job")] == records

    async def test_reading_goes_on_after_a_number_page_by_page(self, journal: Journal) -> None:
        await journal.append("job", FIRST, 1, [b"%d" % n for n in range(1, 26)])
        found: list[tuple[int, bytes]] = []
        while page := await journal.read("job", after=len(found), limit=10):
            assert len(page) <= 10
            found += page
        assert found == [(n, b"%d" % n) for n in range(1, 26)]

    @pytest.mark.parametrize("first_seq", [0, 1, 2, 4, 100])
    async def test_a_number_that_does_not_follow_is_refused_whole(
        self, journal: Journal, first_seq: int
    ) -> None:
        await journal.append("job", FIRST, 1, [b"one", b"two"])
        with pytest.raises(ConflictError):
            await journal.append("job", FIRST, first_seq, [b"x", b"y"])
        assert await journal.read("job") == [(1, b"one"), (2, b"two")]

    async def test_a_new_job_begins_at_one(self, journal: Journal) -> None:
        with pytest.raises(ConflictError):
            await journal.append("job", FIRST, 2, [b"x"])
        assert await journal.read("job") == []

    async def test_jobs_do_not_mix(self, journal: Journal) -> None:
        names = ["a", "ab", "a/b", "A", "a:1", "job with ä"]
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(
                    journal.append, name, FIRST, 1, [name.encode(), b"2 of " + name.encode()]
                )
        for name in names:
            text = name.encode()
            assert await journal.read(name) == [(1, text), (2, b"2 of " + text)]

    async def test_many_jobs_append_at_once_without_gaps(self, journal: Journal) -> None:
        async def fill(name: str) -> None:
            for seq in range(1, 21):
                await journal.append(name, FIRST, seq, [b"%d" % seq])

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(fill, f"job-{number}")
        for number in range(20):
            found = await journal.read(f"job-{number}")
            assert found == [(seq, b"%d" % seq) for seq in range(1, 21)]

    async def test_facts_without_a_sync_of_their_own_keep_their_place(
        self, journal: Journal
    ) -> None:
        await journal.append("job", FIRST, 1, [b"one"], sync=False)
        assert await journal.read("job") == [(1, b"one")]
        await journal.append("job", FIRST, 2, [b"two"])
        await journal.append("job", FIRST, 3, [b"three"], sync=False)
        assert await journal.read("job") == [(1, b"one"), (2, b"two"), (3, b"three")]

    async def test_an_older_epoch_than_the_last_writer_is_refused(self, journal: Journal) -> None:
        await journal.append("job", Epoch(0, 7), 1, [b"one"])
        for stale in (Epoch(0, 6), Epoch(0, 0)):
            with pytest.raises(ConflictError):
                await journal.append("job", stale, 2, [b"stale"])
        await journal.append("job", Epoch(1, 0), 2, [b"two"])
        with pytest.raises(ConflictError):
            await journal.append("job", Epoch(0, 9), 3, [b"a former failover"])
        assert await journal.read("job") == [(1, b"one"), (2, b"two")]

    async def test_a_newer_claim_stops_the_former_owner_before_the_new_one_writes(
        self, journal: Journal, claims: Claims
    ) -> None:
        old = await claims.claim("job/x")
        assert old is not None
        await journal.append("x", old.epoch, 1, [b"one"])
        await journal.snapshot("x", old.epoch, 1, b"state")
        await claims.release(old)
        new = await claims.claim("job/x")
        assert new is not None
        with pytest.raises(ConflictError):
            await journal.append("x", old.epoch, 2, [b"stale"])
        with pytest.raises(ConflictError):
            await journal.snapshot("x", old.epoch, 1, b"stale")
        with pytest.raises(ConflictError):
            await journal.compact("x", old.epoch, 1)
        await journal.append("x", new.epoch, 2, [b"two"])
        assert await journal.read("x") == [(1, b"one"), (2, b"two")]
        assert await journal.latest_snapshot("x") == (1, b"state")

    async def test_a_claim_of_another_job_changes_nothing(
        self, journal: Journal, claims: Claims
    ) -> None:
        mine = await claims.claim("job/x")
        other = await claims.claim("job/y")
        assert mine is not None
        assert other is not None
        await journal.append("x", mine.epoch, 1, [b"one"])
        assert await journal.read("x") == [(1, b"one")]

    async def test_the_newest_snapshot_is_found(self, journal: Journal) -> None:
        await journal.append("job", FIRST, 1, [b"x"] * 10)
        for seq, state in ((3, b"at 3"), (6, b"at 6"), (10, b"at 10")):
            await journal.snapshot("job", FIRST, seq, state)
            assert await journal.latest_snapshot("job") == (seq, state)
        assert await journal.latest_snapshot("other") is None

    async def test_a_large_snapshot_comes_back_whole(self, journal: Journal) -> None:
        state = bytes(range(256)) * 20_000
        await journal.append("job", FIRST, 1, [b"x"])
        await journal.snapshot("job", FIRST, 1, state)
        assert await journal.latest_snapshot("job") == (1, state)

    async def test_a_snapshot_stands_only_where_the_journal_leads(self, journal: Journal) -> None:
        await journal.append("job", FIRST, 1, [b"x"] * 3)
        with pytest.raises(ConflictError):
            await journal.snapshot("job", FIRST, 4, b"of the future")
        assert await journal.latest_snapshot("job") is None

    async def test_one_snapshot_alone_lets_no_fact_go(self, journal: Journal) -> None:
        await journal.append("job", FIRST, 1, [b"x"] * 5)
        await journal.compact("job", FIRST, 5)
        await journal.snapshot("job", FIRST, 5, b"state")
        await journal.compact("job", FIRST, 5)
        assert len(await journal.read("job")) == 5

    async def test_compaction_never_passes_the_older_of_two_snapshots(
        self, journal: Journal
    ) -> None:
        await journal.append("job", FIRST, 1, [b"x"] * 10)
        await journal.snapshot("job", FIRST, 4, b"older")
        await journal.snapshot("job", FIRST, 8, b"newer")
        await journal.compact("job", FIRST, 100)
        assert [seq for seq, _ in await journal.read("job")] == [5, 6, 7, 8, 9, 10]
        assert [seq for seq, _ in await journal.read("job", after=8)] == [9, 10]
        assert await journal.latest_snapshot("job") == (8, b"newer")

    async def test_compaction_stops_where_it_is_told(self, journal: Journal) -> None:
        await journal.append("job", FIRST, 1, [b"x"] * 10)
        await journal.snapshot("job", FIRST, 8, b"older")
        await journal.snapshot("job", FIRST, 10, b"newer")
        await journal.compact("job", FIRST, 3)
        assert (await journal.read("job", limit=1))[0][0] == 4
        await journal.compact("job", FIRST, 2)
        assert (await journal.read("job", limit=1))[0][0] == 4

    async def test_a_compacted_journal_goes_on_where_it_was(self, journal: Journal) -> None:
        await journal.append("job", FIRST, 1, [b"x"] * 6)
        await journal.snapshot("job", FIRST, 6, b"older")
        await journal.snapshot("job", FIRST, 6, b"newer")
        await journal.compact("job", FIRST, 6)
        assert await journal.read("job") == []
        with pytest.raises(ConflictError):
            await journal.append("job", FIRST, 1, [b"again"])
        await journal.append("job", FIRST, 7, [b"seven"])
        assert await journal.read("job", after=6) == [(7, b"seven")]
        assert await journal.latest_snapshot("job") == (6, b"newer")

    async def test_a_long_journal_is_compacted_whole(self, journal: Journal) -> None:
        await journal.append("job", FIRST, 1, [b"x"] * 12_345)
        await journal.snapshot("job", FIRST, 12_340, b"older")
        await journal.snapshot("job", FIRST, 12_345, b"newer")
        await journal.compact("job", FIRST, 12_340)
        assert [seq for seq, _ in await journal.read("job")] == [*range(12_341, 12_346)]

    async def test_a_forgotten_job_leaves_nothing(self, journal: Journal) -> None:
        for job in ("job", "other"):
            await journal.append(job, FIRST, 1, [b"x"] * 3)
            await journal.snapshot(job, FIRST, 2, b"state")
        await journal.forget("job")
        await journal.forget("never seen")
        assert await journal.read("job") == []
        assert await journal.latest_snapshot("job") is None
        assert len(await journal.read("other")) == 3
        assert await journal.latest_snapshot("other") == (2, b"state")
        await journal.append("job", FIRST, 1, [b"anew"])
        assert await journal.read("job") == [(1, b"anew")]
