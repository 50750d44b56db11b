"""What people do with jobs: submit, find, ask. Everything goes through the store, so any process
can do it."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from difflib import get_close_matches
from random import SystemRandom
from typing import Any, Protocol

import msgspec
import trio

from mnedge.errors import ConflictError, CorruptError, NotFoundError, UnavailableError
from mnedge.model.body import INLINE_LIMIT_BYTES
from mnedge.model.codec import decode_fact, decode_spec, encode_fact, encode_spec
from mnedge.model.facts import Submitted
from mnedge.model.manifest import JobSpec
from mnedge.model.records import JobRecord, OperatorRequest
from mnedge.model.states import TERMINAL, JobStatus, Verb
from mnedge.ports import Blobs, Claims, Clock, Journal, Row, Table
from mnedge.store.condition import Conditions

JOBS = "job/"
OPEN = "open/"
"""A row without content for each job that is not over: finished ones are many."""
SPECS = "spec/"
ASKS = "ask/"
CARRIED = "carried/"
"""What a job takes over from an earlier one, as `Submitted.carried`; only until it has begun."""
_IN_BLOBS = b"blob:"
"""How a row begins that only says where the content is; no encoded spec begins so."""

_random = SystemRandom()
_encode = msgspec.msgpack.Encoder().encode
_decode_job = msgspec.msgpack.Decoder(JobRecord).decode
_decode_ask = msgspec.msgpack.Decoder(OperatorRequest).decode


class JobNotFoundError(NotFoundError):
    """No job has this id, nor an id that begins with it."""

    code = "job.not_found"


class JobExistsError(ConflictError):
    """A job of that id is kept already."""

    code = "job.exists"


class JobUnreadableError(CorruptError):
    """The row of a job is no record of this version's."""

    code = "job.unreadable"


class JobStatusError(ConflictError):
    """The job's status does not allow what was asked."""

    code = "job.status"


class JobUnsettledError(UnavailableError):
    """The owner of the job has not acted within the time given; the request stands."""

    code = "job.unsettled"


class Stores(Protocol):
    """The four stores of a node, whichever kind they are."""

    @property
    def table(self) -> Table:
        """Small records."""

    @property
    def journal(self) -> Journal:
        """Facts."""

    @property
    def claims(self) -> Claims:
        """Who owns what."""

    @property
    def blobs(self) -> Blobs:
        """Content by hash."""

    @property
    def conditions(self) -> Conditions:
        """What the disk is like, told by everybody who writes to it."""


async def read_job(stores: Stores, job_id: str) -> JobRecord:
    """Return the record with exactly this id.

    Raises: JobNotFoundError, JobUnreadableError.
    """
    row = await stores.table.get(JOBS + job_id)
    if row is None:
        raise JobNotFoundError(f"no job is called {job_id!r}", hint="`mnedge job list` shows them")
    return _record(row)


async def write_job(stores: Stores, record: JobRecord) -> None:
    """Replace the record; only the owner of the job does."""
    await stores.table.put(JOBS + record.job_id, _encode(record))


async def write_new_job(
    stores: Stores, record: JobRecord, spec: JobSpec, *, carried: Mapping[str, Any] | None = None
) -> None:
    """Keep a new job, whole or not at all; a large specification lies among the blobs.

    `carried`: what it takes over from an earlier job.
    Raises: JobExistsError if a job has this id already.
    """
    kept = await _placed(stores, encode_spec(spec))
    job_id = record.job_id
    rows = {SPECS + job_id: kept, JOBS + job_id: _encode(record), OPEN + job_id: b""}
    if carried:
        given = encode_fact(Submitted(at=record.submitted_at, carried=dict(carried)))
        rows[CARRIED + job_id] = await _placed(stores, given)
    try:
        await stores.table.put_new(rows)
    except ConflictError:
        raise JobExistsError(
            f"a job is called {job_id!r} already",
            hint=f"choose another run id; `mnedge job show {job_id}` shows that one",
            details={"job_id": job_id},
        ) from None


async def open_jobs(stores: Stores) -> list[str]:
    """Return the ids of the jobs that are not over, and maybe of some that just ended."""
    found: list[str] = []
    after = ""
    while rows := await stores.table.scan(OPEN, after=after):
        after = rows[-1].key
        found += [row.key.removeprefix(OPEN) for row in rows]
    return found


async def shut(stores: Stores, job_id: str) -> None:
    """Take the job, whose record says that it is over, from those that are open."""
    await stores.table.delete(OPEN + job_id, sync=False)  # back after a power cut, it is shut again


async def read_spec(stores: Stores, job_id: str) -> JobSpec:
    """Return the lowered manifest that the job runs on."""
    row = await stores.table.get(SPECS + job_id)
    if row is None:
        raise JobNotFoundError(f"the specification of job {job_id!r} is missing")
    return decode_spec(await _content(stores, row))


async def carried_to(stores: Stores, job_id: str) -> dict[str, Any]:
    """Return what the job takes over from an earlier one, before it has begun."""
    row = await stores.table.get(CARRIED + job_id)
    if row is None:
        return {}
    fact = decode_fact(await _content(stores, row))
    return fact.carried if isinstance(fact, Submitted) else {}


async def forget_carried(stores: Stores, job_id: str) -> None:
    """Forget what the job took over, once its journal has it."""
    await stores.table.delete(CARRIED + job_id, sync=False)


async def _placed(stores: Stores, content: bytes) -> bytes:
    """Return what a row holds of it: all, or where it lies."""
    if len(content) <= INLINE_LIMIT_BYTES:
        return content
    return _IN_BLOBS + (await stores.blobs.put(content)).encode()


async def _content(stores: Stores, row: Row) -> bytes:
    if not row.value.startswith(_IN_BLOBS):
        return row.value
    return await stores.blobs.get(row.value.removeprefix(_IN_BLOBS).decode())


async def find_job(stores: Stores, wanted: str) -> JobRecord:
    """Return the job with this id, the only one whose id begins with it, or the newest for `last`.

    Raises: JobNotFoundError with near matches.
    """
    row = await stores.table.get(JOBS + wanted)
    if row is not None:
        return _record(row)
    records = await list_jobs(stores, limit=None)
    if wanted == "last":
        if not records:
            raise JobNotFoundError("there are no jobs yet", hint="`mnedge blueprint run` makes one")
        return records[0]
    begin = [record for record in records if record.job_id.startswith(wanted)]
    if len(begin) == 1:
        return begin[0]
    ids = [record.job_id for record in begin or records]
    near = ids[:5] if begin else get_close_matches(wanted, ids, n=3, cutoff=0.5)
    what = "several jobs begin" if begin else "no job begins"
    raise JobNotFoundError(
        f"{what} with {wanted!r}",
        hint="did you mean " + " or ".join(near) + "?" if near else "`mnedge job list` shows them",
        details={"near": near},
    )


async def list_jobs(
    stores: Stores, *, limit: int | None = 50, statuses: Collection[JobStatus] | None = None
) -> list[JobRecord]:
    """Return records, most recently updated first; one that cannot be read is left out."""
    found: list[JobRecord] = []
    after = ""
    while rows := await stores.table.scan(JOBS, after=after):
        after = rows[-1].key
        for row in rows:
            with suppress(JobUnreadableError):
                record = _record(row)
                if statuses is None or record.status in statuses:
                    found.append(record)
    found.sort(key=lambda record: (record.updated_at, record.job_id), reverse=True)
    return found[:limit]


_ALLOWED = {
    Verb.PAUSE: frozenset({JobStatus.RUNNING}),
    Verb.RESUME: frozenset({JobStatus.PAUSED}),
    Verb.CANCEL: frozenset(JobStatus) - TERMINAL,
    Verb.REDRIVE: frozenset({JobStatus.RUNNING, JobStatus.PAUSED}),
    Verb.DISCARD: frozenset({JobStatus.RUNNING, JobStatus.PAUSED}),
    Verb.RESPOND: frozenset({JobStatus.RUNNING, JobStatus.PAUSED}),
}
_WANTED = {
    Verb.PAUSE: frozenset({JobStatus.PAUSED}) | TERMINAL,
    Verb.RESUME: frozenset({JobStatus.RUNNING}) | TERMINAL,
    Verb.CANCEL: TERMINAL,
}
"""The others show nothing in the record: they are done when the owner has taken the request."""
TAKEN_LOOK_S = 0.05
_REFUSALS = {
    Verb.PAUSE: "job is not running",
    Verb.RESUME: "job is not paused",
    Verb.CANCEL: "job is already in a terminal state",
    Verb.REDRIVE: "only a job that runs takes its messages again",
    Verb.DISCARD: "only a job that runs forgets its messages",
    Verb.RESPOND: "nobody waits for an answer",
}


async def ask(
    stores: Stores,
    job_id: str,
    verb: Verb,
    *,
    now: Clock,
    by: str = "",
    reason: str = "",
    details: Mapping[str, Any] | None = None,
) -> OperatorRequest:
    """Leave a request for the owner of the job; `details` as in the fact `OperatorAsked`.

    Raises: JobStatusError if the job's status does not allow it.
    """
    record = await read_job(stores, job_id)
    if record.status not in _ALLOWED[verb]:
        raise JobStatusError(
            f"{_REFUSALS[verb]}: {job_id} is {record.status}", details={"status": record.status}
        )
    request = OperatorRequest(
        request_id=f"{int(now() * 1000):014d}-{_random.getrandbits(32):08x}",
        job_id=job_id,
        verb=verb,
        asked_at=now(),
        by=by,
        reason=reason,
        details=dict(details or {}),
    )
    await stores.table.put(f"{ASKS}{job_id}/{request.request_id}", _encode(request), if_version=0)
    return request


async def waiting_asks(stores: Stores, job_id: str) -> list[OperatorRequest]:
    """Return the requests nobody has acted on, oldest first."""
    rows = await stores.table.scan(f"{ASKS}{job_id}/")
    return [_decode_ask(row.value) for row in rows]


def decode_ask(value: bytes) -> OperatorRequest:
    """Return the request a row holds."""
    return _decode_ask(value)


def _record(row: Row) -> JobRecord:
    try:
        return _decode_job(row.value)
    except msgspec.DecodeError as error:
        job_id = row.key.removeprefix(JOBS)
        raise JobUnreadableError(
            f"the record of job {job_id!r} cannot be read: {error}",
            hint="a newer mnedge may have written it; else restore the data directory",
        ) from error


async def answered(stores: Stores, request: OperatorRequest) -> None:
    """Take a request away that its owner has journaled."""
    await stores.table.delete(f"{ASKS}{request.job_id}/{request.request_id}")


async def settled(stores: Stores, request: OperatorRequest, *, timeout_s: float) -> JobRecord:
    """Wait until the owner acted on the request; return the job as it is then.

    Raises: JobUnsettledError after `timeout_s`; the request stands.
    """
    wanted = _WANTED.get(request.verb)
    with trio.move_on_after(timeout_s):
        while wanted is None:
            if await stores.table.get(f"{ASKS}{request.job_id}/{request.request_id}") is None:
                return await read_job(stores, request.job_id)
            await trio.sleep(TAKEN_LOOK_S)
        async for rows in stores.table.watch(JOBS + request.job_id):
            for row in rows:
                record = _record(row)
                if record.job_id == request.job_id and record.status in wanted:
                    return record
    raise JobUnsettledError(
        f"job {request.job_id} has not acted on {request.verb} within {timeout_s:g} s",
        hint="is its owner alive? `mnedge job recover` adopts jobs whose owner is gone",
    )
