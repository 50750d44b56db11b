"""Language models behind this node: their upstreams, and what was used of them."""

from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta
from starlette.responses import Response

from mnedge.gateway.llm.accounts import DAY_S
from mnedge.gateway.rest import shapes
from mnedge.gateway.rest.checking import Query
from mnedge.gateway.rest.routing import Answer, Call, Route, json_reply


class Upstream(shapes.Shape, frozen=True, kw_only=True):
    """An adapter of the configuration, as it stands."""

    name: str
    base_url: str
    mock: bool
    models: dict[str, str]
    fallback: list[str]
    busy: int
    """Requests under way."""
    state: str
    """`closed`: it is asked; `open`: it failed too often and is left alone; `half-open`."""


class Upstreams(shapes.Shape, frozen=True, kw_only=True):
    """All adapters."""

    data: list[Upstream]
    next: str | None = None


class Used(shapes.Shape, frozen=True, kw_only=True):
    """What one caller used of one model in one day."""

    day: str
    """`2026-11-26`, UTC."""
    adapter: str
    model: str
    caller: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    estimated_tokens: int
    """How many of them are a guess."""


class Usage(shapes.Shape, frozen=True, kw_only=True):
    """The accounts, by day."""

    data: list[Used]
    next: str | None = None


class UsageQuery(Query, frozen=True, kw_only=True):
    """Which accounts."""

    days: Annotated[int, Meta(ge=1, le=90, description="The last so many days.")] = 30


async def adapters(call: Call[Query, None]) -> Response:
    """Return every upstream and its state; no secret is among it."""
    return json_reply({"data": call.backend.models.states(), "next": None})


async def usage(call: Call[UsageQuery, None]) -> Response:
    """Return what was used, by day, model and caller."""
    totals = await call.backend.models.accounts.totals(days=call.query.days)
    found: list[dict[str, Any]] = [
        {
            "day": day_text(account.day),
            "adapter": account.adapter,
            "model": account.model,
            "caller": account.caller,
            "requests": total.requests,
            "prompt_tokens": total.prompt_tokens,
            "completion_tokens": total.completion_tokens,
            "estimated_tokens": total.estimated_tokens,
        }
        for account, total in totals
    ]
    return json_reply({"data": found, "next": None})


def day_text(day: int) -> str:
    """Return the date of a day counted from 1970."""
    return datetime.fromtimestamp(day * DAY_S, tz=UTC).strftime("%Y-%m-%d")


ROUTES = (
    Route(
        method="GET",
        path="/llm/adapters",
        work=adapters,
        summary="List the upstreams of language models",
        tag="models",
        answers={200: Answer(body=Upstreams)},
    ),
    Route(
        method="GET",
        path="/llm/usage",
        work=usage,
        summary="Read what was used of language models",
        tag="models",
        query=UsageQuery,
        answers={200: Answer(body=Usage)},
    ),
)
