import httpx
import pytest

from mnedge.gateway.app import application
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
