"""Tokens and the audit record: for administrators."""

from typing import Annotated

from msgspec import Meta
from starlette.responses import Response

from mnedge.gateway.rest import shapes
from mnedge.gateway.rest.checking import Body, Query
from mnedge.gateway.rest.paging import Paged, cursor_of, page_of, place_of
from mnedge.gateway.rest.routing import Answer, Call, Route, json_reply
from mnedge.identity.audit_file import AuditRecord
from mnedge.identity.tokens import Issued, TokenRecord
from mnedge.model.access import Scope

TokenTtl = Annotated[float, Meta(gt=0, description="Seconds; as configured unless given.")]


class NewToken(Body, frozen=True, kw_only=True):
    """Whose it is, what it may, for how long."""

    name: Annotated[str, Meta(min_length=1, max_length=63)]
    scope: Scope = Scope.READ
    ttl_s: TokenTtl | None = None


class AuditQuery(Paged, frozen=True, kw_only=True):
    """Which records."""

    action: Annotated[str, Meta(description="Only what begins so: `job.`, `token.create`.")] = ""
    actor: Annotated[str, Meta(description="Only what this caller did.")] = ""


async def issue(call: Call[Query, NewToken]) -> Response:
    """Make a token. Its text is in this answer and nowhere else."""
    body = call.body
    made = await call.backend.tokens.issue(
        body.name, body.scope, body.ttl_s, by=call.principal.name
    )
    call.concerns(f"token/{made.token_id}")
    return json_reply(made, 201, {"location": f"/api/v1/tokens/{made.token_id}"})


async def tokens(call: Call[Paged, None]) -> Response:
    """Return what is remembered of tokens, the newest first."""
    every = sorted(await call.backend.tokens.list(), key=_place, reverse=True)
    found, following = page_of(every, call.query, _place, tuple[float, str])
    return json_reply(shapes.Tokens(data=found, next=following))


def _place(one: TokenRecord) -> tuple[float, str]:
    return (one.issued_at, one.token_id)


async def revoke(call: Call[Query, None]) -> Response:
    """Take a token back; it is refused from now on."""
    return json_reply(await call.backend.tokens.revoke(call.path["token_id"]))


async def audit(call: Call[AuditQuery, None]) -> Response:
    """Return what was changed, by whom, the newest first."""
    query = call.query
    before = place_of(query.cursor, tuple[int])[0] if query.cursor else None
    found: list[AuditRecord] = []
    while len(found) < query.limit:
        batch = await call.backend.audit.newest(query.limit, before=before)
        if not batch:
            before = None
            break
        for one in batch:
            before = one.seq
            if one.action.startswith(query.action) and query.actor in ("", one.actor):
                found.append(one)
                if len(found) == query.limit:
                    break
    following = cursor_of(before) if before is not None and before > 1 else None
    return json_reply(shapes.AuditPage(data=found, next=following))


ROUTES = (
    Route(
        method="GET",
        path="/tokens",
        work=tokens,
        summary="List tokens",
        tag="access",
        scope=Scope.ADMIN,
        query=Paged,
        answers={200: Answer(body=shapes.Tokens)},
    ),
    Route(
        method="POST",
        path="/tokens",
        work=issue,
        summary="Make a token",
        tag="access",
        scope=Scope.ADMIN,
        body=NewToken,
        optional=False,
        answers={201: Answer(body=Issued, headers=("location",))},
        noun="token",
        verb="create",
    ),
    Route(
        method="DELETE",
        path="/tokens/{token_id}",
        work=revoke,
        summary="Take a token back",
        tag="access",
        scope=Scope.ADMIN,
        answers={200: Answer(body=TokenRecord)},
        refuses=(404,),
        noun="token",
        verb="revoke",
    ),
    Route(
        method="GET",
        path="/audit",
        work=audit,
        summary="Read what was changed, and by whom",
        tag="access",
        scope=Scope.ADMIN,
        query=AuditQuery,
        answers={200: Answer(body=shapes.AuditPage)},
    ),
)
