"""From a checked bundle to a pending job that any owner can carry."""

from collections.abc import Awaitable, Callable, Mapping
from random import SystemRandom
from tempfile import TemporaryFile
from typing import Any

import msgspec
import trio
from msgspec import Struct

from mnedge.bundle.context_engine import check_context_engine
from mnedge.bundle.load import Bundle, require, runnable_problems
from mnedge.bundle.pack import packed
from mnedge.bundle.problem import Severity, invalid
from mnedge.config.settings import Config
from mnedge.engine.compile import CURRENT_REVISION, compile_job
from mnedge.execution.large import Offload
from mnedge.model.ids import job_id_for
from mnedge.model.manifest import JobSpec
from mnedge.model.message import is_body_alone
from mnedge.model.records import JobRecord
from mnedge.model.states import JobStatus
from mnedge.ports import Clock, Connector, Runner
from mnedge.runtime.input_reading import NO_CONNECTORS, read_inputs
from mnedge.runtime.jobs import Stores, write_new_job
from mnedge.store.trial import withheld

_random = SystemRandom()


class Origin(Struct, frozen=True, kw_only=True):
    """Where a job comes from; members as in `JobRecord`."""

    trace_parent: str = ""
    trace_state: str = ""
    submitted_by: str = ""
    definition_id: str = ""


UNKNOWN = Origin()


async def submit(
    stores: Stores,
    config: Config,
    bundle: Bundle,
    *,
    runners: Mapping[str, Runner],
    now: Clock,
    job_id: str | None = None,
    own: Callable[[str], Awaitable[None]] | None = None,
    carried: Mapping[str, Any] | None = None,
    source: str | None = None,
    origin: Origin = UNKNOWN,
    connectors: Mapping[str, Connector] = NO_CONNECTORS,
) -> JobRecord:
    """Keep the bundle and a pending job, if it can run here.

    `connectors`: how its input skills are read. `carried`: steps that it takes over from an earlier
    job. `own` (`Host.reserve`) is asked to own the job before anybody can see it. `source`: where
    people say the bundle came from.
    Raises: BundleInvalidError if the bundle has errors, or needs what this node lacks;
    ContextEngineUnavailableError; JobExistsError; UnavailableError if the disk is full.
    """
    await _admit(stores, config, bundle, runners)
    live_inputs = await read_inputs(bundle, connectors, config)
    job_id = job_id or new_job_id(
        bundle.blueprint_id if bundle.spec is None else bundle.spec.graph_id, now
    )
    if own is not None:
        await own(job_id)
    spec = msgspec.structs.replace(
        bundle.spec_for(job_id, str(config.runs_root)),
        live_inputs=live_inputs,
        input_sources=bundle.input_sources,
    )
    digest = await stores.blobs.put(await trio.to_thread.run_sync(packed, bundle.root))
    return await submit_spec(
        stores,
        config,
        spec,
        job_id=job_id,
        now=now,
        bundle_digest=digest,
        bundle_source=source or bundle.label,
        config_sources=bundle.config_sources,
        carried=carried,
        origin=origin,
    )


async def _admit(
    stores: Stores, config: Config, bundle: Bundle, runners: Mapping[str, Runner]
) -> None:
    """Refuse what cannot run here: now, not when somebody waits for it."""
    require(bundle)
    problems = runnable_problems(bundle, runners, openshell_fallback=config.openshell_fallback)
    if any(problem.severity is Severity.ERROR for problem in problems):
        raise invalid(bundle.label, problems)
    if bundle.spec is not None:
        await check_context_engine(bundle.spec, config.environ)
    try:
        config.runs_root.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=config.runs_root):
            pass
    except OSError as error:
        raise stores.conditions.failed("runs", str(config.runs_root), error) from error


def new_job_id(graph_id: str, now: Clock) -> str:
    """Return an id that nobody else draws."""
    return job_id_for(graph_id, int(now() * 1000), f"{_random.getrandbits(48):012x}")


async def submit_spec(
    stores: Stores,
    config: Config,
    spec: JobSpec,
    *,
    job_id: str,
    now: Clock,
    bundle_digest: str | None = None,
    bundle_source: str = "",
    config_sources: list[str] | None = None,
    carried: Mapping[str, Any] | None = None,
    origin: Origin = UNKNOWN,
) -> JobRecord:
    """Keep a pending job, whole or not at all.

    Raises: JobExistsError.
    """
    revision = withheld(CURRENT_REVISION, config.data_dir)
    offload = Offload(stores.blobs, compile_job(spec, revision=revision).body_paths)
    seeds = {
        agent_id: [await _light(offload, seed) for seed in given]
        for agent_id, given in spec.seeds.items()
    }
    at = now()
    record = JobRecord(
        job_id=job_id,
        graph_id=spec.graph_id,
        job_name=spec.job_name,
        blueprint_id=spec.blueprint_id,
        status=JobStatus.PENDING,
        submitted_at=at,
        updated_at=at,
        job_type=spec.job_type,
        recovery_mode=spec.recovery_mode,
        engine_revision=revision,
        bundle_digest=bundle_digest,
        bundle_source=bundle_source,
        config_sources=config_sources or [],
        run_folder=str(config.runs_root / job_id),
        agents=len(spec.agents),
        trace_parent=origin.trace_parent,
        trace_state=origin.trace_state,
        submitted_by=origin.submitted_by,
        definition_id=origin.definition_id,
    )
    light = msgspec.structs.replace(spec, seeds=seeds)
    await write_new_job(stores, record, light, carried=carried)
    return record


async def _light(offload: Offload, seed: Any) -> Any:
    """Return the seed with what is large in it as a reference; its envelope stays readable."""
    return await (offload.value if is_body_alone(seed) else offload.members)(seed)
