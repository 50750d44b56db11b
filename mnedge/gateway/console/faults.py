"""What a browser sees when something is not there, not allowed or broken: a page, with a way on."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mnedge.errors import MnedgeError
from mnedge.gateway import problems
from mnedge.gateway.console.api import Refusal, Refused, decoded, refusal_for, refusal_of
from mnedge.gateway.console.rendering import moved, page

Handler = Callable[[Request], Awaitable[Response]]
_FOR_PROGRAMS = ("/api/", "/v1/", "/llm/", "/metrics", "/.well-known/")
_HEADINGS = {
    401: ("Not signed in", "This page takes a token."),
    403: ("Not allowed", "Your scope does not include this. The page “Who am I” tells it."),
    404: ("Not here", "There is nothing at this address."),
    409: ("Not now", "Things have moved on meanwhile: look again."),
    429: ("Too much at once", "Wait a moment, then ask again."),
    503: ("Not at present", "Something that is needed is away. Asking again later may help."),
}


def shown(handler: Handler) -> Handler:
    """Return the handler, with a page for whatever it raises that can be explained."""

    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as error:
            return await error_page(request, error)
        except MnedgeError as error:
            return await error_page(request, error)
        except Exception as error:
            return await broken(request, error)

    answered.__name__ = handler.__name__
    answered.__doc__ = handler.__doc__
    return answered


async def error_page(request: Request, error: Refused | MnedgeError) -> Response:
    """Return the page that explains the error; who is not signed in is asked to."""
    refusal = error.refusal if isinstance(error, Refused) else refusal_for(error)
    if refusal.status == 401:
        return moved(f"/sign-in?{urlencode({'next': request.url.path})}")
    heading, explained = _HEADINGS.get(
        refusal.status,
        ("It broke", "This should not have happened; the log of the daemon says more.")
        if refusal.status >= 500
        else ("It was refused", "The request cannot be done like this."),
    )
    return await page(
        request,
        "fault.html",
        status=refusal.status,
        refusal=refusal,
        heading=heading,
        explained=explained,
    )


async def not_here(request: Request) -> Response:
    """Return the page for an address that has none."""
    refusal = Refusal(
        status=404, code="console.no_page", message=f"no page is at {request.url.path}"
    )
    return await error_page(request, Refused(refusal))


async def broken(request: Request, error: Exception) -> Response:
    """Return the page for an error that nobody foresaw; the log has it under a reference."""
    tell = request.scope.get("state", {}).get("tell")
    if tell is None:  # without the layers of the gateway around it
        raise error
    status, _, body = tell(error, request.scope)
    return await error_page(request, Refused(refusal_of(status, decoded(body))))


async def answer_http(request: Request, error: Exception) -> Response:
    """Answer for Starlette's own errors: browsers get a page, programs a problem.

    A handler for `HTTPException`.
    """
    wants_page = "text/html" in request.headers.get("accept", "")
    if not wants_page or request.url.path.startswith(_FOR_PROGRAMS):
        return await problems.handlers()[HTTPException](request, error)
    if getattr(error, "status_code", 500) == 404:
        return await not_here(request)
    status = int(getattr(error, "status_code", 500))
    refusal = Refusal(status=status, message=str(getattr(error, "detail", error)))
    return await error_page(request, Refused(refusal))
