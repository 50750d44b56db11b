"""Jobs as pages: the list, one with its graphs, and what it said, wrote and made."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

import trio
from starlette.requests import Request
from starlette.responses import Response

from mnedge.gateway.console import api, words
from mnedge.gateway.console.pictures import Picture, Plans, pictures
from mnedge.gateway.console.rendering import backend_of, page
from mnedge.model.states import TERMINAL, JobStatus
from mnedge.runtime import jobs
from mnedge.store.claims import process_name

PAGE = 50
MOST_ROWS = 300
"""Of steps and agents on one page; the graph has all of them."""
EVENTS_PAGE = 200
LOGS_PAGE = 500
PREVIEW_BYTES = 256 << 10
_drawing = trio.CapacityLimiter(1)
"""A large graph takes long to lay out; nobody else is to wait for that."""
_IMAGES = ("png", "jpg", "jpeg", "gif", "webp")
_TEXTS = frozenset(
    (
        *("json", "jsonl", "txt", "md", "log", "csv", "tsv"),
        *("yaml", "yml", "xml", "html", "svg", "py"),
    )
)


async def job_list(request: Request) -> Response:
    """The jobs that a filter lets through, a page of them."""
    names = ("q", "status", "blueprint", "running", "cursor")
    asked = {name: request.query_params.get(name, "").strip() for name in names}
    rows, cursor = await _filtered(request, asked)
    filters = {name: value for name, value in asked.items() if value and name != "cursor"}
    return await page(
        request,
        "jobs.html",
        place="/jobs",
        asked=asked,
        rows=rows,
        statuses=[status.value for status in JobStatus],
        blueprint_ids=sorted({row["blueprint_id"] for row in rows if row.get("blueprint_id")}),
        first_page="/jobs?" + urlencode(filters),
        next_page="/jobs?" + urlencode({**filters, "cursor": cursor}) if cursor else "",
    )


async def _filtered(
    request: Request, asked: Mapping[str, str]
) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of jobs, and where the next one begins; a text is looked for in some pages."""
    text, cursor = asked["q"].lower(), asked["cursor"] or None
    found: list[dict[str, Any]] = []
    for _ in range(20 if text else 1):
        answer = await api.get(
            request,
            "/jobs",
            status=asked["status"],
            blueprint=asked["blueprint"],
            running="true" if asked["running"] else "",
            limit=500 if text else PAGE,
            cursor=cursor,
        )
        found += [
            row
            for row in answer["data"]
            if not text
            or any(
                text in str(row.get(name, "")).lower()
                for name in ("job_id", "job_name", "blueprint_id", "graph_id")
            )
        ]
        cursor = answer.get("next")
        if cursor is None or len(found) >= PAGE:
            break
    return found, cursor


async def job(request: Request) -> Response:
    """One job, with everything that moves."""
    answer = await api.get(request, _path(request))
    record = answer["job"]
    now = backend_of(request).now()
    agents = answer.get("agents") or []
    ledger = answer.get("workflow_state") or answer.get("workflow") or {}
    steps = step_rows(ledger, now)
    recent = answer.get("recent_events") or []
    return await page(
        request,
        "job.html",
        **_frame(record, "", can_retry=bool(steps) and bool(ledger.get("controlling"))),
        over=record["status"] in {status.value for status in TERMINAL},
        last_mark=last_mark(recent),
        asks=[with_job(one, record["job_id"]) for one in answer.get("human_requests") or []],
        waiting_requests=answer.get("requests") or [],
        letters=[with_job(one, record["job_id"]) for one in answer.get("dead_letters") or []],
        reason=words.reason_of(record) if record["status"] in ("failed", "faulted") else None,
        result=output_of(record),
        pictures=await drawn(request, record["job_id"], agents, ledger),
        steps=steps[:MOST_ROWS],
        steps_left_out=max(len(steps) - MOST_ROWS, 0),
        agents=agents[:MOST_ROWS],
        agents_count=len(agents),
        agents_left_out=max(len(agents) - MOST_ROWS, 0),
        recent=recent,
        holder=process_name(answer["holder"]) if answer.get("holder") else "",
        events_count=answer.get("events") or 0,
        facts_count=answer.get("last_fact") or 0,
    )


def last_mark(recent: Sequence[Mapping[str, Any]]) -> str:
    """Return the place in the stream behind the newest of these records, the newest first.

    Records of workers have no number: they are counted behind the numbered one before them.
    """
    for behind, one in enumerate(recent):
        if isinstance(one.get("seq"), int):
            return f"{one['seq']}.{behind}" if behind else str(one["seq"])
    return "0"


async def drawn(request: Request, job_id: str, agents: Any, ledger: Any) -> list[Picture]:
    """Return the graphs of a job; none if its specification is gone."""
    try:
        spec = await jobs.read_spec(backend_of(request).store, job_id)
    except jobs.JobNotFoundError:
        return []
    plans: Plans = request.app.state.plans
    work = partial(pictures, spec, agents, ledger, plans=plans, key=job_id)
    return await trio.to_thread.run_sync(work, limiter=_drawing)


def output_of(record: Mapping[str, Any]) -> Any:
    """Return what the job came to, without the wrapping of the record."""
    result = record.get("result")
    if isinstance(result, dict) and set(result) == {"agent_id", "output"}:
        return result["output"]
    return result


def with_job(found: Mapping[str, Any], job_id: str) -> dict[str, Any]:
    """Return a request or letter that says to which job it belongs."""
    return {**found, "job_id": found.get("job_id") or job_id}


def step_rows(ledger: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
    """Return the steps of a `workflow_state` in their order, as the ledger's table shows them."""
    steps = ledger.get("steps") or {}
    return [
        _step_row(steps[step_id], now)
        for step_id in ledger.get("step_order") or ()
        if step_id in steps
    ]


def _step_row(step: Mapping[str, Any], now: float) -> dict[str, Any]:
    return {
        "id": step["id"],
        "label": step.get("label") or step["id"],
        "status": step.get("status"),
        "outcome": step.get("terminal_outcome") or "",
        "attempts": [
            {**attempt, "took": _span(attempt, now)} for attempt in step.get("attempts") or ()
        ],
        "most": step.get("max_attempts") or 1,
        "started_at": step.get("started_at"),
        "took": _span(step, now),
        "note": _note(step, now),
    }


def _note(step: Mapping[str, Any], now: float) -> str:
    blocked = [
        str(one.get("from")) for one in step.get("blocked_on") or () if isinstance(one, dict)
    ]
    if blocked:
        more = f" and {len(blocked) - 5} more" if len(blocked) > 5 else ""
        return "waits for " + ", ".join(blocked[:5]) + more
    if step.get("status") == "retry_wait" and step.get("retry_at"):
        return f"tried again {words.ago(step['retry_at'], now)}"
    return words.one_line(step.get("terminal_reason") or step.get("last_error") or "", 300)


def _span(record: Mapping[str, Any], now: float) -> float | None:
    began = words.seconds_of(record.get("started_at"))
    ended = words.seconds_of(record.get("ended_at"))
    return None if began is None else (now if ended is None else ended) - began


async def job_events(request: Request) -> Response:
    """What happened in a job, from the beginning or behind some event."""
    record = (await api.get(request, _path(request), include="summary"))["job"]
    asked = {
        name: request.query_params.get(name, "").strip() for name in ("type", "agent", "after")
    }
    answer = await api.get(request, _path(request, "events"), limit=EVENTS_PAGE, **asked)
    events = answer["data"]
    following = answer.get("next") if len(events) == EVENTS_PAGE else None
    filters = {name: value for name, value in asked.items() if value and name != "after"}
    return await page(
        request,
        "job_events.html",
        **_frame(record, "/events"),
        asked=asked,
        events=events,
        next_page="?" + urlencode({**filters, "after": following}) if following else "",
    )


async def job_logs(request: Request) -> Response:
    """What the workers of a job wrote, and its log records."""
    answer = await api.get(request, _path(request))
    record = answer["job"]
    asked = {name: request.query_params.get(name, "").strip() for name in ("agent", "after")}
    logs = await api.get(request, _path(request, "logs"), limit=LOGS_PAGE, **asked)
    following = logs.get("next") if len(logs["data"]) == LOGS_PAGE else None
    filters = {"agent": asked["agent"]} if asked["agent"] else {}
    return await page(
        request,
        "job_logs.html",
        **_frame(record, "/logs"),
        asked=asked,
        agent_ids=[str(agent["agent_id"]) for agent in answer.get("agents") or ()],
        lines=[line for one in logs["data"] for line in log_lines(one)],
        next_page="?" + urlencode({**filters, "after": following}) if following else "",
    )


_HOWS = {"runtime": "for certain", "declared": "a message names it", "time": "by its date"}
"""How it is known who made a file."""
_LEVELS = {"ERROR": "bad", "CRITICAL": "bad", "WARN": "warn", "WARNING": "warn"}


def log_lines(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a record as lines: one, or one for each stream that a worker wrote to."""
    ts, agent = str(record.get("ts") or ""), str(record.get("agent_id") or "")
    if record.get("type") == "worker_output":
        return [
            {"ts": ts, "who": f"{agent} {stream}", "tone": tone, "text": text.rstrip("\n")}
            for stream, tone in (("stdout", "idle"), ("stderr", "warn"))
            if (text := str(record.get(stream) or ""))
        ]
    level = str(record.get("level") or "INFO").upper()
    who = " ".join(filter(None, (level.lower(), str(record.get("component") or agent))))
    text = str(record.get("message") or "") or words.one_line(record.get("payload") or "", 2000)
    return [{"ts": ts, "who": who, "tone": _LEVELS.get(level, "idle"), "text": text}]


async def job_artifacts(request: Request) -> Response:
    """The files of a run, one of them shown."""
    record = (await api.get(request, _path(request), include="summary"))["job"]
    answer = await api.get(request, _path(request, "artifacts"))
    files = [_file(one, record["job_id"]) for one in answer["data"]]
    wanted = request.query_params.get("show", "")
    chosen = next((one for one in files if one["path"] == wanted), None)
    return await page(
        request,
        "job_artifacts.html",
        **_frame(record, "/artifacts"),
        files=files,
        shown=None if chosen is None else await _preview(request, chosen),
    )


def _file(found: Mapping[str, Any], job_id: str) -> dict[str, Any]:
    path = str(found["path"])
    href = f"/api/v1/jobs/{quote(job_id, safe='')}/artifacts/{quote(path)}"
    kind = found.get("content_type") or ""
    return {"path": path, "bytes": found.get("size_bytes"), "kind": kind, "href": href}


async def _preview(request: Request, file: Mapping[str, Any]) -> dict[str, Any]:
    ending = file["path"].rpartition(".")[2].lower()
    shown = {**file, "image": ending in _IMAGES, "text": None, "cut": False}
    if shown["image"] or ending not in _TEXTS:
        return shown
    content = await api.beginning(
        request, f"{_path(request, 'artifacts')}/{quote(file['path'])}", PREVIEW_BYTES
    )
    shown["cut"] = len(content) >= PREVIEW_BYTES and (file["bytes"] or 0) > PREVIEW_BYTES
    shown["text"] = _readable(content, ending, cut=shown["cut"])
    return shown


def _readable(content: bytes, ending: str, *, cut: bool) -> str:
    if ending == "json" and not cut:
        value = api.decoded(content)
        return words.pretty(value)
    return content.decode(errors="replace")


async def job_lineage(request: Request) -> Response:
    """From which inputs, code and attempts the files of a run came."""
    record = (await api.get(request, _path(request), include="summary"))["job"]
    lineage = await api.get(request, _path(request, "lineage"))
    return await page(
        request,
        "job_lineage.html",
        **_frame(record, "/lineage"),
        lineage=lineage,
        most=MOST_ROWS,
        hows=_HOWS,
    )


def _frame(record: Mapping[str, Any], tab: str, *, can_retry: bool = False) -> dict[str, Any]:
    return {"place": "/jobs", "job": record, "tab": tab, "can_retry": can_retry}


def _path(request: Request, *more: str) -> str:
    return api.at("jobs", request.path_params["job_id"], *more)
