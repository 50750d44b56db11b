"""Pages from templates: escaped, the same frame around each, the same headers on each."""

import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

import mnedge
from mnedge.gateway.auth import csrf_token, is_local_path, known
from mnedge.gateway.backend import Backend
from mnedge.gateway.console import words
from mnedge.model.access import Scope
from mnedge.runtime import jobs

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""What a page may load: what comes from here, and nothing that stands in the page itself."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
DONE = {
    "submitted": "The job is submitted.",
    "asked": "It is asked for; the owner of the job has not acted on it yet.",
    "cancel": "The job is cancelled.",
    "pause": "The job is paused.",
    "resume": "The job goes on.",
    "retried": "This job goes on from where the other one failed.",
    "answered": "The answer is given.",
    "retry": "The message is delivered once more.",
    "discard": "The message is forgotten.",
    "archive": "The definition is archived.",
    "silence": "The alert is silenced.",
    "test": "A test of the alert is sent.",
}
"""What a page says after something was done; the address only carries the word."""
THEMES = ("auto", "light", "dark")


def backend_of(request: Request) -> Backend:
    """Return what the node is made of."""
    backend: Backend = request.app.state.backend
    return backend


def may(request: Request, scope: Scope) -> bool:
    """Tell whether whoever asks has this scope; what is done is checked once more by the API."""
    who = known(request.scope)
    return who is not None and who.may(scope)


async def page(
    request: Request, template: str, *, status: int = 200, place: str = "", **context: Any
) -> Response:
    """Return a page; `place` is the entry of the menu that it belongs to."""
    waiting = await waiting_for_people(request)
    return bare_page(
        request,
        template,
        status=status,
        places=menu(waiting),
        place=place,
        waiting=waiting,
        **context,
    )


def bare_page(request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
    """Return a page, without asking the store for anything."""
    backend = backend_of(request)
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    frame = {
        "now": backend.now(),
        "node": backend.config.node,
        "version": mnedge.__version__,
        "build": build(),
        "theme": theme_of(request),
        "who": known(request.scope),
        "may_operate": may(request, Scope.OPERATE),
        "csrf": csrf_token(request),
        "here": here,
        "offset_s": -(time.altzone if time.localtime(backend.now()).tm_isdst else time.timezone),
        "done": DONE.get(request.query_params.get("done", "")),
        "refusal": None,
        "places": menu(0),
        "place": "",
    }
    text = environment().get_template(template).render({**frame, **context})
    return HTMLResponse(text, status, {**HEADERS, "cache-control": "no-store"})


def theme_of(request: Request) -> str:
    """Return the theme that was chosen in this browser."""
    chosen = request.cookies.get("theme", "auto")
    return chosen if chosen in THEMES else "auto"


async def waiting_for_people(request: Request) -> int:
    """Return how many requests wait for a person, as the records of unfinished jobs say."""
    store = backend_of(request).store
    count = 0
    for job_id in await jobs.open_jobs(store):
        try:
            count += (await jobs.read_job(store, job_id)).waiting_for_human
        except (jobs.JobNotFoundError, jobs.JobUnreadableError):
            continue
    return count


def menu(waiting: int) -> list[tuple[str, list[tuple[str, str, int]]]]:
    """Return the menu: under headings, where it leads, what it is called, how much waits there."""
    return [
        (
            "Work",
            [
                ("/", "Overview", 0),
                ("/jobs", "Jobs", 0),
                ("/approvals", "Approvals", waiting),
                ("/dead-letters", "Dead letters", 0),
            ],
        ),
        (
            "Start",
            [
                ("/blueprints", "Blueprints", 0),
                ("/definitions", "Definitions", 0),
                ("/submit", "Submit a bundle", 0),
            ],
        ),
        (
            "Node",
            [
                ("/nodes", "Nodes", 0),
                ("/resources", "Resources", 0),
                ("/slo", "SLOs and alerts", 0),
                ("/audit", "Audit", 0),
            ],
        ),
        ("Help", [("/manual", "Manual", 0)]),
    ]


def moved(address: str, done: str = "") -> Response:
    """Send the browser on, with a word about what was done."""
    if done:
        path, mark, fragment = address.partition("#")
        address = f"{path}{'&' if '?' in path else '?'}done={done}{mark}{fragment}"
    response = RedirectResponse(address, 303)
    MutableHeaders(raw=response.raw_headers).update(HEADERS)
    return response


def own_path(wanted: str, otherwise: str = "/") -> str:
    """Return the path if it leads to a page of this node, else another one."""
    return wanted if is_local_path(wanted) and "\\" not in wanted else otherwise


@cache
def build() -> str:
    """Return a word that changes whenever a static file does."""
    from hashlib import sha256

    content = b"".join(file.read_bytes() for file in sorted((HERE / "static").iterdir()))
    return sha256(content).hexdigest()[:12]


@cache
def environment() -> "Environment":
    """Return the templates; made when the first page is asked for."""
    from jinja2 import Environment, FileSystemLoader

    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "look": words.look,
        "ago": words.ago,
        "moment": words.moment,
        "clock": words.clock,
        "iso": words.iso,
        "duration": words.duration,
        "size": words.size,
        "number": words.number,
        "counted": words.counted,
        "one_line": words.one_line,
        "pretty": words.pretty,
        "shown_status": words.shown_status,
        "took": words.took,
        "why": words.why,
        "event_tone": words.event_tone,
        "told": words.told,
        "tojson_plain": _json,
    }
    return made


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
