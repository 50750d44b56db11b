"""Every change is written down with how it ended, and none is made that cannot be."""

import os

import pytest
import trio

from mnedge.config.settings import Audit
from mnedge.errors import ConflictError, NotAllowedError
from mnedge.gateway.audit_trail import audited, log_of
from mnedge.identity.audit import AuditDelayedError, AuditLog, AuditUnavailableError
from mnedge.identity.refusals import TokenMissingError
from mnedge.model.access import Principal, Scope
from mnedge.part import running

ADA = Principal(name="token:ada", scope=Scope.OPERATE, kind="token")


def a_log(tmp_path):
    return AuditLog(tmp_path, Audit(), lambda: 1_800_000_000.0, inline=True)


def a_scope(log, principal=ADA):
    return {"state": {"audit": log, "principal": principal, "request_id": "req_1"}}


async def written(log):
    return [(r.action, r.object, r.result, r.reason) for r in await log.page()]


async def test_what_was_done_is_written_down_before_it_is_answered(tmp_path):
    async with running(a_log(tmp_path)) as log:
        async with audited(a_scope(log), "job.create", "job/?") as trail:
            trail.object = "job/x"
        assert await written(log) == [("job.create", "job/x", "allow", "")]
        [record] = await log.page()
        assert (record.actor, record.request_id) == ("token:ada", "req_1")


@pytest.mark.parametrize(
    "error, result, reason",
    [
        (ConflictError("moved"), "error", "conflict: moved"),
        (NotAllowedError("not you"), "deny", "not you"),
        (ValueError("secret"), "error", "ValueError"),
    ],
)
async def test_what_failed_is_written_down_with_why(tmp_path, error, result, reason):
    async with running(a_log(tmp_path)) as log:
        with pytest.raises(type(error)):
            async with audited(a_scope(log), "job.cancel", "job/x"):
                raise error
        assert await written(log) == [("job.cancel", "job/x", result, reason)]


async def test_who_hung_up_is_written_down(tmp_path):
    async with running(a_log(tmp_path)) as log:
        with trio.CancelScope() as cut:
            async with audited(a_scope(log), "job.cancel", "job/x"):
                cut.cancel()
                await trio.lowlevel.checkpoint()
        assert [line[2] for line in await written(log)] == ["error"]


async def test_nothing_is_changed_that_cannot_be_written_down(
    tmp_path, monkeypatch, autojump_clock
):
    def failing(number):
        raise OSError(28, "no space left on device")

    changed = []
    async with running(a_log(tmp_path)) as log:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing)
            with pytest.raises(AuditDelayedError):
                async with audited(a_scope(log), "job.cancel", "job/1"):
                    changed.append(1)
            with pytest.raises(AuditUnavailableError):
                async with audited(a_scope(log), "job.cancel", "job/2"):
                    changed.append(2)
        await trio.sleep(60)
        assert changed == [1]
        assert [line[1] for line in await written(log)] == ["job/1"]


async def test_nobody_unknown_changes_anything(tmp_path):
    async with running(a_log(tmp_path)) as log:
        with pytest.raises(TokenMissingError):
            async with audited(a_scope(log, None), "job.cancel", "job/x"):
                pytest.fail("inside")
        assert await written(log) == []


def test_a_request_without_a_log_is_a_mistake_of_ours():
    with pytest.raises(LookupError):
        log_of({"state": {}})
