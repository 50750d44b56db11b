"""A failed job, gone on with from where it failed: a new job that takes over its finished steps.

Source: bundle format 3.13, checkpoint retry.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import structs

from mnedge.bundle.load import open_bundle
from mnedge.config.settings import Config
from mnedge.engine.compile import CompiledJob, compile_job
from mnedge.engine.ledger.definition import CompiledLedger
from mnedge.engine.ledger.state import LedgerState, StepState
from mnedge.engine.state import JobState
from mnedge.errors import ConflictError
from mnedge.model.message import Message, wire
from mnedge.model.records import JobRecord
from mnedge.model.states import SUCCESSFUL_STEP, JobStatus, StepOutcome, StepStatus
from mnedge.ports import Clock, Connector, Runner
from mnedge.runtime import jobs
from mnedge.runtime.input_reading import NO_CONNECTORS
from mnedge.runtime.submission import new_job_id, submit, submit_spec
from mnedge.runtime.view import committed_state
from mnedge.runtime.workplace import unpacked

IMPOSSIBLE = "trigger rule cannot be satisfied"
_OWN_HEADERS = "mn.workflow."


class RetryImpossibleError(ConflictError):
    """The job has no checkpoint that another one could go on from."""

    code = "job.retry_impossible"


async def retry(
    stores: jobs.Stores,
    config: Config,
    job_id: str,
    *,
    runners: Mapping[str, Runner],
    now: Clock,
    new_id: str | None = None,
    own: Callable[[str], Awaitable[None]] | None = None,
    connectors: Mapping[str, Connector] = NO_CONNECTORS,
) -> tuple[JobRecord, list[str]]:
    """Submit the failed job again as a new one; return it, and the steps that it takes over.

    Same bundle, same config, same inputs. `own` as for `submit`.
    Raises: RetryImpossibleError; whatever `submit` raises.
    """
    record = await jobs.read_job(stores, job_id)
    if record.status is not JobStatus.FAILED:
        raise RetryImpossibleError(
            f"job {job_id} is {record.status}; only a failed job is retried",
            hint=f"mnedge job show {job_id}",
            details={"status": record.status},
        )
    spec = await jobs.read_spec(stores, job_id)
    job = compile_job(spec, revision=record.engine_revision)
    carried = carried_of(job, await committed_state(stores, job, job_id), job_id)
    done = [name for name, kept in carried.items() if "status" in kept]
    if record.bundle_digest is None:
        new = new_id or new_job_id(spec.graph_id, now)
        if own is not None:
            await own(new)
        made = await submit_spec(stores, config, spec, job_id=new, now=now, carried=carried)
        return made, done
    root = await unpacked(record.bundle_digest, stores.blobs, stores.conditions, config)
    with open_bundle(
        root, overrides=spec.config, inputs=spec.inputs, expected_id=spec.blueprint_id
    ) as bundle:
        bundle.input_sources = spec.input_sources
        made = await submit(
            stores,
            config,
            bundle,
            runners=runners,
            now=now,
            job_id=new_id,
            own=own,
            carried=carried,
            source=record.bundle_source,
            connectors=connectors,
        )
    return made, done


def carried_of(job: CompiledJob, state: JobState, job_id: str) -> dict[str, Any]:
    """Return what a new job takes over, as `Submitted.carried`.

    Successful steps stay done, but those that were skipped because they could not run; the others
    get what they were working on, or what waited for them, once more. What made steps while the
    job ran (a scatter, a patch) is done again, and so is all that follows from it.
    Raises: RetryImpossibleError.
    """
    compiled, ledger = job.ledger, state.ledger
    if compiled is None or ledger is None:
        raise RetryImpossibleError(
            f"job {job_id} has no steps to go on from",
            hint="mnedge blueprint run starts it from the beginning",
        )
    failed = [
        ledger.steps[number].step_id
        for number in ledger.child_runs
        if ledger.steps[number].status is StepStatus.FAILED
    ]
    if failed:
        raise RetryImpossibleError(
            f"a child workflow of job {job_id} failed, in step {', '.join(failed)}",
            hint="mnedge blueprint run starts it from the beginning",
            details={"steps": failed},
        )
    fixed = [step for step in ledger.steps.values() if step.origin is None]
    again = _again(compiled, ledger)
    return {
        step.step_id: kept
        for step in fixed
        if (kept := _kept(step, job_id) if step.step_id not in again else _key_of(step))
    }


def _again(compiled: CompiledLedger, ledger: LedgerState) -> set[str]:
    """Return the steps whose success counts for nothing: what made steps, and all behind it."""
    steps = ledger.steps.values()
    makers = {
        ledger.edges[edge].source
        for step in steps
        if step.origin is not None and step.origin.child_phase is None
        for edge in step.ins
    }
    makers |= {step.number for step in steps if step.outcome is StepOutcome.MAPPED}
    patched = {compiled.regions[patch.region_id].controller for patch in ledger.patches.values()}
    makers |= {step.number for step in steps if step.step_id in patched}
    found: dict[int, None] = dict.fromkeys(sorted(makers))
    waiting = list(found)
    while waiting:
        for edge in ledger.steps[waiting.pop()].outs:
            target = ledger.edges[edge].target
            if target not in found:
                found[target] = None
                waiting.append(target)
    return {ledger.steps[number].step_id for number in found}


def _kept(step: StepState, job_id: str) -> dict[str, Any]:
    if step.status in SUCCESSFUL_STEP and step.reason != IMPOSSIBLE:
        outcome = None if step.outcome is None else step.outcome.value
        return {"status": step.status.value, "outcome": outcome, "output": step.output}
    messages = [_plain(message, job_id) for message in (*(step.saved or ()), *(step.waiting or ()))]
    return {**_key_of(step), "messages": messages} if messages else _key_of(step)


def _plain(message: Message, job_id: str) -> dict[str, Any]:
    """Return a message that waits to be delivered, without the words of the attempt it was for."""
    headers = {
        name: value for name, value in message.headers.items() if not name.startswith(_OWN_HEADERS)
    }
    return wire(structs.replace(message, headers=headers), job_id)


def _key_of(step: StepState) -> dict[str, Any]:
    """Return the key under which the step's work was done last, for the worker to know it again."""
    return {"idempotency_key": step.attempts[-1].idempotency_key} if step.attempts else {}
