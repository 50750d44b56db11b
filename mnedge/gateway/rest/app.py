"""The REST API of a node: every route there is."""

from itertools import chain

from mnedge.gateway.backend import Backend
from mnedge.gateway.rest import (
    access,
    artifacts,
    blueprints,
    configuration,
    definitions,
    describing,
    events,
    jobs,
    letters,
    logs,
    models,
    observing,
    operations,
    people,
    progress,
    runs,
    steering,
    system,
)
from mnedge.gateway.rest.routing import PREFIX, Api, Route

_NOUNS = (
    jobs,
    steering,
    progress,
    events,
    logs,
    artifacts,
    people,
    letters,
    blueprints,
    definitions,
    runs,
    operations,
    models,
    observing,
    access,
    configuration,
    system,
)
_KNOWN: tuple[Route, ...] = tuple(chain.from_iterable(noun.ROUTES for noun in _NOUNS))
ROUTES: tuple[Route, ...] = (*_KNOWN, describing.route(_KNOWN))


def application(backend: Backend) -> Api:
    """Return the API as an ASGI application; it raises what the layers around it answer for."""
    return Api(ROUTES, backend)


def serves(path: str) -> bool:
    """Tell whether a path belongs to the API."""
    return path.startswith((f"{PREFIX}/", "/.well-known/")) or path in (PREFIX, "/metrics")
