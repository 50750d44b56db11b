"""Work on many jobs at once, or on the node, followed while it goes on."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from mnedge.gateway.rest import shapes
from mnedge.gateway.rest.checking import Query, Wrong, refused, tree_of
from mnedge.gateway.rest.events import LAST_ID
from mnedge.gateway.rest.jobs import plain
from mnedge.gateway.rest.routing import EVENT_STREAM, JSON, Answer, Call, Route, json_reply
from mnedge.gateway.rest.streaming import EventStream, Pulse, Write, frame, wants_stream
from mnedge.model.access import Scope


class Operation(Struct, frozen=True, kw_only=True):
    """How far an operation has come."""

    operation_id: str
    kind: str
    status: str
    target_count: int
    counters: shapes.Anything


class FollowQuery(Query, frozen=True, kw_only=True):
    """From where on."""

    after_sequence: Annotated[int, Meta(ge=0, lt=10**8)] = 0


async def start(call: Call[Query, bytes]) -> Response:
    """Begin an operation; the body holds its options."""
    options = tree_of(call.body) if call.body.strip() else {}
    if not isinstance(options, dict):
        raise refused([Wrong(path="body", message="expected an object")])
    one = await call.backend.operations.start(
        call.path["operation"], options, by=call.principal.name
    )
    call.concerns(f"operation/{one.operation_id}")
    place = f"/api/v1/operations/{one.operation_id}"
    return json_reply(plain(one.shown()), 202, {"location": place})


async def look(call: Call[Query, None]) -> Response:
    """Return an operation as it is now."""
    one = await call.backend.operations.get(call.path["operation"])
    return json_reply(plain(one.shown()))


async def events(call: Call[FollowQuery, None]) -> Response:
    """Return what happened to the items, as a list or as a stream that ends with the operation."""
    operations, wanted = call.backend.operations, call.path["operation"]
    after = call.query.after_sequence
    told = call.request.headers.get(LAST_ID, "")
    if told.isascii() and told.isdecimal() and len(told) < 9:
        after = int(told)
    if not wants_stream(call.request):
        found = await operations.events(wanted, after=after)
        last = str(found[-1]["sequence"]) if found else str(after)
        return json_reply(plain(shapes.Records(data=found, next=last)))
    await operations.get(wanted)

    async def tell(write: Write, pulse: Pulse) -> None:
        del pulse

        async def one(event: dict[str, Any]) -> None:
            content = msgspec.json.encode(event)
            kind = str(event.get("type") or "")
            await write(frame(content, event=kind, mark=str(event["sequence"])))

        with call.backend.feed.counted():
            await operations.follow(wanted, one, after)
        ended = await operations.get(wanted)
        await write(frame(msgspec.json.encode(plain(ended.shown())), event="end"))

    return EventStream(tell)


ROUTES = (
    Route(
        method="POST",
        path="/operations/{operation}",
        work=start,
        summary="Begin an operation",
        tag="operations",
        scope=Scope.OPERATE,
        body=shapes.Anything,
        raw=True,
        answers={202: Answer(body=Operation, headers=("location",))},
        refuses=(404, 413),
        noun="operation",
        verb="start",
        once=True,
    ),
    Route(
        method="GET",
        path="/operations/{operation}",
        work=look,
        summary="Look at an operation",
        tag="operations",
        answers={200: Answer(body=Operation)},
        refuses=(404,),
    ),
    Route(
        method="GET",
        path="/operations/{operation}/events",
        work=events,
        summary="Follow an operation",
        tag="operations",
        query=FollowQuery,
        answers={200: Answer(body=shapes.Records, media=(JSON, EVENT_STREAM))},
        refuses=(404, 429),
        headers=((LAST_ID, "The sequence of the last event that the client has."),),
    ),
)
