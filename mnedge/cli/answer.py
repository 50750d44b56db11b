"""`job approve|reject|respond|requests`: what people are asked, and their answers."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.text import Text

from mnedge.cli.frame import people_lines
from mnedge.cli.options import given_value
from mnedge.cli.progress import asked_of
from mnedge.cli.reach import desk
from mnedge.cli.screen import Screen
from mnedge.cli.show import fields, one_line
from mnedge.cli.steps import seconds_of
from mnedge.cli.verbs import Asked
from mnedge.daemon.clock import wall_clock
from mnedge.model.records import JobRecord

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
    more = {} if answer.value is None else {"value": given_value("--value", answer.value)}
    async with desk(asked) as here:
        done = await here.answer(
            job_id,
            answer.decision,
            answer.request_id,
            answer.comment,
            more,
            answer.timeout_s if answer.wait else 0.0,
        )
    tell(
        Screen(asked),
        done.record,
        done.details,
        done.waiting,
        acted=done.acted,
        owned=done.owned,
    )


def tell(
    screen: Screen,
    record: JobRecord,
    details: Mapping[str, Any],
    waiting: Mapping[str, Any],
    *,
    acted: bool,
    owned: bool,
) -> None:
    """Say what was answered, or only left for the owner."""
    decision = str(details["decision"])
    if not screen.asked.human:
        screen.document(
            {
                "job_id": record.job_id,
                "request": waiting,
                "answer": details,
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
    async with desk(asked) as here:
        found = await here.requests(job_id)
    screen = Screen(asked)
    if not asked.human:
        screen.records({"job_id": one, **request} for one, every in found for request in every)
        return
    if not found:
        screen.say("nobody is asked anything")
    for one, every in found:
        screen.say(Text(one, "bold"), *request_lines(every, one, wall_clock(), screen.width))
        screen.say("")


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
