"""What waits for somebody, and what is kept to be started again."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from mnedge.gateway.console import api
from mnedge.gateway.console.forms import proved_form
from mnedge.gateway.console.job_actions import job_id_of, page_of
from mnedge.gateway.console.rendering import moved, page


async def approvals(request: Request) -> Response:
    """All requests that wait for a person."""
    answer = await api.get(request, "/human-requests")
    return await page(request, "approvals.html", place="/approvals", asks=answer["data"])


async def letters(request: Request) -> Response:
    """All messages that reached nobody."""
    answer = await api.get(request, "/dead-letters")
    return await page(request, "letters.html", place="/dead-letters", letters=answer["data"])


async def definitions(request: Request) -> Response:
    """All definitions."""
    answer = await api.get(request, "/definitions", limit=500)
    rows = [definition_row(one) for one in answer["data"]]
    return await page(request, "definitions.html", place="/definitions", rows=rows)


async def definition(request: Request) -> Response:
    """One definition, with its jobs."""
    path = api.at("definitions", request.path_params["definition_id"])
    document = await api.get(request, path)
    runs = await api.get(request, f"{path}/runs")
    return await page(
        request,
        "definition.html",
        place="/definitions",
        row=definition_row(document),
        document=document,
        runs=runs["data"],
    )


async def run_definition(request: Request) -> Response:
    """Start a job from a definition."""
    await proved_form(request)
    path = api.at("definitions", request.path_params["definition_id"], "runs")
    made = await api.post(request, path, {})
    return moved(page_of(job_id_of(made)), "submitted")


async def archive_definition(request: Request) -> Response:
    """Put a definition away."""
    await proved_form(request)
    definition_id = request.path_params["definition_id"]
    await api.post(request, api.at("definitions", definition_id, "archive"), {})
    return moved(f"/definitions/{quote(definition_id, safe='')}", "archive")


def definition_row(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition as lists show it."""
    return {
        "id": found["definition_id"],
        "name": found.get("job_name") or "",
        "status": found.get("status") or "active",
        "blueprint_id": found.get("blueprint_id") or "",
        "updated_at": found.get("updated_at"),
    }
