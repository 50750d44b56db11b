"""The files that pages are dressed with; each is named by its content, so browsers keep it."""

from functools import cache

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mnedge.gateway.console.faults import not_here
from mnedge.gateway.console.rendering import HEADERS, HERE, build

_KINDS = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FOR_EVER = "public, max-age=31536000, immutable"


@cache
def files() -> dict[str, bytes]:
    """Return every file by its name; only these are ever served."""
    return {
        file.name: file.read_bytes()
        for file in sorted((HERE / "static").iterdir())
        if file.suffix.removeprefix(".") in _KINDS
    }


async def alive(request: Request) -> Response:
    """Tell programs of the product, which look for a Web UI here, that one answers."""
    del request
    return JSONResponse({"status": "ok", "component": "web-ui"}, headers=HEADERS)


async def static(request: Request) -> Response:
    """Answer with a file; a browser that has it already is told so."""
    name = request.path_params["name"]
    content = files().get(name)
    if content is None:
        return await not_here(request)
    tag = f'"{build()}"'
    named = request.query_params.get("v") == build()
    headers = {
        **HEADERS,
        "etag": tag,
        "cache-control": _FOR_EVER if named else "no-cache",
    }
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=_KINDS[name.rpartition(".")[2]], headers=headers)
