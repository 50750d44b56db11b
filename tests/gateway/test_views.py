import pytest
import trio

from mnedge.engine import apply as engine
from mnedge.gateway import views
from mnedge.gateway.views import IDLE_S, KEPT, Views
from mnedge.model.states import Verb
from mnedge.runtime import jobs
from mnedge.runtime.clearing import forget_job
from mnedge.runtime.view import job_view
from tests.gateway.backends import a_backend
from tests.runtime.rig import gated, pipeline, submitted


@pytest.fixture
def applied(monkeypatch):
    """Return the numbers of the facts that views apply."""
    numbers = []

    def counted(job, state, fact, seq):
        numbers.append(seq)
        return engine.apply(job, state, fact, seq)

    monkeypatch.setattr(views, "apply", counted)
    return numbers


async def test_a_view_follows_the_journal_and_applies_each_fact_once(
    tmp_path, autojump_clock, applied
):
    async with a_backend(tmp_path) as (backend, rig):
        await submitted(rig, gated())
        await trio.sleep(1)
        looked = Views(backend.store)
        for verb in (Verb.PAUSE, Verb.RESUME, Verb.CANCEL):
            assert (await looked.look("job-1"))[0] == await job_view(backend.store, "job-1")
            await jobs.ask(backend.store, "job-1", verb, now=rig.now)
            await trio.sleep(1)
        found, spec = await looked.look("job-1")
        assert found == await job_view(backend.store, "job-1")
        assert spec.graph_id == "under_test_v1"
        assert applied == list(range(1, found.last_fact + 1))


async def test_many_who_look_at_once_see_the_same(tmp_path, autojump_clock, applied):
    async with a_backend(tmp_path) as (backend, rig):
        await submitted(rig, pipeline())
        await trio.sleep(1)
        looked, found = Views(backend.store), []

        async def look():
            found.append((await looked.look("job-1"))[0])

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(look)
        assert all(one == found[0] for one in found)
        assert len(applied) == found[0].last_fact


async def test_a_journal_that_was_compacted_meanwhile_is_begun_again(tmp_path, autojump_clock):
    async with a_backend(tmp_path, settings={"snapshot_bytes": 1}) as (backend, rig):
        await submitted(rig, gated())
        await trio.sleep(1)
        looked = Views(backend.store)
        await looked.look("job-1")
        for verb in (Verb.PAUSE, Verb.RESUME) * 5:
            await jobs.ask(backend.store, "job-1", verb, now=rig.now)
            await trio.sleep(1)
        found = (await looked.look("job-1"))[0]
        assert found == await job_view(backend.store, "job-1")


async def test_another_job_of_the_same_id_is_another_one(tmp_path, autojump_clock):
    async with a_backend(tmp_path) as (backend, rig):
        await submitted(rig, pipeline())
        await trio.sleep(1)
        looked = Views(backend.store)
        await looked.look("job-1")
        await forget_job(backend.store, rig.config, backend.host, "job-1")
        with pytest.raises(jobs.JobNotFoundError):
            await looked.look("job-1")
        await submitted(rig, gated())
        await trio.sleep(1)
        found = (await looked.look("job-1"))[0]
        assert [agent.agent_id for agent in found.agents] == ["gate", "worker"]


async def test_what_cannot_be_applied_is_begun_again(tmp_path, autojump_clock, monkeypatch):
    async with a_backend(tmp_path) as (backend, rig):
        await submitted(rig, gated())
        await trio.sleep(1)
        looked = Views(backend.store)

        def broken(job, state, fact, seq):
            raise ZeroDivisionError

        monkeypatch.setattr(views, "apply", broken)
        with pytest.raises(ZeroDivisionError):
            await looked.look("job-1")
        monkeypatch.setattr(views, "apply", engine.apply)
        assert (await looked.look("job-1"))[0] == await job_view(backend.store, "job-1")


async def test_few_states_are_kept_and_none_for_long(tmp_path, autojump_clock, applied):
    async with a_backend(tmp_path) as (backend, rig):
        for n in range(KEPT + 1):
            await submitted(rig, pipeline(), f"job-{n}")
        await trio.sleep(1)
        looked = Views(backend.store)
        for n in range(KEPT + 1):
            await looked.look(f"job-{n}")
        before = len(applied)
        await looked.look(f"job-{KEPT}")
        assert len(applied) == before
        await looked.look("job-0")
        assert len(applied) > before
        await trio.sleep(IDLE_S + 1)
        before = len(applied)
        await looked.look("job-0")
        assert len(applied) > before
