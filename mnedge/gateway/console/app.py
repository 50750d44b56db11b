"""The console as an application: its pages, and what answers where there is none."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from mnedge.gateway import problems
from mnedge.gateway.backend import Backend
from mnedge.gateway.console.faults import answer_http
from mnedge.gateway.console.pictures import Plans
from mnedge.gateway.console.routes import routes


def application(backend: Backend, api: ASGIApp) -> Starlette:
    """Return what answers every address that belongs to nobody else.

    `api` is asked for what pages show and for what forms do, in the name of whoever asks here.
    """
    made = Starlette(
        routes=routes(), exception_handlers={**problems.handlers(), HTTPException: answer_http}
    )
    made.state.backend = backend
    made.state.api = api
    made.state.plans = Plans()
    return made
