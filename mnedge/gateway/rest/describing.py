"""The description of the API, served by itself."""

from collections.abc import Sequence

import msgspec
from starlette.responses import Response

from mnedge.gateway.openapi import document
from mnedge.gateway.rest.checking import Query
from mnedge.gateway.rest.routing import JSON, Answer, Call, Route
from mnedge.gateway.rest.shapes import Anything


def route(others: Sequence[Route]) -> Route:
    """Return the route that describes all of them, and itself."""
    kept: list[bytes] = []

    async def describe(call: Call[Query, None]) -> Response:
        """Return the OpenAPI 3.1 document."""
        if not kept:
            kept.append(msgspec.json.encode(document([*others, own])))
        return Response(kept[0], 200, {"cache-control": "no-cache"}, media_type=JSON)

    own = Route(
        method="GET",
        path="/openapi.json",
        work=describe,
        summary="Describe this API",
        tag="node",
        answers={200: Answer(body=Anything)},
    )
    return own
