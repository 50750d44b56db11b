"""The audit log: nothing is answered before it is written down, nothing is lost."""

import os
from contextlib import contextmanager

import pytest
import trio

from mnedge.config.settings import Audit
from mnedge.identity.audit import AuditDelayedError, AuditLog, AuditUnavailableError
from mnedge.identity.audit_file import AuditRecord, files_of, records_in
from mnedge.model.access import Principal, Scope
from mnedge.part import running

ADA = Principal(name="token:ada", scope=Scope.ADMIN, kind="token", address="10.0.0.1", token_id="t")
START = 1_800_000_000.0


def a_log(folder, **more):
    return AuditLog(folder, Audit(), lambda: START, inline=True, **more)


def on_disk(folder) -> list[AuditRecord]:
    return [r for r in records_in(files_of(folder / "audit")) if isinstance(r, AuditRecord)]


@contextmanager
def a_full_disk(monkeypatch):
    with monkeypatch.context() as patch:

        def failing(number):
            raise OSError(28, "no space left on device")

        patch.setattr(os, "fsync", failing)
        yield


async def test_a_record_is_on_disk_when_record_returns(tmp_path):
    async with running(a_log(tmp_path)) as log:
        await log.record(ADA, "job.cancel", "job/x", "allow", "why", "req_1")
        [found] = on_disk(tmp_path)
        assert (found.actor, found.address, found.token_id) == ("token:ada", "10.0.0.1", "t")
        assert (found.action, found.object, found.result) == ("job.cancel", "job/x", "allow")
        assert (found.reason, found.request_id, found.at, found.seq) == ("why", "req_1", START, 1)
        assert (await log.verify()).good


async def test_many_at_once_share_a_batch_and_keep_their_order(tmp_path):
    async with running(a_log(tmp_path)) as log:
        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(log.record, ADA, "a", f"job/{number}", "allow")
        assert log.written == 200
        assert len(on_disk(tmp_path)) == 200
        assert (await log.verify()).last_seq == 200


async def test_pages_go_both_ways(tmp_path):
    async with running(a_log(tmp_path)) as log:
        for number in range(1, 8):
            await log.record(ADA, "a", f"job/{number}", "allow")
        assert [r.seq for r in await log.page(after=2, limit=3)] == [3, 4, 5]
        assert [r.seq for r in await log.newest(3)] == [7, 6, 5]
        assert [r.seq for r in await log.newest(3, before=5)] == [4, 3, 2]
        assert await log.newest(3, before=1) == []


async def test_a_disk_that_takes_nothing_is_told_and_nothing_is_lost(
    tmp_path, monkeypatch, autojump_clock
):
    async with running(a_log(tmp_path)) as log:
        with a_full_disk(monkeypatch):
            with pytest.raises(AuditDelayedError):
                await log.record(ADA, "job.cancel", "job/1", "allow")
            with pytest.raises(AuditUnavailableError) as caught:
                log.refuse_unless_writable()
            assert "no space left" in caught.value.message
            assert on_disk(tmp_path) == []
        await trio.sleep(60)
        log.refuse_unless_writable()
        assert [record.object for record in on_disk(tmp_path)] == ["job/1"]


async def test_who_hangs_up_is_written_down_all_the_same(tmp_path):
    async with running(a_log(tmp_path)) as log:
        with trio.CancelScope() as scope:
            scope.cancel()
            await log.record(ADA, "job.cancel", "job/1", "allow")
        assert len(on_disk(tmp_path)) == 1


async def test_a_closed_log_refuses_changes(tmp_path):
    log = a_log(tmp_path)
    with pytest.raises(AuditUnavailableError):
        log.refuse_unless_writable()
    with pytest.raises(AuditUnavailableError):
        await log.record(ADA, "a", "b", "allow")
    async with running(log):
        log.note(ADA, "access.denied", "GET /", "deny")
    assert [record.action for record in on_disk(tmp_path)] == ["access.denied"]


async def test_notes_are_bounded_while_the_disk_takes_nothing(
    tmp_path, monkeypatch, autojump_clock
):
    async with running(a_log(tmp_path)) as log:
        with a_full_disk(monkeypatch):
            for _ in range(5000):
                log.note(ADA, "access.denied", "GET /", "deny")
            await trio.sleep(1)
        await trio.sleep(60)
        assert 0 < len(on_disk(tmp_path)) <= 1024


async def test_texts_are_clean_and_short(tmp_path):
    async with running(a_log(tmp_path, redact=lambda text: text.replace("hunter2", "…"))) as log:
        await log.record(ADA, "a\nb", "x" * 5000, "allow", "the password is hunter2\x1b[31m")
        [found] = on_disk(tmp_path)
        assert found.action == "a?b"
        assert len(found.object) == 512
        assert found.reason == "the password is …?[31m"


async def test_a_mended_line_is_told_in_the_record(tmp_path):
    async with running(a_log(tmp_path)) as log:
        await log.record(ADA, "a", "b", "allow")
        await log.record(ADA, "a", "c", "allow")
    [path] = files_of(tmp_path / "audit")
    path.write_bytes(path.read_bytes()[:-7])
    async with running(a_log(tmp_path)) as log:
        await log.record(ADA, "a", "d", "allow")
        assert [(r.action, r.object) for r in on_disk(tmp_path)] == [
            ("a", "b"),
            ("a", "d"),
            ("audit.mended", "audit"),
        ]
        assert (await log.verify()).good


@pytest.mark.live
async def test_it_writes_off_the_loop(tmp_path):
    async with running(AuditLog(tmp_path, Audit(), lambda: START)) as log:
        await log.record(ADA, "a", "b", "allow")
        assert len(on_disk(tmp_path)) == 1
