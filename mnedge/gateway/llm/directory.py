"""Which adapter serves a path and a model. Pure.

A path is served at the root, so that OpenAI's clients work unchanged, and below `/llm/<name>`.
Adapters may share a root path if each names its models and no name stands twice; one that another
names as its fallback need not.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from mnedge.config.settings import Adapter, Route
from mnedge.errors import UsageError
from mnedge.gateway.llm.refusals import ModelUnknownError, RouteUnknownError

PREFIX = "/llm/"
OPENAI = tuple(
    Route(match=f"/v1/{path}") for path in ("chat/completions", "completions", "embeddings")
)
"""The routes of an adapter that names none."""


class AdaptersInvalidError(UsageError):
    """The adapters of the configuration contradict each other."""

    code = "relay.adapters"


class Found(NamedTuple):
    """An adapter that serves a request, and how."""

    adapter: Adapter
    route: Route
    path: str
    """As the adapter's routes spell it."""


class Directory:
    """All adapters.

    Raises: AdaptersInvalidError.
    """

    def __init__(self, adapters: Sequence[Adapter]) -> None:
        self.adapters = {adapter.name: adapter for adapter in adapters}
        self._fallbacks = {name for adapter in adapters for name in adapter.fallback}
        problems = [*self._clashes(adapters)]
        if problems:
            raise AdaptersInvalidError(
                "; ".join(problems), hint="mend relay.adapters", details={"problems": problems}
            )

    def find(self, path: str, model: str | None) -> Found:
        """Return who serves the path, for this model if its adapters name models.

        Raises: RouteUnknownError, ModelUnknownError.
        """
        serving = self._serving(path)
        if not serving:
            raise _unknown(path, bool(self.adapters))
        return self._for_model(serving, model)

    def most_body(self, path: str, method: str) -> int:
        """Return how many bytes a request to this path may have.

        Raises: RouteUnknownError if nobody serves the path by this method.
        """
        serving = [found for found in self._serving(path) if method in found.route.methods]
        if not serving:
            raise _unknown(path, bool(self.adapters))
        return max(found.route.max_body for found in serving)

    def others(self, found: Found) -> Iterator[Found]:
        """Yield who may serve the request instead, in order."""
        for name in found.adapter.fallback:
            for route in routes_of(self.adapters[name]):
                if _matches(route.match, found.path):
                    yield Found(self.adapters[name], route, found.path)
                    break

    def _serving(self, path: str) -> list[Found]:
        candidates = list(self.adapters.values())
        if path.startswith(PREFIX):
            name, _, rest = path.removeprefix(PREFIX).partition("/")
            candidates = [self.adapters[name]] if name in self.adapters else []
            path = f"/{rest}"
        return [
            Found(adapter, route, path)
            for adapter in candidates
            for route in routes_of(adapter)
            if _matches(route.match, path)
        ]

    def _for_model(self, serving: list[Found], model: str | None) -> Found:
        for found in serving:
            if model is not None and model in found.adapter.models:
                return found
        anything = [found for found in serving if not found.adapter.models]
        for found in sorted(anything, key=lambda one: one.adapter.name in self._fallbacks):
            return found
        known = sorted({name for found in serving for name in found.adapter.models})
        raise ModelUnknownError(
            f"no model is called {model!r}" if model else "the request names no model",
            hint="there is " + ", ".join(known[:10]),
            details={"param": "model", "models": known[:100]},
        )

    def _clashes(self, adapters: Sequence[Adapter]) -> Iterator[str]:
        if len(self.adapters) < len(adapters):
            yield "two adapters have one name"
        for name in sorted(self._fallbacks - set(self.adapters)):
            yield f"fallback {name!r} is no adapter"
        claimed: dict[tuple[str, str], str] = {}
        for adapter in adapters:
            if adapter.name in self._fallbacks:
                continue
            for route in routes_of(adapter):
                for model in adapter.models or ("",):
                    before = claimed.setdefault((route.match, model), adapter.name)
                    if before != adapter.name:
                        what = f"{route.match} for {model!r}" if model else route.match
                        yield f"{before} and {adapter.name} both claim {what}"


def routes_of(adapter: Adapter) -> Sequence[Route]:
    """Return what the adapter serves."""
    return adapter.routes or OPENAI


def upstream_url(adapter: Adapter, path: str) -> str:
    """Return where a path of the adapter lies at its upstream; a shared beginning stands once."""
    base = adapter.base_url.rstrip("/")
    lead = urlsplit(base).path
    if lead and (path == lead or path.startswith(f"{lead}/")):
        base = base.removesuffix(lead)
    return base + path


def _unknown(path: str, any_adapter: bool) -> RouteUnknownError:
    return RouteUnknownError(
        f"no model is served at {path}",
        hint="relay.adapters lists the routes" if any_adapter else "configure relay.adapters",
    )


def _matches(pattern: str, path: str) -> bool:
    if pattern.endswith("*"):
        return path.startswith(pattern[:-1])
    return path == pattern
