"""`job list|show|status|result`: what the store and the journal say about jobs."""

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from mnedge.cli.answer import request_lines
from mnedge.cli.ending import reason_fields, tilde
from mnedge.cli.frame import grouped, stem_of
from mnedge.cli.reach import desk, host_of
from mnedge.cli.screen import Screen
from mnedge.cli.show import (
    STYLES,
    Cell,
    ago,
    columns,
    counted,
    fields,
    middle,
    moment,
    one_line,
    status,
)
from mnedge.cli.step_rows import step_table
from mnedge.cli.steps import from_ledger
from mnedge.cli.verbs import Asked
from mnedge.daemon.clock import wall_clock
from mnedge.engine.inspect import AgentView
from mnedge.errors import MnedgeError
from mnedge.model.amounts import duration
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL, JobStatus
from mnedge.runtime.outcome import NoResultError, output_of
from mnedge.runtime.view import JobView
from mnedge.store.claims import process_name

BAD = frozenset({JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.FAULTED})


async def list_jobs(asked: Asked, statuses: Sequence[str], running_only: bool, limit: int) -> None:
    """Print the jobs, the most recently changed first."""
    wanted = {JobStatus(word) for word in statuses} or set(JobStatus)
    if running_only:
        wanted -= TERMINAL
    hosts = [name for name in host_of(asked).split(",") if name]
    if len(hosts) > 1:
        await _list_several(asked, hosts, wanted, limit)
        return
    async with desk(asked) as here:
        records = await here.jobs(wanted, limit)
    screen = Screen(asked)
    if not asked.human:
        screen.records(records)
    elif records:
        screen.say(*job_lines(records, wall_clock(), screen.width))
    else:
        screen.say("no jobs" if len(wanted) == len(JobStatus) else "no such jobs")


async def _list_several(
    asked: Asked, hosts: Sequence[str], wanted: set[JobStatus], limit: int
) -> None:
    """Print the jobs of several nodes; one that cannot be reached is told, and the rest shown."""
    screen = Screen(asked)
    told: list[dict[str, Any]] = []
    for host in hosts:
        try:
            async with desk(asked._replace(host=host)) as there:
                records = await there.jobs(wanted, limit)
        except MnedgeError as error:
            told.append({"host": host, "error": error.message})
            screen.note(f"{host}: {error.message}")
            continue
        told += [{"host": host, "job": record} for record in records]
        screen.say(Text(host, "bold"), *job_lines(records, wall_clock(), screen.width))
    if not asked.human:
        screen.records(told)


async def show_job(asked: Asked, job_id: str) -> None:
    """Print a job and its agents."""
    async with desk(asked) as here:
        view, requests = await here.look(job_id)
    screen = Screen(asked)
    if not asked.human:
        screen.document(document(view, requests))
        return
    screen.say(*view_lines(view, wall_clock()))
    for request in requests:
        screen.note(f"{request.verb} was asked for by {request.by or 'somebody'}, not yet acted on")
    if view.human_requests:
        now, job_id = wall_clock(), view.record.job_id
        screen.say("", *request_lines(view.human_requests, job_id, now, screen.width))
    if view.dead_letters:
        screen.note(f"{counted(len(view.dead_letters), 'message')} could not be delivered")
        screen.hint(f"mnedge job dead-letters list {view.record.job_id}")
    steps = from_ledger(view.workflow)
    if steps:
        screen.say("", *ledger_lines(view, wall_clock(), screen.width))
    if not steps or asked.verbose:
        screen.say("", *agent_lines(view.agents, screen.width, every=asked.verbose))


async def show_steps(asked: Asked, job_id: str) -> None:
    """Print the steps of a job."""
    async with desk(asked) as here:
        view = (await here.look(job_id)).view
    screen = Screen(asked)
    steps = view.workflow.get("steps", {})
    if not asked.human:
        screen.records(steps[step_id] for step_id in view.workflow.get("step_order", ()))
    elif steps:
        screen.say(*ledger_lines(view, wall_clock(), screen.width, every=asked.verbose))
    else:
        screen.say(f"job {view.record.job_id} has no steps")


async def tell_status(asked: Asked, job_id: str) -> int:
    """Print the status in one word; return 1 if the job ended badly."""
    record = await _record(asked, job_id)
    screen = Screen(asked)
    if asked.human:
        screen.say(status(record.status))
    else:
        screen.document({"job_id": record.job_id, "status": record.status})
    return 1 if record.status in BAD else 0


async def tell_result(asked: Asked, job_id: str) -> int:
    """Print the result as JSON; return 1 if there is none."""
    async with desk(asked) as here:
        record = await here.with_result(await here.find(job_id))
    screen = Screen(asked)
    done = record.status is JobStatus.COMPLETED
    if not asked.human:
        screen.document(
            {
                "job_id": record.job_id,
                "status": record.status,
                "result": output_of(record) if done else None,
                "error": record.error,
            }
        )
    elif done:
        screen.document(output_of(record))
    else:
        raise NoResultError(
            f"job {record.job_id} has no result: it is {record.status}",
            hint=f"mnedge job show {record.job_id}",
            details={"status": record.status},
        )
    return 0 if done else 1


async def _record(asked: Asked, job_id: str) -> JobRecord:
    async with desk(asked) as here:
        return await here.find(job_id)


def job_lines(records: Sequence[JobRecord], now: float, width: int | None) -> list[Text]:
    """Return one line per job."""
    rows = [
        [
            Cell(record.job_id if width is None else middle(record.job_id, max(width - 38, 14))),
            Cell(shown_status(record), STYLES.get(shown_status(record), "")),
            Cell(ago(record.submitted_at, now), "dim"),
            Cell(_took(record, now), right=True),
            Cell(_remark(record), "dim"),
        ]
        for record in records
    ]
    head = [Cell(word, "dim") for word in ("job", "status", "submitted", "took", "")]
    return columns([head, *rows], width=width)


def view_lines(view: JobView, now: float) -> list[Text]:
    """Return what is to know about the job itself."""
    record = view.record
    owner = process_name(view.holder) if view.holder else ""
    if not owner and record.status not in TERMINAL:
        owner = "none: mnedge job recover"
    return [
        Text.assemble((record.job_id, "bold"), "  ", status(shown_status(record))),
        *fields(
            [
                ("blueprint", record.blueprint_id),
                ("source", tilde(record.bundle_source)),
                ("kind", f"{record.job_type}, recovery: {record.recovery_mode}"),
                ("submitted", moment(record.submitted_at)),
                ("took", _took(record, now)),
                ("owner", owner),
                ("recorded", f"{counted(view.events, 'event')}, {counted(view.last_fact, 'fact')}"),
                ("run folder", tilde(record.run_folder)),
                *(() if record.status is JobStatus.COMPLETED else reason_fields(record)),
            ]
        ),
    ]


def ledger_lines(
    view: JobView, now: float, width: int | None, *, every: bool = False
) -> list[Text]:
    """Return a line per step; instances of one step share a line, unless `every`."""
    steps = from_ledger(view.workflow)
    for request in view.human_requests:
        if (asking := steps.get(str(request.get("step_id")))) is not None:
            asking.asks = True
    return step_table(steps.values(), now, width, every=every)


def agent_lines(
    agents: Sequence[AgentView], width: int | None, *, every: bool = False
) -> list[Text]:
    """Return a line per agent; those alike that have nothing to tell share one."""
    rows = []
    for group in alike(agents) if not every else [[agent] for agent in agents]:
        first, last = group[0], group[-1]
        label = first.agent_id if len(group) == 1 else f"{first.agent_id} … {last.agent_id}"
        kind = first.kind if len(group) == 1 else f"{len(group)} {first.kind}s"
        waiting = sum(agent.mailbox_depth + agent.held_for_it for agent in group)
        rows.append(
            [
                Cell(""),
                Cell(label),
                Cell(kind, "dim"),
                Cell(first.status, _AGENT_STYLES.get(first.status, "")),
                Cell(str(sum(agent.processed_messages for agent in group)), right=True),
                Cell(str(waiting) if waiting else "·", "" if waiting else "dim", right=True),
                Cell(one_line(first.last_error or "", 160), "red"),
            ]
        )
    words = ("", "agent", "", "status", "handled", "waiting", "")
    head = [Cell(word, "dim", right=word in ("handled", "waiting")) for word in words]
    return columns([head, *rows], width=width)


def alike(agents: Sequence[AgentView]) -> list[list[AgentView]]:
    """Return groups: many agents that stand alike and whose names differ by a number, else one."""
    return grouped(
        agents,
        lambda agent: (agent.kind, stem_of(agent.agent_id), agent.status, agent.last_error),
    )


def document(view: JobView, requests: Sequence[Any]) -> dict[str, Any]:
    """Return the view for programs."""
    return {
        "job": view.record,
        "agents": view.agents,
        "events": view.events,
        "facts": view.last_fact,
        "owner": view.holder,
        "requests": list(requests),
        "workflow_state": view.workflow,
        "human_requests": view.human_requests,
        "dead_letters": view.dead_letters,
    }


_AGENT_STYLES = {
    "running": "cyan",
    "busy": "cyan",
    "queued": "yellow",
    "restarting": "yellow",
    "paused": "yellow",
    "completed": "green",
    "error": "red",
    "ready": "dim",
}


def shown_status(record: JobRecord) -> str:
    """Return the status; a job that runs and waits for a person says so."""
    waits = record.waiting_for_human and record.status is JobStatus.RUNNING
    return "waiting_for_human" if waits else record.status.value


def _took(record: JobRecord, now: float) -> str:
    if record.status is JobStatus.PENDING:
        return ""
    end = record.ended_at if record.ended_at is not None else now
    return duration(end - (record.started_at or record.submitted_at))


def _remark(record: JobRecord) -> str:
    if record.status in (JobStatus.FAILED, JobStatus.FAULTED):
        for name, text in reason_fields(record):
            if name in ("reason", "fault") and text:
                return one_line(str(text), 200)
    return record.review or ""
