import tempfile

import msgspec
import pytest

from mnedge.bundle.problem import BundleInvalidError
from mnedge.errors import NotFoundError
from mnedge.model.states import JobStatus, Verb
from mnedge.runtime import jobs
from mnedge.runtime.definitions import (
    DEFINITIONS,
    DefinitionArchivedError,
    DefinitionBusyError,
    DefinitionExistsError,
    DefinitionNotFoundError,
    Definitions,
    DefinitionUnconfirmedError,
    DefinitionUnreadableError,
)
from mnedge.runtime.jobs import JobExistsError
from mnedge.runtime.received import IdInvalidError
from mnedge.runtime.shared_folders import data_folder
from mnedge.runtime.submission import Origin
from tests.runtime.rig import EPOCH, a_rig
from tests.runtime.test_received import config_of, manifest_of
from tests.runtime.test_submission import RUNNERS

ID = "job_mrt-1"


class Ticking:
    """A date that moves on each time somebody asks."""

    def __init__(self):
        self.at = EPOCH

    def __call__(self):
        self.at += 1
        return self.at


def definitions_of(rig):
    return Definitions(rig.store, lambda: rig.config, runners=RUNNERS, now=Ticking())


@pytest.fixture
def kept(tmp_path):
    """Return how to have a rig with one definition."""

    class Kept:
        def __init__(self):
            self.rig = a_rig(tmp_path)

        async def __aenter__(self):
            rig = await self.rig.__aenter__()
            definitions = definitions_of(rig)
            await definitions.create(
                manifest_of(), {"a.txt": b"one"}, definition_id=ID, configuration=config_of()
            )
            return rig, definitions

        async def __aexit__(self, *error):
            return await self.rig.__aexit__(*error)

    return Kept


async def test_a_definition_is_kept_whole_and_nothing_runs(tmp_path):
    async with a_rig(tmp_path) as rig:
        definitions = definitions_of(rig)
        made = await definitions.create(
            manifest_of(),
            {"a.txt": b"one"},
            definition_id=ID,
            configuration=config_of(),
            storage={"data": 1},
            by="token:ci",
        )
        assert (made.definition_id, made.status, made.version) == (ID, "active", 1)
        assert made.graph_id == "message_routing_trace_v1"
        assert (made.storage, made.created_by) == ({"data": 1}, "token:ci")
        assert await definitions.get(ID) == made
        assert await rig.store.blobs.has(made.bundle_digest)
        assert await jobs.list_jobs(rig.store) == []
        assert await definitions.runs_of(ID) == []


async def test_an_id_is_drawn_if_none_is_given_and_one_that_is_taken_is_refused(kept):
    async with kept() as (_, definitions):
        drawn = await definitions.create(manifest_of(), {})
        assert drawn.definition_id.startswith("message_routing_trace_v1-")
        with pytest.raises(DefinitionExistsError):
            await definitions.create(manifest_of(), {}, definition_id=ID)
        with pytest.raises(IdInvalidError):
            await definitions.create(manifest_of(), {}, definition_id="../x")


async def test_what_is_no_valid_bundle_becomes_no_definition(tmp_path):
    async with a_rig(tmp_path) as rig:
        definitions = definitions_of(rig)
        with pytest.raises(BundleInvalidError):
            await definitions.create({"nodes": []}, {})
        with pytest.raises(BundleInvalidError):
            await definitions.create(manifest_of(), {"../x": b""})
        assert await definitions.every(include_archived=True) == []


async def test_each_start_is_a_job_of_its_own_with_the_id_of_the_run(kept):
    async with kept() as (rig, definitions):
        one = await definitions.start_run(ID, run_id="run-1", origin=Origin(submitted_by="me"))
        two = await definitions.start_run(ID)
        assert one.job_id == "run-1"
        assert (one.definition_id, one.submitted_by, one.bundle_source) == (ID, "me", ID)
        assert one.bundle_digest == two.bundle_digest
        assert [record.job_id for record in await definitions.runs_of(ID)] == [
            two.job_id,
            "run-1",
        ]
        spec = await jobs.read_spec(rig.store, "run-1")
        assert spec.config["identity"]["run_id"] == "run-1"
        with pytest.raises(JobExistsError):
            await definitions.start_run(ID, run_id="run-1")


async def test_inputs_are_given_to_the_run_but_the_configuration_said_again_is_none(kept):
    async with kept() as (rig, definitions):
        await definitions.start_run(ID, run_id="run-1", inputs={"request": "mine"})
        await definitions.start_run(ID, run_id="run-2", inputs=config_of())
        await definitions.start_run(ID, run_id="run-3", inputs={})
        given = [(await jobs.read_spec(rig.store, f"run-{n}")).inputs for n in (1, 2, 3)]
        seeds = (await jobs.read_spec(rig.store, "run-1")).seeds
        assert [seed["request"] for seed in seeds["intake"]] == ["mine"]  # what is bound follows
        configured = config_of()["inputs"]["payload"]
        assert given == [{"request": "mine"}, configured, configured]


async def test_an_update_counts_for_later_runs(kept):
    async with kept() as (rig, definitions):
        before = await definitions.start_run(ID, run_id="run-1")
        config = config_of()
        config["inputs"]["payload"]["request"] = "after"
        changed = await definitions.update(
            ID, manifest=manifest_of(), payloads={"a.txt": b"two"}, configuration=config
        )
        assert changed.version == 2
        assert changed.created_at < changed.updated_at
        after = await definitions.start_run(ID, run_id="run-2")
        assert before.bundle_digest != after.bundle_digest
        assert (await jobs.read_spec(rig.store, "run-2")).inputs["request"] == "after"
        assert (await definitions.update(ID, storage={"n": 1})).storage == {"n": 1}
        prepared = manifest_of()
        prepared["metadata"]["mn_storage"] = {"submission_id": "s"}
        changed = await definitions.update(ID, manifest=prepared)
        assert changed.storage == {"submission_id": "s"}
        with pytest.raises(BundleInvalidError):
            await definitions.update(ID, manifest={})
        assert (await definitions.get(ID)).version == 4


async def test_an_archived_one_is_kept_but_not_started_nor_changed(kept):
    async with kept() as (_, definitions):
        archived = await definitions.archive(ID)
        assert archived.status == "archived"
        assert archived.archived_at is not None
        assert await definitions.archive(ID) == archived
        assert await definitions.every() == []
        assert await definitions.every(include_archived=True) == [archived]
        with pytest.raises(DefinitionArchivedError):
            await definitions.start_run(ID)
        with pytest.raises(DefinitionArchivedError):
            await definitions.update(ID, storage={})


async def test_it_is_deleted_only_when_confirmed_and_no_run_is_left(kept):
    async with kept() as (rig, definitions), rig.host() as host:
        await definitions.start_run(ID, run_id="run-1")
        with pytest.raises(DefinitionUnconfirmedError):
            await definitions.delete(ID, confirmed=False)
        with pytest.raises(DefinitionBusyError, match="run-1") as caught:
            await definitions.delete(ID, confirmed=True)
        assert caught.value.details["runs"] == ["run-1"]
        await host.start_job("run-1")
        assert (await host.finished("run-1")).status is JobStatus.COMPLETED
        place = data_folder(rig.config, ID)
        assert place.is_dir()
        await definitions.delete(ID, confirmed=True)
        assert not place.exists()
        with pytest.raises(DefinitionNotFoundError):
            await definitions.get(ID)
        assert (await jobs.read_job(rig.store, "run-1")).definition_id == ID


async def test_it_is_not_removed_while_a_run_begins_nor_started_while_it_is_removed(kept):
    async with kept() as (_, definitions):

        async def own(job_id):
            for removing in (definitions.delete(ID, confirmed=True), definitions.reset_data(ID)):
                with pytest.raises(DefinitionBusyError):
                    await removing

        await definitions.start_run(ID, run_id="run-1", own=own)

        async def meanwhile(one):
            for other in (definitions.start_run(ID), definitions.delete(ID, confirmed=True)):
                with pytest.raises(DefinitionBusyError):
                    await other

        definitions._refuse_busy = meanwhile
        await definitions.delete(ID, confirmed=True)
        with pytest.raises(DefinitionNotFoundError):
            await definitions.start_run(ID)


async def test_its_data_is_removed_but_not_under_a_run_that_uses_it(kept):
    async with kept() as (rig, definitions), rig.host() as host:
        await definitions.start_run(ID, run_id="run-1")
        with pytest.raises(DefinitionBusyError):
            await definitions.reset_data(ID)
        await host.start_job("run-1")
        await host.finished("run-1")
        place = data_folder(rig.config, ID)
        (place / "learnt.json").write_text("{}")
        assert (await definitions.reset_data(ID)).data_generation == 2
        assert not place.exists()


@pytest.mark.parametrize("what", ["get", "archive", "reset_data", "start_run", "runs_of", "update"])
async def test_one_that_is_not_there_is_told(tmp_path, what):
    async with a_rig(tmp_path) as rig:
        with pytest.raises(DefinitionNotFoundError) as caught:
            await getattr(definitions_of(rig), what)("nobody")
        assert isinstance(caught.value, NotFoundError)


async def test_one_that_cannot_be_read_hides_none_of_the_others(kept):
    async with kept() as (rig, definitions):
        await rig.store.table.put(DEFINITIONS + "odd", b"\xc1")
        assert [one.definition_id for one in await definitions.every()] == [ID]
        with pytest.raises(DefinitionUnreadableError):
            await definitions.get("odd")


async def test_a_cancelled_run_no_longer_holds_it(kept):
    async with kept() as (rig, definitions), rig.host() as host:
        await definitions.start_run(ID, run_id="run-1")
        await jobs.ask(rig.store, "run-1", Verb.CANCEL, now=rig.now)
        await host.start_job("run-1")
        await host.finished("run-1")
        assert (await definitions.delete(ID, confirmed=True)).definition_id == ID


async def test_nothing_is_left_in_the_temporary_folder(kept, tmp_path, monkeypatch):
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    async with kept() as (_, definitions):
        await definitions.start_run(ID)
        await definitions.update(ID, manifest=manifest_of(), payloads={})
    assert list(place.glob("mnedge-received*")) == []


async def test_a_definition_is_written_so_that_a_later_version_reads_it(kept):
    async with kept() as (rig, definitions):
        row = await rig.store.table.get(DEFINITIONS + ID)
        told = msgspec.msgpack.decode(row.value)
        assert told["definition_id"] == ID
        assert "status" not in told  # what is as usual is left out
        del told["configuration"]
        await rig.store.table.put(DEFINITIONS + ID, msgspec.msgpack.encode({**told, "new": 1}))
        assert (await definitions.get(ID)).configuration == {}
