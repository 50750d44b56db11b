import httpx
import pytest

from mnedge.gateway.app import application, traced
from mnedge.gateway.problems import Problems
from mnedge.model.access import Principal, Scope
from tests.gateway.backends import a_backend


@pytest.fixture
async def asked(tmp_path):
    """Ask the application in somebody's name; return status, type and body."""

    async def ask(method, path, *, scope=Scope.ADMIN, **more):
        async with a_backend(tmp_path) as (backend, _):
            answering = application(backend)

            async def known(scope_, receive, send):
                caller = Principal(name="ada", scope=scope, kind="token")
                scope_.setdefault("state", {})["principal"] = caller
                await answering(scope_, receive, send)

            transport = httpx.ASGITransport(Problems(known, lambda: 0.0))
            async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
                answer = await client.request(method, path, **more)
                kind = answer.headers.get("content-type", "").partition(";")[0]
                return answer.status_code, kind, answer.content

    return ask


@pytest.mark.parametrize(
    "path, kind",
    [
        ("/api/v1/health", "application/json"),
        ("/metrics", "text/plain"),
        ("/v1/models", "application/json"),
        ("/sign-in", "text/html"),
    ],
)
async def test_each_path_is_answered_by_its_part(asked, path, kind):
    assert (await asked("GET", path))[:2] == (200, kind)


async def test_a_call_is_answered_as_one_whatever_its_path(asked):
    status, kind, _ = await asked(
        "POST", "/api/v1/health", headers={"content-type": "application/grpc"}
    )
    assert (status, kind) != (405, "application/problem+json")


async def test_models_are_not_for_those_who_may_only_look(asked):
    status, kind, body = await asked("GET", "/v1/models", scope=Scope.READ)
    assert (status, kind) == (403, "application/problem+json")
    assert b"auth.scope" in body


async def test_a_request_that_makes_something_is_a_span_whose_place_its_work_is_told(tmp_path):
    told = []

    async def app(scope, receive, send):
        told.append(scope["state"].get("trace_parent"))
        scope["state"]["route"] = "/api/v1/jobs"

    async with a_backend(tmp_path) as (backend, _):
        answering = traced(app, backend)
        headers = [(b"traceparent", f"00-{'a' * 32}-{'b' * 16}-01".encode())]
        for method in ("POST", "GET"):
            scope = {"type": "http", "method": method, "path": "/x", "headers": headers,
                     "state": {}}  # fmt: skip
            await answering(scope, None, None)
        (span,) = backend.spans.newest()
    assert (span.name, span.trace_id, span.parent_id) == ("POST /api/v1/jobs", "a" * 32, "b" * 16)
    assert told == [f"00-{'a' * 32}-{span.span_id}-01", None]
