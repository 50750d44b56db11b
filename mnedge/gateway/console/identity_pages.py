"""Who is there: signing in with a token, out again, and what one may do."""

from starlette.requests import Request
from starlette.responses import Response

from mnedge.errors import MnedgeError
from mnedge.gateway.auth import known, refuse_other_origins, session_cookie
from mnedge.gateway.console.api import Refusal, refusal_for
from mnedge.gateway.console.forms import proved_form, read_form
from mnedge.gateway.console.rendering import (
    THEMES,
    backend_of,
    bare_page,
    moved,
    own_path,
    page,
)
from mnedge.model.access import Scope

SESSION_S = 12 * 3600
"""For how long a browser keeps the cookie; the token in it may end earlier."""
_TOLD = {
    Scope.READ: "look at everything but secrets",
    Scope.OPERATE: "look, submit, steer and answer jobs",
    Scope.ADMIN: "everything, tokens and the audit record among it",
}


async def sign_in_page(request: Request) -> Response:
    """The form that takes a token."""
    return _sign_in(request, request.query_params.get("next", "/"))


def _sign_in(request: Request, wanted: str, refusal: Refusal | None = None) -> Response:
    status = 200 if refusal is None else refusal.status
    return bare_page(request, "sign_in.html", status=status, refusal=refusal, next=own_path(wanted))


async def sign_in(request: Request) -> Response:
    """Keep a token that is good in a cookie of the browser."""
    refuse_other_origins(request)
    form = await read_form(request)
    token, wanted = form.text("token"), form.text("next")
    try:
        await backend_of(request).tokens.verify(token)
    except MnedgeError as error:
        request.scope["state"]["tell"](
            error, request.scope
        )  # a denial like any other: written down
        return _sign_in(request, wanted, refusal_for(error))
    response = moved(own_path(wanted))
    response.headers["set-cookie"] = session_cookie(request, token, SESSION_S)
    return response


async def sign_out(request: Request) -> Response:
    """Take the cookie away."""
    await proved_form(request)
    response = moved("/sign-in")
    response.headers["set-cookie"] = session_cookie(request, "", 0)
    return response


async def who_am_i(request: Request) -> Response:
    """Whom the node takes the caller for."""
    who = known(request.scope)
    return await page(
        request, "whoami.html", place="/whoami", scope_told="" if who is None else _TOLD[who.scope]
    )


async def theme(request: Request) -> Response:
    """Remember light or dark in the browser; for those without scripts."""
    form = await proved_form(request)
    chosen = form.text("theme")
    response = moved(own_path(form.text("back")))
    if chosen in THEMES:
        secure = "; Secure" if request.url.scheme == "https" else ""
        response.headers["set-cookie"] = (
            f"theme={chosen}; Path=/; Max-Age=31536000; SameSite=Strict{secure}"
        )
    return response
