"""The figures that other parts feed; made in one place, so that names and labels are the same."""

from mnedge.observe.metrics import Registry

HTTP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class HttpFigures:
    """Requests of the gateway. `route` is the template, never the path that was asked for."""

    def __init__(self, registry: Registry) -> None:
        self._requests = registry.counter(
            "http_requests_total", "Requests that were answered.", ["method", "route", "status"]
        )
        self._seconds = registry.histogram(
            "http_request_duration_seconds",
            "From a request's arrival to the end of its answer; of a stream to its beginning.",
            HTTP_SECONDS,
            ["route"],
        )

    def answered(self, method: str, route: str, status: int, took_s: float) -> None:
        """Count an answer; an unknown method is `OTHER`, an unknown route an empty one."""
        known = method if method in _METHODS else "OTHER"
        self._requests.add(1, known, route, str(status))
        self._seconds.observe(took_s, route)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class LlmFigures:
    """Requests to upstreams of the LLM adapters."""

    def __init__(self, registry: Registry) -> None:
        self.tokens = registry.counter(
            "mnedge_llm_tokens_total", "Tokens, as upstreams counted them.",
            ["adapter", "model", "kind"],
        )  # fmt: skip
        self.seconds = registry.histogram(
            "mnedge_llm_request_seconds", "How long whole answers took.", labels=["adapter"]
        )
        self.first_token_seconds = registry.histogram(
            "mnedge_llm_first_token_seconds", "Until the first piece came.", labels=["adapter"]
        )
        self.upstream = registry.gauge(
            "mnedge_upstream_state", "1 if an upstream is asked, 0 if it is left alone.",
            ["adapter"],
        )  # fmt: skip
