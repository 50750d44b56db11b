"""What the executor is asked to do, and what it must know of the job."""

from collections.abc import Callable, Mapping

from msgspec import Struct, field, structs

from mnedge.bundle.config import filled
from mnedge.model.body import json_bytes
from mnedge.model.commands import RunAttempt
from mnedge.model.manifest import Agent, JobSpec


class JobContext(Struct, frozen=True, kw_only=True):
    """A job as its attempts see it; made once when the job is opened (`job_context`)."""

    job_id: str
    spec: JobSpec
    run_dir: str
    runs_root: str
    clock: Callable[[], float]
    """Job time now, for notes."""
    bundle_root: str | None = None
    """The unpacked bundle: `payloads/` is below it. None for a manifest without a bundle."""
    body_paths: tuple[str, ...] = ()
    """What the compiled job can ask for inside a body."""
    agents: dict[str, Agent] = field(default_factory=dict)
    config_json: str = "{}"
    trace_parent: str = ""
    trace_state: str = ""
    """W3C trace context of the request that made the job; empty: it has a trace of its own."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """What workers are told besides, about the folders of this job."""
    told: set[str] = field(default_factory=set)
    """Agents whose stand-in runner was announced: once is enough."""

    @property
    def payloads(self) -> str | None:
        """The folder that uploads and modules come from."""
        return None if self.bundle_root is None else f"{self.bundle_root}/payloads"


class AttemptOrder(Struct, frozen=True, kw_only=True):
    """One launch of an attempt of a job."""

    command: RunAttempt
    job: JobContext


def job_context(
    spec: JobSpec,
    job_id: str,
    *,
    run_dir: str,
    runs_root: str,
    clock: Callable[[], float],
    bundle_root: str | None = None,
    body_paths: tuple[str, ...] = (),
    environ: Mapping[str, str] | None = None,
    trace_parent: str = "",
    trace_state: str = "",
    variables: Mapping[str, str] | None = None,
) -> JobContext:
    """Return the context of a job, what is the same for all its attempts worked out.

    `environ` fills `${env.NAME}` in commands and environments: only here, on the node that runs
    them, so that no secret is stored with the job.
    """
    return JobContext(
        job_id=job_id,
        spec=spec,
        run_dir=run_dir,
        runs_root=runs_root,
        clock=clock,
        bundle_root=bundle_root,
        body_paths=body_paths,
        agents={agent.agent_id: _with(environ or {}, agent) for agent in spec.agents},
        config_json=json_bytes(spec.config).decode(),
        trace_parent=trace_parent,
        trace_state=trace_state,
        variables=variables or {},
    )


def _with(environ: Mapping[str, str], agent: Agent) -> Agent:
    changed = {
        name: filled(agent.config[name], {}, environ)
        for name in ("command", "environment")
        if name in agent.config
    }
    return structs.replace(agent, config={**agent.config, **changed})
