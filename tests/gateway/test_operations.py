"""Work on many jobs at once, across restarts."""

import pytest
import trio

from mnedge.engine.apply import apply
from mnedge.errors import UnavailableError
from mnedge.gateway.eligibility import decide, eligibility, undrained
from mnedge.gateway.nodes import NodeNotFoundError, node_name
from mnedge.gateway.operations import (
    EVENTS,
    KEPT,
    OperationNotFoundError,
    Operations,
    OperationUnknownError,
)
from mnedge.model.facts import OperatorAsked
from mnedge.model.states import JobStatus, Verb
from mnedge.part import running
from mnedge.runtime import jobs
from mnedge.runtime.clearing import cancel
from tests.gateway.backends import a_backend
from tests.runtime.rig import gated, pipeline, submitted


async def ended(operations, operation_id):
    with trio.fail_after(5000):
        await operations.follow(operation_id, ignored)
    return await operations.get(operation_id)


async def ignored(event):
    pass


def statuses(events):
    return [(one["item_id"], one["status"]) for one in events if one["type"] == "item_completed"]


async def test_what_a_restart_cut_goes_on_with_the_items_that_are_left(tmp_path, autojump_clock):
    async with a_backend(tmp_path) as (backend, rig):
        for n in range(3):
            await submitted(rig, gated(), f"job-{n}")
        await trio.sleep(1)
        store = backend.store
        idle = Operations(store, backend.settings, backend.host, now=rig.now)
        one = await idle.start("cancel_all_jobs", {}, by="user:ada")  # nobody carries it out
        await cancel(store, backend.host, "job-1", now=rig.now)
        fresh = Operations(store, backend.settings, backend.host, now=rig.now)
        async with running(fresh):
            over = await ended(fresh, one.operation_id)
        assert over.status == "completed_with_failures"  # one was over before
        events = await fresh.events(one.operation_id)
        assert sorted(statuses(events)) == [
            ("job-0", "cancelled"),
            ("job-1", "failed"),
            ("job-2", "cancelled"),
        ]
        asked = {one.job_id: one.status for one in await jobs.list_jobs(store)}
        assert set(asked.values()) == {JobStatus.CANCELLED}
        async with running(Operations(store, backend.settings, backend.host, now=rig.now)):
            await trio.sleep(1)
        assert await fresh.events(one.operation_id) == events


async def test_a_faulted_job_can_be_cancelled(tmp_path, autojump_clock):
    bad = [True]

    def poisoned(job, state, fact, seq):
        if bad and isinstance(fact, OperatorAsked):
            raise RuntimeError("a fact that nobody understands")
        return apply(job, state, fact, seq)

    async with a_backend(tmp_path, apply=poisoned) as (backend, rig):
        await submitted(rig, gated())
        await trio.sleep(1)
        await jobs.ask(backend.store, "job-1", Verb.PAUSE, now=rig.now)
        await trio.sleep(1)
        assert (await jobs.read_job(backend.store, "job-1")).status is JobStatus.FAULTED
        bad.clear()
        one = await backend.operations.start("cancel_all_jobs", {})
        over = await ended(backend.operations, one.operation_id)
        assert statuses(await backend.operations.events(one.operation_id)) == [
            ("job-1", "cancelled")
        ]
        assert over.status == "completed"


async def test_a_dry_run_changes_nothing(tmp_path, autojump_clock):
    async with a_backend(tmp_path) as (backend, rig):
        await submitted(rig, gated())
        await trio.sleep(1)
        name = node_name(rig.config)
        for kind in ("drain_node", "reconcile_node"):
            one = await backend.operations.start(kind, {"node_name": name, "dry_run": True})
            await ended(backend.operations, one.operation_id)
            events = await backend.operations.events(one.operation_id)
            assert statuses(events) == [("job-1", "dry_run")]
        assert (await eligibility(backend.store)).open


async def test_a_drain_that_was_called_off_leaves_its_jobs_alone(tmp_path, autojump_clock):
    async with a_backend(tmp_path) as (backend, rig):
        await submitted(rig, gated())
        await trio.sleep(1)
        one = await backend.operations.start("drain_node", {"node_name": "localhost"})
        await trio.sleep(1)
        types = [event["type"] for event in await backend.operations.events(one.operation_id)]
        assert types == ["item_deferred", "operation_deferred"]
        assert (await backend.operations.get(one.operation_id)).status == "deferred"
        await decide(backend.store, undrained(await eligibility(backend.store)))
        over = await ended(backend.operations, one.operation_id)
        assert (over.status, over.counters.deferred) == ("completed", 0)
        assert (await eligibility(backend.store)).open
        assert (await jobs.read_job(backend.store, "job-1")).status is JobStatus.RUNNING


async def test_a_drain_goes_on_after_a_restart(tmp_path, autojump_clock):
    async with a_backend(tmp_path) as (backend, rig):
        await submitted(rig, gated())
        await trio.sleep(1)
        store = backend.store
        first = Operations(store, backend.settings, backend.host, now=rig.now)
        async with running(first):
            one = await first.start("drain_node", {"node_name": "localhost", "deadline_ms": 60000})
            await trio.sleep(1)
        second = Operations(store, backend.settings, backend.host, now=rig.now)
        async with running(second):
            await trio.sleep(1)
            await jobs.ask(store, "job-1", Verb.CANCEL, now=rig.now)
            assert (await ended(second, one.operation_id)).status == "completed"
        assert (await eligibility(store)).drain_status == "complete"


async def test_a_disk_that_refuses_is_tried_again(tmp_path, autojump_clock, monkeypatch):
    async with a_backend(tmp_path) as (backend, rig):
        await submitted(rig, pipeline())
        await trio.sleep(1)
        refusals = iter([True, True, False, False])
        forget = backend.store.journal.forget

        async def moody(job_id):
            if next(refusals):
                raise UnavailableError("the disk is full")
            await forget(job_id)

        monkeypatch.setattr(backend.store.journal, "forget", moody)
        monkeypatch.setattr("mnedge.runtime.clearing.forget_run", lambda data_dir, job_id: None)
        one = await backend.operations.start("clear_jobs", {})
        with trio.fail_after(60):
            over = await ended(backend.operations, one.operation_id)
        assert (over.status, over.counters.succeeded) == ("completed", 1)
        assert await jobs.list_jobs(backend.store) == []


async def test_odd_requests_are_refused(tmp_path, autojump_clock):
    async with a_backend(tmp_path) as (backend, _):
        with pytest.raises(OperationUnknownError, match="no operation 'dance'"):
            await backend.operations.start("dance", {})
        with pytest.raises(NodeNotFoundError):
            await backend.operations.start("drain_node", {})
        with pytest.raises(OperationNotFoundError):
            await backend.operations.events("op-1")


async def test_old_operations_are_forgotten(tmp_path, autojump_clock):
    async with a_backend(tmp_path) as (backend, _):
        first = await backend.operations.start("clear_jobs", {})
        for _ in range(KEPT + 2):
            await trio.sleep(1)
            await backend.operations.start("clear_jobs", {})
        await trio.sleep(1)
        with pytest.raises(OperationNotFoundError):
            await backend.operations.get(first.operation_id)
        assert await backend.store.table.scan(f"{EVENTS}{first.operation_id}/") == []
        assert len(await backend.store.table.scan("operation/")) <= KEPT + 1
