"""The configuration as it holds, where each value comes from, and reading it again."""

from typing import Any

from msgspec import Struct
from starlette.responses import Response

from mnedge.gateway.rest import shapes
from mnedge.gateway.rest.checking import Query
from mnedge.gateway.rest.jobs import plain
from mnedge.gateway.rest.routing import Answer, Call, Route, json_reply
from mnedge.model.access import Scope


class Configuration(Struct, frozen=True, kw_only=True):
    """Settings by their names in the file; secrets are hidden."""

    file: str | None
    config: shapes.Anything
    origins: shapes.Anything


class Reloaded(Struct, frozen=True, kw_only=True):
    """What a reload came to. With `problems` nothing has changed."""

    changed: list[Any]
    """In force from now on."""
    needs_restart: list[Any]
    problems: list[Any]


async def show(call: Call[Query, None]) -> Response:
    """Return the configuration as it is now."""
    told = dict(call.backend.config_shown())
    return json_reply(
        plain(
            Configuration(
                file=told.get("file"),
                config=told.get("config", {}),
                origins=told.get("origins", {}),
            )
        )
    )


async def reload(call: Call[Query, None]) -> Response:
    """Read the configuration again; 409 and nothing changed if it is wrong."""
    found = plain(await call.backend.reload())
    told = Reloaded(
        changed=list(found.get("changed", ())),
        needs_restart=list(found.get("needs_restart", ())),
        problems=list(found.get("problems", ())),
    )
    return json_reply(told, 409 if told.problems else 200)


ROUTES = (
    Route(
        method="GET",
        path="/config",
        work=show,
        summary="See the configuration",
        tag="node",
        scope=Scope.ADMIN,
        answers={200: Answer(body=Configuration)},
    ),
    Route(
        method="POST",
        path="/config/reload",
        work=reload,
        summary="Read the configuration again",
        tag="node",
        scope=Scope.ADMIN,
        answers={200: Answer(body=Reloaded), 409: Answer(body=Reloaded)},
        noun="config",
        verb="reload",
    ),
)
