"""The desk of a daemon: REST over its unix socket, or over HTTP(S) to another node."""

import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec
import trio

from mnedge.cli import contexts
from mnedge.cli.desk import Answered, Desk, Disposed, Look, Made, Steered, Stream, Take, chosen_file
from mnedge.cli.link import DaemonStrangeError, Link, over_socket, over_tcp
from mnedge.cli.sse import Frame
from mnedge.config.settings import Config
from mnedge.engine.inspect import AgentView
from mnedge.model.records import JobRecord, OperatorRequest
from mnedge.model.states import TERMINAL, JobStatus, Verb
from mnedge.runtime import answers, jobs
from mnedge.runtime.view import JobView
from mnedge.store.runs.readers import Record, record_of

if TYPE_CHECKING:
    from mnedge.runtime.definitions import Definition

T = TypeVar("T")

MOST_WAIT_S = 30.0
"""So long the daemon waits with an answer; who waits longer asks again."""
LOOK_S = 0.3
PAGE = 5000


@asynccontextmanager
async def local(config: Config) -> AsyncIterator[Desk]:
    """Have the desk of the daemon that serves this data directory."""
    async with over_socket(config.socket) as link:
        yield Remote(link)


@asynccontextmanager
async def named(host: str, token_file: str | None) -> AsyncIterator[Desk]:
    """Have the desk of a node, by name or address.

    Raises: ContextNotFoundError, ContextInvalidError, TokenUnreadableError, FingerprintError.
    """
    context = contexts.found(host, os.environ)
    token = contexts.token_of(context, token_file, os.environ)
    async with over_tcp(
        context.url,
        token,
        name=host,
        ca=Path(context.ca) if context.ca else None,
        fingerprint=context.fingerprint,
    ) as link:
        yield Remote(link)


class _Stream:
    """Records of a job, a page at a time or as they come."""

    def __init__(self, link: Link, job_id: str, name: str, after: str) -> None:
        self._link = link
        self._job_id = job_id
        self._path = f"/jobs/{quote(job_id)}/{name}"
        self._mark = after
        self._record = partial(_event, job_id) if name == "events" else _log

    async def look(self) -> list[Record]:
        """Return what is there and was not told yet."""
        found: list[Record] = []
        while True:
            page = await self._link.get(self._path, after=self._mark, limit=PAGE)
            found += [self._record(msgspec.json.encode(one)) for one in page["data"]]
            self._mark = str(page.get("next") or self._mark)
            if len(page["data"]) < PAGE:
                return found

    async def follow(self, take: Take) -> None:
        """Hand over what comes until the job is over, also across restarts of the daemon."""

        def taken(frames: list[Frame]) -> None:
            self._mark = frames[-1].mark
            take([self._record(frame.data) for frame in frames])

        await self._link.stream(f"{self._path}/stream", self._mark, taken)


def _event(job_id: str, line: bytes) -> Record:
    """Return an event with what every reader of a run folder adds."""
    return record_of(line, job_id)


def _log(line: bytes) -> Record:
    """Return a log record: the daemon has added that already."""
    found: Record = msgspec.json.decode(line)
    return found


class Remote:
    """Answers by asking a daemon."""

    def __init__(self, link: Link) -> None:
        self.link = link

    @property
    def where(self) -> str:
        """What people call it."""
        return self.link.where

    async def find(self, job_id: str) -> JobRecord:
        """Return a job."""
        return _as(JobRecord, (await self._job(job_id, compact=True))["job"])

    async def jobs(self, statuses: Collection[JobStatus], limit: int | None) -> list[JobRecord]:
        """Return jobs."""
        wanted = sorted(statuses) if len(statuses) < len(JobStatus) else []
        found = await self.link.every("/jobs", limit=limit, status=wanted or None)
        return _as(list[JobRecord], found)

    async def look(self, job_id: str) -> Look:
        """Return a job as the daemon sees it."""
        body = await self._job(job_id)
        view = JobView(
            record=_as(JobRecord, body["job"]),
            agents=_as(list[AgentView], body["agents"]),
            last_fact=body["last_fact"],
            events=body["events"],
            holder=body["holder"],
            workflow=body["workflow"],
            human_requests=body["human_requests"],
            dead_letters=body["dead_letters"],
        )
        return Look(view, _as(list[OperatorRequest], body["requests"]))

    async def with_result(self, record: JobRecord) -> JobRecord:
        """Return the record with its result; the daemon says why there is none."""
        if record.status is not JobStatus.COMPLETED or record.result is not None:
            return record
        told = await self.link.get(f"{_job(record.job_id)}/result")
        return msgspec.structs.replace(record, result=told["result"])

    async def events(self, record: JobRecord, after: int = 0) -> Stream:
        """Open the events of a job."""
        return _Stream(self.link, record.job_id, "events", str(after))

    async def logs(self, record: JobRecord) -> Stream:
        """Open the logs of a job."""
        return _Stream(self.link, record.job_id, "logs", "0")

    async def steer(self, job_id: str, verb: Verb, reason: str, wait_s: float) -> Steered:
        """Ask for a verb. Raises: JobUnsettledError if the job does not act in time."""
        deadline = trio.current_time() + wait_s
        first_s = min(wait_s, MOST_WAIT_S)
        told = await self.link.post(
            f"{_job(job_id)}/{verb}", {"reason": reason}, wait_s=first_s, wait=first_s
        )
        record = _as(JobRecord, told["job"])
        if told["settled"]:
            return Steered(record, True, True)
        request = _as(OperatorRequest, told["request"])
        owned = await self._owned(record.job_id)
        if not owned or wait_s <= 0:
            return Steered(record, False, owned)
        await self._taken(request, deadline, wait_s)
        return Steered(await self.find(record.job_id), True, True)

    async def answer(
        self, job_id: str, decision: str, request_id: str | None, comment: str,
        more: Mapping[str, Any], wait_s: float,
    ) -> Answered:  # fmt: skip
        """Answer what a job asks a person. Raises: JobUnsettledError."""
        view = (await self.look(job_id)).view
        waiting = answers.chosen_request(view, request_id)
        named = str(waiting["request_id"])
        first_s = min(wait_s, MOST_WAIT_S)
        body = {"decision": decision, "comment": comment}
        if "value" in more:
            body["payload"] = more["value"]
        told = await self.link.post(
            f"{_job(view.record.job_id)}/human-requests/{quote(named, safe='')}/respond",
            body,
            wait_s=first_s,
            wait=first_s,
        )
        owned = view.holder is not None
        if owned and wait_s > 0 and not told["settled"]:
            raise _unsettled(view.record.job_id, "respond", wait_s)
        details = {**more, "request_id": named, "decision": decision}
        if comment:
            details["comment"] = comment
        record = await self.find(view.record.job_id)
        return Answered(record, waiting, details, bool(told["settled"]), owned)

    async def requests(self, job_id: str | None) -> list[tuple[str, Sequence[Mapping[str, Any]]]]:
        """Return what waits for a person."""
        if job_id is not None:
            view = (await self.look(job_id)).view
            return [(view.record.job_id, view.human_requests)] if view.human_requests else []
        found: dict[str, list[Mapping[str, Any]]] = {}
        for one in (await self.link.get("/human-requests"))["data"]:
            found.setdefault(one.pop("job_id"), []).append(one)
        return list(found.items())

    async def dispose(self, job_id: str, verb: Verb, message_id: str, wait_s: float) -> Disposed:
        """Have dead letters delivered again, or forgotten. Raises: JobUnsettledError."""
        view = (await self.look(job_id)).view
        answers.chosen_letters(view, message_id)
        named = "all" if message_id == answers.EVERY else quote(message_id, safe="")
        word = "retry" if verb is Verb.REDRIVE else "discard"
        first_s = min(wait_s, MOST_WAIT_S)
        job = view.record.job_id
        told = await self.link.post(
            f"{_job(job)}/dead-letters/{named}/{word}", wait_s=first_s, wait=first_s
        )
        owned = view.holder is not None
        if owned and wait_s > 0 and not told["settled"]:
            raise _unsettled(job, verb, wait_s)
        return Disposed(told["job_id"], told["message_ids"], bool(told["settled"]), owned)

    async def retry(self, job_id: str, run_id: str | None) -> Made:
        """Go on with a failed job as a new one; the daemon runs it."""
        record = await self.find(job_id)
        told = await self.link.post(f"{_job(record.job_id)}/retry", {"run_id": run_id})
        return Made(_as(JobRecord, told["job"]), told["kept"], self.where)

    async def submit(self, body: Mapping[str, Any]) -> Made:
        """Send a blueprint, as `POST /jobs` takes it; the daemon runs it."""
        told = await self.link.post("/jobs", body)
        return Made(_as(JobRecord, told["job"]), [], self.where)

    async def runs(self, blueprint_id: str | None, limit: int | None) -> list[Record]:
        """Return run folders."""
        return await self.link.every("/runs", limit=limit, blueprint_id=blueprint_id)

    async def run(self, run_id: str) -> dict[str, Any]:
        """Return what a run folder says."""
        told: dict[str, Any] = await self.link.get(f"/runs/{quote(run_id, safe='')}")
        return told

    async def artifacts(self, job_id: str) -> tuple[str, list[Record]]:
        """Return the files that a job left."""
        told = await self.link.get(f"{_job(job_id)}/artifacts")
        files = [{key: one[key] for key in one if key != "href"} for one in told["data"]]
        return told["job_id"], files

    async def fetch(self, job_id: str, path: str, write: Callable[[bytes], object]) -> None:
        """Hand over a file that a job left."""
        found_id, files = await self.artifacts(job_id)
        named = chosen_file(found_id, path, [str(one["path"]) for one in files])
        await self.link.download(f"{_job(found_id)}/artifacts/{quote(named)}", write)

    async def definitions(self, include_archived: bool) -> "list[Definition]":
        """Return what can be started again."""
        found = await self.link.every("/definitions", include_archived=include_archived)
        return [_defined(one) for one in found]

    async def definition(self, definition_id: str) -> "Definition":
        """Return one of them."""
        return _defined(await self.link.get(_definition(definition_id)))

    async def define(
        self, manifest: dict[str, Any], payloads: Mapping[str, bytes], definition_id: str | None,
        configuration: Mapping[str, Any] | None,
    ) -> "Definition":  # fmt: skip
        """Keep a bundle to be started later."""
        body = {
            "manifest": manifest,
            "payloads": sent(payloads),
            "definition_id": definition_id,
            "configuration": configuration,
        }
        return _defined(await self.link.post("/definitions", body))

    async def start(
        self, definition_id: str, run_id: str | None, inputs: Mapping[str, Any] | None
    ) -> Made:
        """Start a definition once more."""
        body = {"run_id": run_id, "inputs": inputs}
        told = await self.link.post(f"{_definition(definition_id)}/runs", body)
        return Made(_as(JobRecord, told["job"]), [], self.where)

    async def archive(self, definition_id: str) -> "Definition":
        """Take no more runs of a definition."""
        return _defined(await self.link.post(f"{_definition(definition_id)}/archive"))

    async def undefine(self, definition_id: str) -> "Definition":
        """Forget a definition."""
        return _defined(await self.link.delete(_definition(definition_id), confirmed=True))

    async def runs_of(self, definition_id: str) -> list[JobRecord]:
        """Return the jobs of a definition."""
        return _as(list[JobRecord], await self.link.every(f"{_definition(definition_id)}/runs"))

    async def health(self) -> dict[str, Any]:
        """Return how the node is."""
        told: dict[str, Any] = await self.link.get("/health")
        return told

    async def nodes(self) -> list[Record]:
        """Return nodes."""
        found: list[Record] = (await self.link.get("/nodes"))["data"]
        return found

    async def resources(self) -> dict[str, Any]:
        """Return what the machine has, and how full its pools are."""
        told: dict[str, Any] = await self.link.get("/resources")
        return told

    async def _job(self, job_id: str, *, compact: bool = False) -> dict[str, Any]:
        include = "compact" if compact else None
        told: dict[str, Any] = await self.link.get(_job(job_id), include=include)
        return told

    async def _owned(self, job_id: str) -> bool:
        return (await self._job(job_id, compact=True))["holder"] is not None

    async def _taken(self, request: OperatorRequest, deadline: float, wait_s: float) -> None:
        while True:
            body = await self._job(request.job_id, compact=True)
            waiting = [one["request_id"] for one in body["requests"]]
            over = JobStatus(body["job"]["status"]) in TERMINAL
            if request.request_id not in waiting or over:
                return
            if trio.current_time() >= deadline:
                raise _unsettled(request.job_id, request.verb, wait_s)
            await trio.sleep(LOOK_S)


def sent(payloads: Mapping[str, bytes]) -> dict[str, Any]:
    """Return files as the API takes them: text as it is, else base64."""
    from base64 import b64encode

    found: dict[str, Any] = {}
    for path, content in payloads.items():
        try:
            found[path] = content.decode()
        except UnicodeDecodeError:
            found[path] = {"base64": b64encode(content).decode()}
    return found


def _unsettled(job_id: str, verb: str, wait_s: float) -> jobs.JobUnsettledError:
    return jobs.JobUnsettledError(
        f"job {job_id} has not acted on {verb} within {wait_s:g} s",
        hint="is its owner alive? `mnedge job recover` adopts jobs whose owner is gone",
    )


def _job(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}"


def _definition(definition_id: str) -> str:
    return f"/definitions/{quote(definition_id, safe='')}"


def _defined(value: Any) -> "Definition":
    from mnedge.runtime.definitions import Definition  # it loads all that reads bundles

    return _as(Definition, value)


def _as(kind: type[T], value: Any) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise DaemonStrangeError(
            f"the daemon says what this version does not understand: {error}",
            hint="use the same version of mnedge on both sides",
        ) from error
