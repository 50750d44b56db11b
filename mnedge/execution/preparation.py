"""What one run of an attempt is made of: variables, documents, command. Pure.

Source: worker contract 3.3, 3.5, 3.6.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from mnedge.config.settings import Config
from mnedge.execution.beacons import BeaconSettings, Identity, beacon_variables
from mnedge.execution.environment import (
    VARIABLE_LIMIT_BYTES,
    both_prefixes,
    text_of,
    whole,
    worker_command,
    worker_environment,
    workflow_variables,
)
from mnedge.execution.order import AttemptOrder, JobContext
from mnedge.execution.staging import BODY, CONTEXT, INPUT, MESSAGE, Documents, pretty
from mnedge.model.body import body_bytes, json_bytes
from mnedge.model.commands import RunAttempt
from mnedge.model.manifest import Agent
from mnedge.model.message import iso_ms
from mnedge.model.tracing import launch_context

CONFIG_FILE = "mirror_neuron_config.json"


class Place(Struct, frozen=True):
    """Where a run happens."""

    workspace: str
    workdir: str

    def file(self, name: str) -> str:
        """Return the absolute path of a file that the runtime writes."""
        return f"{self.workspace}/{name}"


def identity_of(order: AttemptOrder, agent: Agent, attempt: int) -> Identity:
    """Return whose beacons a run's are."""
    declared = agent.config.get("environment")
    static = declared.get("MN_WORKFLOW_STEP_ID") if isinstance(declared, Mapping) else None
    workflow = order.command.workflow
    step = workflow.get("step_id") or static or agent.agent_id
    return Identity(
        job_id=order.job.job_id,
        agent_id=agent.agent_id,
        step=text_of(step),
        attempt=whole(workflow.get("attempt"), attempt),
    )


def workflow_of(command: RunAttempt) -> dict[str, Any]:
    """Return what a worker is told of its step: moments as dates, nothing that has no value."""
    return {
        member: iso_ms(value) if member in _MOMENTS and isinstance(value, float | int) else value
        for member, value in command.workflow.items()
        if value is not None
    }


_MOMENTS = frozenset({"deadline_at", "heartbeat_deadline_at"})


def documents(
    order: AttemptOrder,
    agent: Agent,
    message: dict[str, Any],
    agent_state: Any,
    workflow: dict[str, Any],
    date: float,
) -> Documents:
    """Return the files of a workspace; message, state and `workflow` are loaded and as shown.

    Raises: EncodingUnsupportedError.
    """
    envelope = message["envelope"]
    content_type, encoding = envelope["content_type"], envelope["content_encoding"]
    context = {
        "job_id": order.job.job_id,
        "agent_id": agent.agent_id,
        "agent_type": agent.kind.value,
        "template_type": agent.template,
        "agent_state": {} if agent_state is None else agent_state,
        "workflow": workflow,
        "attempt_id": order.command.attempt_id,
        "launch": order.command.launch,
        "idempotency_key": order.command.idempotency_key,
        "timestamp": iso_ms(date),
    }
    meta = {"content_type": content_type, "content_encoding": encoding}
    return Documents(
        input=pretty(json_bytes(message["body"])),
        message=pretty(json_bytes(message)),
        body=body_bytes(content_type, encoding, message["body"]),
        context=pretty(json_bytes(context)),
        body_meta=pretty(json_bytes(meta)),
    )


def environment(
    order: AttemptOrder,
    agent: Agent,
    place: Place,
    config: Config,
    host: Mapping[str, str],
    beacons: BeaconSettings,
    identity: Identity,
    python: Mapping[str, str],
    devices: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return everything the worker finds in its environment.

    `devices`: what it is told of those it was lent.
    """
    job, command = order.job, order.command
    known = {"MN_JOB_ID": job.job_id, "MN_AGENT_ID": agent.agent_id}
    workflow = {"idempotency_key": command.idempotency_key or None, **workflow_of(command)}
    traced = trace_variables(job, command.attempt_id, command.launch)
    identities = {**known, **workflow_variables(workflow), **traced}
    runtime = {
        "MN_INPUT_FILE": place.file(INPUT),
        "MN_CONTEXT_FILE": place.file(CONTEXT),
        "MN_MESSAGE_FILE": place.file(MESSAGE),
        "MN_BODY_FILE": place.file(BODY),
        "MN_BODY_CONTENT_TYPE": command.message.content_type,
        "MN_BODY_CONTENT_ENCODING": command.message.content_encoding,
        "MN_AGENT_TYPE": agent.kind.value,
        "MN_AGENT_TEMPLATE": agent.template,
        "MN_WORKDIR": place.workdir,
        "MN_ATTEMPT_ID": command.attempt_id,
        "MN_IDEMPOTENCY_KEY": command.idempotency_key,
        **submission(job, config, place.file(CONFIG_FILE)),
        **beacon_variables(beacons, identity),
        **(devices or {}),
    }
    extra = {name: identities.pop(name) for name in OVERRIDABLE & identities.keys()}
    merged = worker_environment(
        host,
        both_prefixes({**runtime, **extra}),
        agent.config,
        config.environ,
        both_prefixes(identities),
    )
    return {**merged, **python}


OVERRIDABLE = {"MN_WORKFLOW_TEMPLATE_ID", "MN_WORKFLOW_REGION_ID"}
"""Workflow variables that a manifest may set for itself."""


def trace_variables(job: JobContext, work_id: str, launch: int) -> dict[str, str]:
    """Return by which a worker's own spans join the job's trace: its launch is their parent."""
    parent = launch_context(job.job_id, work_id, launch, job.trace_parent)
    told = {"TRACEPARENT": str(parent)}
    return told | {"TRACESTATE": job.trace_state} if job.trace_state else told


def submission(job: JobContext, config: Config, config_file: str | None) -> dict[str, str]:
    """Return what tells a worker about the run as a whole.

    A config that no variable can hold stands in `config_file`, if there is one.
    """
    told = {
        "MN_RUN_ID": job.job_id,
        "MN_RUN_DIR": job.run_dir,
        "MN_RUNS_ROOT": job.runs_root,
        "MN_BLUEPRINT_ID": job.spec.blueprint_id,
        "MN_HOME": str(config.home),
        "MN_ARTIFACTS_JSON": "[]",
        **job.variables,
    }
    if not config_is_large(job):
        told["MN_BLUEPRINT_CONFIG_JSON"] = job.config_json
    elif config_file is not None:
        told["MN_BLUEPRINT_CONFIG_PATH"] = config_file
    if job.bundle_root is not None:
        told["MN_BLUEPRINT_BUNDLE_DIR"] = job.bundle_root
    if job.spec.scenario is not None:
        told["MN_BLUEPRINT_SCENARIO_JSON"] = json_bytes(job.spec.scenario).decode()
    return told


def config_is_large(job: JobContext) -> bool:
    """Tell whether the config has to be a file, because no variable can hold it."""
    return len(job.config_json) > VARIABLE_LIMIT_BYTES


def command(
    order: AttemptOrder, agent: Agent, place: Place, *, double: bool, max_bytes: int
) -> tuple[str, ...] | str:
    """Return what to execute.

    Raises: RefusedError if it is too long.
    """
    words = {
        "input_file": place.file(INPUT),
        "context_file": place.file(CONTEXT),
        "message_file": place.file(MESSAGE),
        "body_file": place.file(BODY),
        "workdir": place.workdir,
        "job_id": order.job.job_id,
        "agent_id": agent.agent_id,
    }
    return worker_command(agent.config, words, double=double, max_bytes=max_bytes)
