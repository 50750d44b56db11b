"""`job cancel|pause|resume`: a request that reaches the owner through the store."""

import getpass
import os

from rich.text import Text

from mnedge.cli.screen import Screen
from mnedge.cli.show import fields, status
from mnedge.cli.verbs import Asked
from mnedge.config.read import read_config
from mnedge.config.settings import Config
from mnedge.daemon.clock import wall_clock
from mnedge.daemon.store import opened_store
from mnedge.model.records import JobRecord
from mnedge.model.states import JobStatus, Verb
from mnedge.runtime import jobs

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


def who() -> str:
    """Return who asks, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


async def steer(
    asked: Asked, job_id: str, word: str, reason: str, no_wait: bool, timeout_s: float
) -> None:
    """Ask for the verb, wait until it is done, and say so."""
    config = read_config(os.environ, data_dir=asked.data_dir)
    verb = Verb(word)
    async with opened_store(config) as store:
        record = await jobs.find_job(store, job_id)
        request = await jobs.ask(
            store, record.job_id, verb, now=wall_clock, by=who(), reason=reason
        )
        holder = await store.claims.holder(jobs.JOBS + record.job_id)
        waits = holder is not None and not no_wait
        if waits:
            record = await jobs.settled(store, request, timeout_s=timeout_s)
    if holder is None and verb is Verb.CANCEL:
        record, waits = await _cancelled_here(config, record.job_id), True
    tell(Screen(asked), record, verb, acted=waits, owned=holder is not None)


async def _cancelled_here(config: Config, job_id: str) -> JobRecord:
    """Own the job for as long as it takes to end it: nobody else does."""
    from mnedge.daemon.app import node  # heavy, and seldom needed

    async with node(config) as here:
        await here.host.start_job(job_id)
        return await here.host.finished(job_id)


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
