"""Definitions: bundles that are kept to be started again, each with its own id and its runs.

Key `definition/<id>`; the bundle lies packed among the blobs.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
import trio
from msgspec import Struct, field, structs

from mnedge.bundle.load import Bundle, open_bundle, require
from mnedge.bundle.pack import packed
from mnedge.bundle.problem import invalid
from mnedge.config.settings import Config
from mnedge.errors import ConflictError, CorruptError, NotFoundError, UsageError
from mnedge.execution.staging import remove_workspace
from mnedge.model.manifest import JobSpec
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL
from mnedge.ports import Clock, Connector, Runner
from mnedge.runtime import jobs
from mnedge.runtime.input_reading import NO_CONNECTORS
from mnedge.runtime.received import checked_id, received
from mnedge.runtime.shared_folders import data_folder, shared_storage
from mnedge.runtime.submission import UNKNOWN, Origin, new_job_id, submit
from mnedge.runtime.workplace import unpacked

DEFINITIONS = "definition/"


class Definition(Struct, kw_only=True, omit_defaults=True, frozen=True):
    """What can be started again. Key `definition/<definition_id>`."""

    definition_id: str
    graph_id: str
    job_name: str
    blueprint_id: str
    bundle_digest: str
    created_at: float
    updated_at: float
    status: str = "active"
    """`active` or `archived`."""
    version: int = 1
    """Grows with each change of the bundle or its configuration."""
    configuration: dict[str, Any] = field(default_factory=dict)
    """A layer over the bundle's own config."""
    storage: dict[str, Any] = field(default_factory=dict)
    """What the client keeps with it, its submission folder if it says nothing else; only the
    client reads it."""
    data_generation: int = 1
    """Grows each time the data that its runs share is removed."""
    created_by: str = ""
    archived_at: float | None = None


class DefinitionNotFoundError(NotFoundError):
    """No definition has this id."""

    code = "definition.not_found"


class DefinitionExistsError(ConflictError):
    """A definition of that id is kept already."""

    code = "definition.exists"


class DefinitionArchivedError(ConflictError):
    """An archived definition is not started, nor changed."""

    code = "definition.archived"


class DefinitionBusyError(ConflictError):
    """Runs of the definition are not over."""

    code = "definition.busy"


class DefinitionUnconfirmedError(UsageError):
    """A definition is deleted only by a request that says so twice."""

    code = "definition.unconfirmed"


class DefinitionUnreadableError(CorruptError):
    """The row of a definition is no record of this version's."""

    code = "definition.unreadable"


class Definitions:
    """The definitions of a node. Recording who changed what is the caller's."""

    def __init__(
        self,
        stores: jobs.Stores,
        settings: Callable[[], Config],
        *,
        runners: Mapping[str, Runner],
        now: Clock,
        connectors: Mapping[str, Connector] = NO_CONNECTORS,
    ) -> None:
        self._stores = stores
        self._connectors = connectors
        self._settings = settings
        self._runners = runners
        self._now = now
        self._starting: Counter[str] = Counter()
        self._closed: set[str] = set()

    async def create(
        self,
        manifest: dict[str, Any],
        payloads: Mapping[str, bytes],
        *,
        definition_id: str | None = None,
        configuration: Mapping[str, Any] | None = None,
        storage: Mapping[str, Any] | None = None,
        by: str = "",
    ) -> Definition:
        """Keep what a program sent, to be started later; nothing runs yet.

        Raises: IdInvalidError, DefinitionExistsError, BundleInvalidError.
        """
        checked_id(definition_id)
        config = self._settings()
        async with received(config, manifest, payloads, overrides=configuration) as bundle:
            digest, spec = await self._kept(bundle)
            at = self._now()
            made = Definition(
                definition_id=definition_id or self._new_id(spec.graph_id),
                graph_id=spec.graph_id,
                job_name=spec.job_name,
                blueprint_id=bundle.blueprint_id,
                bundle_digest=digest,
                created_at=at,
                updated_at=at,
                configuration=dict(configuration or {}),
                storage=dict(storage or shared_storage(manifest)),
                created_by=by,
            )
        try:
            await self._stores.table.put(_key(made.definition_id), _encode(made), if_version=0)
        except ConflictError:
            raise DefinitionExistsError(
                f"a definition is called {made.definition_id!r} already",
                hint="choose another id, or update that one",
                details={"definition_id": made.definition_id},
            ) from None
        return made

    async def get(self, definition_id: str) -> Definition:
        """Return the definition.

        Raises: DefinitionNotFoundError, DefinitionUnreadableError.
        """
        return (await self._read(definition_id))[0]

    async def every(self, *, include_archived: bool = False) -> list[Definition]:
        """Return all, the one that was changed last first; one that cannot be read is left out."""
        found: list[Definition] = []
        after = ""
        while rows := await self._stores.table.scan(DEFINITIONS, after=after):
            after = rows[-1].key
            for row in rows:
                try:
                    found.append(_decode(row.value))
                except msgspec.DecodeError:
                    continue
        shown = [one for one in found if include_archived or one.status == "active"]
        return sorted(shown, key=lambda one: (one.updated_at, one.definition_id), reverse=True)

    async def update(
        self,
        definition_id: str,
        *,
        manifest: dict[str, Any] | None = None,
        payloads: Mapping[str, bytes] | None = None,
        configuration: Mapping[str, Any] | None = None,
        storage: Mapping[str, Any] | None = None,
    ) -> Definition:
        """Replace what is given; later runs begin from it, those that run go on as they were.

        Raises: DefinitionNotFoundError, DefinitionArchivedError, BundleInvalidError.
        """
        before = await self.get(definition_id)
        self._refuse_archived(before)
        changes: dict[str, Any] = {}
        if configuration is not None:
            changes["configuration"] = dict(configuration)
        if storage is not None:
            changes["storage"] = dict(storage)
        if manifest is not None:
            layer = changes.get("configuration", before.configuration)
            async with received(
                self._settings(), manifest, payloads or {}, overrides=layer
            ) as bundle:
                digest, spec = await self._kept(bundle)
                changes |= {
                    "bundle_digest": digest,
                    "storage": dict(storage or shared_storage(manifest)),
                    "graph_id": spec.graph_id,
                    "job_name": spec.job_name,
                    "blueprint_id": bundle.blueprint_id,
                }
        return await self._changed(definition_id, version=before.version + 1, **changes)

    async def archive(self, definition_id: str) -> Definition:
        """Take no more runs of it; it stays, with its runs. An archived one stays as it is."""
        before = await self.get(definition_id)
        if before.status == "archived":
            return before
        return await self._changed(definition_id, status="archived", archived_at=self._now())

    async def reset_data(self, definition_id: str) -> Definition:
        """Remove what its runs share; the definition and its runs stay.

        Raises: DefinitionNotFoundError; DefinitionBusyError while a run is not over.
        """
        before = await self.get(definition_id)
        with self._without_starts(definition_id):
            await self._refuse_busy(before)
            await self._without_data(definition_id)
            return await self._changed(definition_id, data_generation=before.data_generation + 1)

    async def delete(self, definition_id: str, *, confirmed: bool) -> Definition:
        """Forget the definition and what its runs shared; the runs stay, as history.

        Raises: DefinitionUnconfirmedError, DefinitionNotFoundError; DefinitionBusyError while a
        run is not over.
        """
        before = await self.get(definition_id)
        if not confirmed:
            raise DefinitionUnconfirmedError(
                f"deleting definition {definition_id!r} needs a confirmation",
                hint="send `confirmed: true`",
            )
        with self._without_starts(definition_id):
            await self._refuse_busy(before)
            await self._stores.table.delete(_key(definition_id))
            await self._without_data(definition_id)
        return before

    async def start_run(
        self,
        definition_id: str,
        *,
        run_id: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        own: Callable[[str], Awaitable[None]] | None = None,
        origin: Origin = UNKNOWN,
    ) -> JobRecord:
        """Submit a new job of the definition; return at once, its id is the run id.

        Raises: DefinitionNotFoundError, DefinitionArchivedError, IdInvalidError, JobExistsError;
        whatever `submit` raises.
        """
        checked_id(run_id)
        with self._start(definition_id):
            return await self._started(definition_id, run_id, inputs, own, origin)

    async def _started(
        self,
        definition_id: str,
        run_id: str | None,
        inputs: Mapping[str, Any] | None,
        own: Callable[[str], Awaitable[None]] | None,
        origin: Origin,
    ) -> JobRecord:
        one = await self.get(definition_id)
        self._refuse_archived(one)
        config = self._settings()
        root = await unpacked(
            one.bundle_digest, self._stores.blobs, self._stores.conditions, config
        )
        given = None if not inputs or dict(inputs) == one.configuration else inputs

        def opened() -> Bundle:
            return open_bundle(
                root,
                overrides=one.configuration,
                inputs=given,
                environ=config.environ,
                expected_id=one.blueprint_id,
                run_code=False,
            )

        with await trio.to_thread.run_sync(opened) as bundle:
            return await submit(
                self._stores,
                config,
                bundle,
                runners=self._runners,
                now=self._now,
                job_id=run_id or new_job_id(one.graph_id, self._now),
                own=own,
                source=definition_id,
                origin=structs.replace(origin, definition_id=definition_id),
                connectors=self._connectors,
            )

    async def runs_of(self, definition_id: str) -> list[JobRecord]:
        """Return its jobs, most recently updated first.

        Raises: DefinitionNotFoundError.
        """
        await self.get(definition_id)
        return await self._runs_of(definition_id)

    async def _runs_of(self, definition_id: str) -> list[JobRecord]:
        every = await jobs.list_jobs(self._stores, limit=None)
        return [record for record in every if record.definition_id == definition_id]

    async def _kept(self, bundle: Bundle) -> tuple[str, JobSpec]:
        """Keep a bundle among the blobs.

        Raises: BundleInvalidError if it has errors.
        """
        spec = require(bundle).spec
        if spec is None:
            raise invalid(bundle.label, bundle.problems)
        content = await trio.to_thread.run_sync(packed, bundle.root)
        return await self._stores.blobs.put(content), spec

    async def _read(self, definition_id: str) -> tuple[Definition, int]:
        row = await self._stores.table.get(_key(definition_id))
        if row is None:
            raise DefinitionNotFoundError(
                f"no definition is called {definition_id!r}",
                hint="mnedge definition list shows them; a definition is named by its whole id",
            )
        try:
            return _decode(row.value), row.version
        except msgspec.DecodeError as error:
            raise DefinitionUnreadableError(
                f"the record of definition {definition_id!r} cannot be read: {error}",
                hint="a newer mnedge may have written it; else restore the data directory",
            ) from error

    async def _changed(self, definition_id: str, **changes: Any) -> Definition:
        """Write the definition with these members; whoever wrote meanwhile keeps the others."""
        while True:
            before, version = await self._read(definition_id)
            after = structs.replace(before, updated_at=self._now(), **changes)
            try:
                await self._stores.table.put(
                    _key(definition_id), _encode(after), if_version=version
                )
            except ConflictError:
                continue
            return after

    def _refuse_archived(self, one: Definition) -> None:
        if one.status == "archived":
            raise DefinitionArchivedError(
                f"definition {one.definition_id!r} is archived",
                hint="create another definition of the same bundle",
            )

    @contextmanager
    def _start(self, definition_id: str) -> Iterator[None]:
        """Have nobody remove it, or its data, while a run of it begins."""
        if definition_id in self._closed:
            raise DefinitionBusyError(
                f"definition {definition_id!r} is being removed, or its data", hint="ask again"
            )
        self._starting[definition_id] += 1
        try:
            yield
        finally:
            self._starting[definition_id] -= 1
            if not self._starting[definition_id]:
                del self._starting[definition_id]

    @contextmanager
    def _without_starts(self, definition_id: str) -> Iterator[None]:
        """Have no run of it begin while the block is open."""
        if definition_id in self._closed or definition_id in self._starting:
            raise DefinitionBusyError(
                f"definition {definition_id!r} is being started or removed", hint="ask again"
            )
        self._closed.add(definition_id)
        try:
            yield
        finally:
            self._closed.discard(definition_id)

    async def _refuse_busy(self, one: Definition) -> None:
        live = [
            record.job_id
            for record in await self._runs_of(one.definition_id)
            if record.status not in TERMINAL
        ]
        if live:
            raise DefinitionBusyError(
                f"definition {one.definition_id!r} has runs that are not over: {', '.join(live)}",
                hint="cancel them, or wait for their end",
                details={"runs": live},
            )

    async def _without_data(self, definition_id: str) -> None:
        place = str(data_folder(self._settings(), definition_id))
        await trio.to_thread.run_sync(remove_workspace, place)

    def _new_id(self, graph_id: str) -> str:
        return new_job_id(graph_id, self._now)


def _key(definition_id: str) -> str:
    return DEFINITIONS + definition_id


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Definition).decode
