"""What people do with jobs from a page: each is a form, and each goes through the API."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from mnedge.gateway.console import api
from mnedge.gateway.console.faults import Handler
from mnedge.gateway.console.forms import proved_form
from mnedge.gateway.console.rendering import moved, own_path

WAIT_S = 10
"""How long a page waits for the owner of a job; what was asked stands in any case."""
STEERED = ("cancel", "pause", "resume")


def steered(verb: str) -> Handler:
    """Return what cancels, pauses or resumes a job."""

    async def steer(request: Request) -> Response:
        return await _steer(request, verb)

    return steer


async def _steer(request: Request, verb: str) -> Response:
    form = await proved_form(request)
    job_id = request.path_params["job_id"]
    reason = form.text("reason")
    body = {"reason": reason} if reason else {}
    told = await api.post(request, api.at("jobs", job_id, verb), body, wait=WAIT_S)
    # What was only asked for is shown so on the page of the job.
    return moved(own_path(form.text("back"), page_of(job_id)), verb if told["settled"] else "asked")


async def retry(request: Request) -> Response:
    """Go on with a failed job as a new one."""
    await proved_form(request)
    made = await api.post(request, api.at("jobs", request.path_params["job_id"], "retry"), {})
    return moved(page_of(job_id_of(made)), "retried")


async def respond(request: Request) -> Response:
    """Answer a request that waits for a person."""
    form = await proved_form(request)
    job_id = request.path_params["job_id"]
    comment = form.text("comment")
    body = {"decision": form.text("decision"), **({"comment": comment} if comment else {})}
    path = api.at("jobs", job_id, "human-requests", request.path_params["request_id"], "respond")
    await api.post(request, path, body)
    return moved(_without_word(own_path(form.text("back"), page_of(job_id))), "answered")


def letter(verb: str) -> Handler:
    """Return what delivers a dead letter once more, or forgets it."""

    async def disposed(request: Request) -> Response:
        form = await proved_form(request)
        job_id, message_id = request.path_params["job_id"], request.path_params["message_id"]
        await api.post(request, api.at("jobs", job_id, "dead-letters", message_id, verb), {})
        return moved(_without_word(own_path(form.text("back"), page_of(job_id))), verb)

    return disposed


def page_of(job_id: str) -> str:
    """Return the address of a job's page."""
    return f"/jobs/{quote(job_id, safe='')}"


def job_id_of(made: object) -> str:
    """Return the id of the job that an answer of the API tells of."""
    told = made if isinstance(made, dict) else {}
    return str(told.get("job_id") or told.get("run_id") or "last")


def _without_word(address: str) -> str:
    path, mark, query = address.partition("?")
    kept = "&".join(one for one in query.split("&") if one and not one.startswith("done="))
    return path + (mark + kept if kept else "")
