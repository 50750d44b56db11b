"""Revocations: known at once in this process, soon in others, forgotten when they are void."""

import pytest
import trio

from mnedge.identity.revocations import PREFIX, Revocations
from mnedge.part import running
from mnedge.store.memory import MemoryStore


class Date:
    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def date():
    return Date()


async def test_a_token_is_revoked_by_its_id(date):
    async with running(MemoryStore()) as store:
        revoked = Revocations(store.table, date)
        await revoked.revoke_id("tok_1", date.at + 60)
        assert await revoked.holds("tok_1", "ada", date.at)
        assert not await revoked.holds("tok_2", "ada", date.at)


async def test_a_name_is_revoked_for_what_was_issued_until_then(date):
    async with running(MemoryStore()) as store:
        revoked = Revocations(store.table, date)
        await revoked.revoke_name("ada", date.at + 3660)
        assert await revoked.holds("tok_1", "ada", date.at - 5)
        assert await revoked.holds("tok_1", "ada", date.at)
        assert not await revoked.holds("tok_2", "ada", date.at + 1)
        assert not await revoked.holds("tok_3", "bob", date.at - 5)


async def test_what_another_process_revokes_is_learnt(date, autojump_clock):
    async with running(MemoryStore()) as store:
        follower = Revocations(store.table, date)
        async with running(follower):
            await Revocations(store.table, date).revoke_id("tok_1", date.at + 60)
            with trio.fail_after(5):
                while not await follower.holds("tok_1", "ada", date.at):
                    await trio.sleep(0.1)


async def test_one_that_is_about_ended_tokens_is_forgotten(date):
    async with running(MemoryStore()) as store:
        revoked = Revocations(store.table, date)
        async with running(revoked):
            await revoked.revoke_id("old", date.at + 60)
            await revoked.revoke_id("new", date.at + 600)
            date.at += 61
            await revoked.prune()
            assert [row.key for row in await store.table.scan(PREFIX)] == [f"{PREFIX}id/new"]
            assert not await revoked.holds("old", "ada", date.at)
            assert await revoked.holds("new", "ada", date.at)
