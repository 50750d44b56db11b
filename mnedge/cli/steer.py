"""`job cancel|pause|resume`: a request that reaches the owner of a job."""

from rich.text import Text

from mnedge.cli.reach import desk
from mnedge.cli.screen import Screen
from mnedge.cli.show import fields, status
from mnedge.cli.verbs import WAIT_S, Asked
from mnedge.errors import MnedgeError
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL, JobStatus, Verb

EXPECTED = {
    Verb.CANCEL: {JobStatus.CANCELLED},
    Verb.PAUSE: {JobStatus.PAUSED},
    Verb.RESUME: {JobStatus.RUNNING},
}
DONE = {Verb.CANCEL: "Job cancelled", Verb.PAUSE: "Job paused", Verb.RESUME: "Job resumed"}
NEXT = {
    Verb.CANCEL: "mnedge job show {id}",
    Verb.PAUSE: "mnedge job resume {id}",
    Verb.RESUME: "mnedge job events {id} --follow",
}


async def steer(
    asked: Asked, job_id: str, word: str, reason: str, no_wait: bool, timeout_s: float
) -> None:
    """Ask for the verb, wait until it is done, and say so."""
    verb = Verb(word)
    async with desk(asked) as here:
        done = await here.steer(job_id, verb, reason, 0.0 if no_wait else timeout_s)
    tell(Screen(asked), done.record, verb, acted=done.acted, owned=done.owned)


async def cancel_every(asked: Asked, reason: str) -> int:
    """Ask every job that is not over to end; return 1 if one refused."""
    screen = Screen(asked)
    told: list[dict[str, str]] = []
    async with desk(asked) as here:
        for record in await here.jobs(set(JobStatus) - TERMINAL, None):
            try:
                done = await here.steer(record.job_id, Verb.CANCEL, reason, WAIT_S)
                told.append({"job_id": record.job_id, "status": done.record.status.value})
            except MnedgeError as error:
                told.append({"job_id": record.job_id, "error": error.message})
    if not asked.human:
        screen.records(told)
    elif not told:
        screen.good("every job is over already")
    for one in told if asked.human else ():
        if "error" in one:
            screen.note(f"{one['job_id']}: {one['error']}")
        else:
            screen.good(f"{one['job_id']} {one['status']}")
    return 1 if any("error" in one for one in told) else 0


def tell(screen: Screen, record: JobRecord, verb: Verb, *, acted: bool, owned: bool) -> None:
    """Say what was done, or only asked for."""
    if not screen.asked.human:
        screen.document({"job": record, "verb": verb, "acted": acted, "owned": owned})
        return
    if acted:
        done = record.status in EXPECTED[verb]
        screen.good(DONE[verb] if done else f"Job is {record.status} already")
    else:
        screen.good(f"Asked the job to {verb}")
    waits = not owned and not acted
    told: list[tuple[str, str | Text]] = [
        ("job", record.job_id),
        ("status", status(record.status)),
    ]
    if not waits:
        told.append(("next", NEXT[verb].format(id=record.job_id)))
    screen.say(*fields(told))
    if waits:
        screen.note("no living process owns the job; it acts when it is recovered")
        screen.hint(f"mnedge job recover {record.job_id}")
