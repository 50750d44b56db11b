"""What a job looks like inside, for people: its journal replayed, without disturbing its owner."""

from typing import Any

from msgspec import Struct, field

from mnedge.engine.apply import apply
from mnedge.engine.compile import CompiledJob, compile_job
from mnedge.engine.inspect import AgentView, agent_views
from mnedge.engine.ledger.view import workflow_state
from mnedge.engine.letters import dead_letters
from mnedge.engine.people import pending
from mnedge.engine.state import JobState, new_state, restore
from mnedge.model.codec import decode_fact
from mnedge.model.events import Event
from mnedge.model.facts import OperatorAsked
from mnedge.model.records import JobRecord, OperatorRequest
from mnedge.runtime import jobs


class JobView(Struct, frozen=True, kw_only=True):
    """A job with its agents, as committed at the moment of asking."""

    record: JobRecord
    agents: list[AgentView]
    last_fact: int
    events: int
    holder: str | None
    """The living process that owns it."""
    workflow: dict[str, Any] = field(default_factory=dict)
    """`workflow_state`."""
    human_requests: list[dict[str, Any]] = field(default_factory=list)
    """What waits for a person."""
    dead_letters: list[dict[str, Any]] = field(default_factory=list)


async def committed_state(stores: jobs.Stores, job: CompiledJob, job_id: str) -> JobState:
    """Return the state that the job's journal comes to."""
    kept = await stores.journal.latest_snapshot(job_id)
    state = new_state(job, job_id) if kept is None else restore(job, kept[1])
    while batch := await stores.journal.read(job_id, after=state.last_seq):
        for seq, content in batch:
            apply(job, state, decode_fact(content), seq)
    return state


async def events_of(stores: jobs.Stores, request: OperatorRequest) -> list[Event] | None:
    """Return what came of a request that its owner has taken.

    None if no fact tells of it: the job was over before, or that is long ago.
    """
    record = await jobs.read_job(stores, request.job_id)
    spec = await jobs.read_spec(stores, request.job_id)
    job = compile_job(spec, revision=record.engine_revision)
    kept = await stores.journal.latest_snapshot(request.job_id)
    state = new_state(job, request.job_id) if kept is None else restore(job, kept[1])
    while batch := await stores.journal.read(request.job_id, after=state.last_seq):
        for seq, content in batch:
            fact = decode_fact(content)
            events = apply(job, state, fact, seq)[1]
            if isinstance(fact, OperatorAsked) and fact.request_id == request.request_id:
                return events
    return None


async def job_view(stores: jobs.Stores, job_id: str) -> JobView:
    """Return the job as its journal has it; works with and without an owner."""
    record = await jobs.read_job(stores, job_id)
    job = compile_job(await jobs.read_spec(stores, job_id), revision=record.engine_revision)
    return await view_of(stores, record, job, await committed_state(stores, job, job_id))


async def view_of(
    stores: jobs.Stores, record: JobRecord, job: CompiledJob, state: JobState
) -> JobView:
    """Return what a job's state looks like."""
    return JobView(
        record=record,
        agents=agent_views(job, state),
        last_fact=state.last_seq,
        events=state.event_seq,
        holder=await stores.claims.holder(jobs.JOBS + record.job_id),
        workflow=workflow_state(job, state),
        human_requests=pending(job, state),
        dead_letters=dead_letters(state),
    )
