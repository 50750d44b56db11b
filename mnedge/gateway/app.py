"""Everything a node answers, by what a request is for: models, calls, the API, pages."""

from collections.abc import Callable

from mnedge.gateway.auth import require
from mnedge.gateway.backend import Backend
from mnedge.gateway.connection import App, Receive, Send, is_grpc
from mnedge.gateway.connection import Scope as AsgiScope
from mnedge.gateway.llm.endpoint import Endpoint
from mnedge.model.access import Scope
from mnedge.observe.traces import intent

_MODELS_BELOW = ("/v1/", "/llm/")
_API_BELOW = ("/api/", "/.well-known/")


def application(backend: Backend) -> App:
    """Return the application that stands behind `guard.guarded`.

    Each part is loaded when it is asked for the first time: most nodes see few of them.
    """
    parts: dict[str, App] = {}

    def part(name: str, make: Callable[[], App]) -> App:
        made = parts.get(name)
        if made is None:
            made = parts[name] = make()
        return made

    def api() -> App:
        from mnedge.gateway.rest.app import application

        return application(backend)

    def console() -> App:
        from mnedge.gateway.console.app import application

        return application(backend, part("api", api))

    def calls() -> App:
        from mnedge.gateway.grpc.app import application

        return application(backend)

    def models() -> App:
        return Endpoint(backend.models, lambda scope: require(scope, Scope.OPERATE).name)

    async def dispatch(scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = str(scope["path"])
        if is_grpc(scope):
            answering = part("calls", calls)
        elif path.startswith(_MODELS_BELOW):
            require(scope, Scope.OPERATE)
            scope["state"]["route"] = "models"
            answering = part("models", models)
        elif path.startswith(_API_BELOW) or path == backend.config.trace.metrics.prometheus.path:
            answering = part("api", api)
        else:
            answering = part("console", console)
        await answering(scope, receive, send)

    return traced(dispatch, backend)


def traced(app: App, backend: Backend) -> App:
    """Return the application with a span for every request that may change something.

    What it makes is told its place in the trace: `scope["state"]["trace_parent"]`.
    """

    async def tracing(scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await app(scope, receive, send)
            return
        asked = next((value for key, value in scope["headers"] if key == b"traceparent"), b"")
        with intent(backend.spans, "POST", asked.decode("latin-1"), backend.now) as request:
            state = scope.setdefault("state", {})
            state["trace_parent"] = str(request.context)
            await app(scope, receive, send)
            request.name = f"POST {state.get('route') or '/' + scope['path'].split('/')[1]}"

    return tracing
