"""`job approve|reject|respond|requests`: what people are asked, and their answers."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.text import Text

from mnedge.cli.frame import people_lines
from mnedge.cli.options import given_value
from mnedge.cli.progress import asked_of
from mnedge.cli.screen import Screen
from mnedge.cli.show import fields, one_line
from mnedge.cli.steer import who
from mnedge.cli.steps import seconds_of
from mnedge.cli.verbs import Asked
from mnedge.config.read import read_config
from mnedge.daemon.clock import wall_clock
from mnedge.daemon.store import opened_store
from mnedge.model.records import JobRecord, OperatorRequest
from mnedge.model.states import JobStatus
from mnedge.runtime import answers, jobs
from mnedge.runtime.view import job_view

_DONE = {"approve": "Approved", "reject": "Rejected"}


class Answer(NamedTuple):
    """What a person wants to say."""

    decision: str
    request_id: str | None = None
    comment: str = ""
    value: str | None = None
    """JSON, or `@FILE`, that is kept with the answer."""
    wait: bool = True
    timeout_s: float = 30.0


async def respond(asked: Asked, job_id: str, answer: Answer) -> None:
    """Leave the answer with the owner, wait until it has taken it, and say so."""
    config = read_config(os.environ, data_dir=asked.data_dir)
    more = {} if answer.value is None else {"value": given_value("--value", answer.value)}
    async with opened_store(config) as store:
        record = await jobs.find_job(store, job_id)
        request, waiting = await answers.respond(
            store,
            await job_view(store, record.job_id),
            answer.decision,
            now=wall_clock,
            request_id=answer.request_id,
            by=who(),
            comment=answer.comment,
            more=more,
        )
        owned = await store.claims.holder(jobs.JOBS + record.job_id) is not None
        waits = owned and answer.wait
        if waits:
            record = await jobs.settled(store, request, timeout_s=answer.timeout_s)
            await answers.refuse_unless_taken(store, request)
    tell(Screen(asked), record, request, waiting, acted=waits, owned=owned)


def tell(
    screen: Screen,
    record: JobRecord,
    request: OperatorRequest,
    waiting: Mapping[str, Any],
    *,
    acted: bool,
    owned: bool,
) -> None:
    """Say what was answered, or only left for the owner."""
    decision = str(request.details["decision"])
    if not screen.asked.human:
        screen.document(
            {
                "job_id": record.job_id,
                "request": waiting,
                "answer": request.details,
                "acted": acted,
                "owned": owned,
            }
        )
        return
    screen.good(_DONE.get(decision, f"Answered {decision}") if acted else "Answer left")
    told: list[tuple[str, str | Text]] = [
        ("job", record.job_id),
        ("request", str(waiting["request_id"])),
        ("asked", one_line(waiting.get("prompt") or "", 100)),
        ("decision", decision),
    ]
    if acted:
        told.append(("next", f"mnedge job events {record.job_id} --follow"))
    screen.say(*fields(told))
    if not owned:
        screen.note("no living process owns the job; the answer counts when it is recovered")
        screen.hint(f"mnedge job recover {record.job_id}")


async def list_requests(asked: Asked, job_id: str | None) -> None:
    """Print what waits for a person, in one job or in all that are open."""
    config = read_config(os.environ, data_dir=asked.data_dir)
    found: list[tuple[str, Sequence[Mapping[str, Any]]]] = []
    async with opened_store(config) as store:
        if job_id is not None:
            ids = [(await jobs.find_job(store, job_id)).job_id]
        else:
            ids = await _open(store)
        for one in ids:
            view = await job_view(store, one)
            if view.human_requests:
                found.append((one, view.human_requests))
    screen = Screen(asked)
    if not asked.human:
        screen.records({"job_id": one, **request} for one, every in found for request in every)
        return
    if not found:
        screen.say("nobody is asked anything")
    for one, every in found:
        screen.say(Text(one, "bold"), *request_lines(every, one, wall_clock(), screen.width))
        screen.say("")


async def _open(store: jobs.Stores) -> list[str]:
    """Return the open jobs that can be looked into."""
    statuses = {JobStatus.RUNNING, JobStatus.PAUSED}
    records = await jobs.list_jobs(store, limit=None, statuses=statuses)
    return [record.job_id for record in records]


def request_lines(
    requests: Sequence[Mapping[str, Any]], job_id: str, now: float, width: int | None
) -> list[Text]:
    """Return what each request asks, until when, and how to answer it."""
    every = [
        asked_of(request, None, seconds_of(request.get("asked_at")) or now) for request in requests
    ]
    lines = people_lines(every, job_id, now, width, most=len(every))[1:]
    if len(every) < 2:
        lines += fields([("request", one.request_id) for one in every])
    return lines
