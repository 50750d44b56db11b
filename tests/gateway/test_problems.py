"""Whatever goes wrong becomes an answer that says what, and gives nothing away."""

import json
import logging

import pytest

from mnedge.errors import ConflictError, MnedgeError, OverloadedError, UnavailableError, UsageError
from mnedge.gateway.connection import Connection, state_of
from mnedge.gateway.problems import BrokenAnswerError, Problems, handlers, problem_of
from mnedge.identity.refusals import ScopeTooSmallError, TokenInvalidError, TokenMissingError

NOW = 1_800_000_000.0


def a_scope(**headers):
    return {
        "type": "http",
        "method": "GET",
        "path": "/x",
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
        "state": state_of(Connection(listener="http")),
    }


async def answer(error=None, *, begun=False, scope=None, **more):
    """Return status, headers and document of what the layer answers."""
    sent = []

    async def sending(message):
        sent.append(message)

    async def app(scope, receive, send):
        if begun or error is None:
            start = {"type": "http.response.start", "status": 200, "headers": [(b"X-Own", b"1")]}
            await send(start)
        if error is not None:
            raise error
        await send({"type": "http.response.body", "body": b"{}"})

    await Problems(app, lambda: NOW, **more)(scope or a_scope(), None, sending)
    body = b"".join(message.get("body", b"") for message in sent)
    told = json.loads(body) if body else None
    return sent[0]["status"], dict(sent[0]["headers"]), told


async def test_an_error_that_mnedge_knows_says_what_it_is():
    error = ConflictError("it moved", hint="read it again", details={"job_id": "x", "at": 3})
    status, headers, told = await answer(error)
    assert status == told["status"] == 409
    assert headers[b"content-type"] == b"application/problem+json"
    assert told["type"] == "urn:mnedge:error:conflict"
    assert (told["detail"], told["hint"], told["code"]) == ("it moved", "read it again", "conflict")
    assert told["details"] == {"job_id": "x", "at": 3}
    envelope = told["error"]
    assert envelope["schema_version"] == "mn.error.v1"
    assert envelope["code"] == "conflict"
    assert envelope["details"]["message"] == "it moved"
    assert envelope["remediation"] == "read it again"
    assert envelope["occurred_at"].startswith("2027-01-15")
    assert headers[b"x-request-id"].decode() == told["request_id"]


async def test_what_nobody_foresaw_gets_a_reference_and_the_log_gets_the_rest(caplog):
    with caplog.at_level(logging.ERROR):
        status, _, told = await answer(RuntimeError("password=hunter2"))
    assert status == 500
    assert "hunter2" not in json.dumps(told)
    assert "RuntimeError" not in json.dumps(told)
    assert told["details"]["reference"] in caplog.text
    assert "hunter2" in caplog.text


async def test_groups_are_told_by_what_is_in_them():
    group = ExceptionGroup("g", [ExceptionGroup("h", [UsageError("mend it")])])
    assert (await answer(group))[0] == 400
    mixed = ExceptionGroup("g", [UsageError("mend it"), ValueError("x")])
    assert (await answer(mixed))[0] == 500


async def test_refusals_carry_what_clients_act_on():
    _, headers, _ = await answer(OverloadedError("later", retry_after_s=1.2))
    assert headers[b"retry-after"] == b"2"
    _, headers, _ = await answer(UnavailableError("away"))
    assert headers[b"retry-after"] == b"5"
    _, headers, _ = await answer(TokenMissingError("who?"))
    assert headers[b"www-authenticate"] == b'Bearer realm="mnedge"'
    _, headers, _ = await answer(TokenInvalidError("no"))
    assert b'error="invalid_token"' in headers[b"www-authenticate"]
    small = ScopeTooSmallError("no", details={"needed": "admin"})
    status, headers, _ = await answer(small)
    assert status == 403
    assert b'scope="admin"' in headers[b"www-authenticate"]


async def test_every_answer_has_the_security_headers_and_keeps_its_own():
    status, headers, _ = await answer()
    assert status == 200
    assert headers[b"x-own"] == b"1"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"x-frame-options"] == b"DENY"
    assert b"content-security-policy" not in headers


async def test_a_request_id_is_kept_if_it_is_harmless():
    _, headers, _ = await answer(scope=a_scope(x_request_id="abc-1.2"))
    assert headers[b"x-request-id"] == b"abc-1.2"
    _, headers, _ = await answer(scope=a_scope(x_request_id="a b\tc"))
    assert headers[b"x-request-id"].startswith(b"req_")


async def test_an_answer_that_broke_off_breaks_the_connection(caplog):
    with pytest.raises(BrokenAnswerError):
        await answer(ValueError("late"), begun=True)
    assert "late" in caplog.text


async def test_a_call_is_refused_in_trailers():
    sent = []

    async def sending(message):
        sent.append(message)

    async def app(scope, receive, send):
        raise TokenMissingError("who?")

    call = a_scope(content_type="application/grpc") | {"http_version": "2"}
    await Problems(app, lambda: NOW)(call, None, sending)
    trailers = dict(sent[-1]["headers"])
    assert sent[0]["status"] == 200
    assert trailers[b"grpc-status"] == b"16"


async def test_a_call_over_http_1_is_refused_as_any_request_because_it_has_no_trailers():
    call = a_scope(content_type="application/grpc-web") | {"http_version": "1.1"}
    status, headers, told = await answer(TokenMissingError("who?"), scope=call)
    assert (status, told["code"]) == (401, "auth.missing")
    assert headers[b"content-type"] == b"application/problem+json"


async def test_denials_are_seen_and_secrets_are_not():
    seen = []
    _, _, told = await answer(
        TokenMissingError("token hunter2"),
        on_denied=lambda error, scope, at: seen.append((error.code, at)),
        redact=lambda text: text.replace("hunter2", "…"),
    )
    assert seen == [("auth.missing", NOW)]
    assert told["detail"] == "token …"


def test_many_problems_are_listed_alike():
    problems = [
        {
            "rule": "E-02",
            "message": "no agent",
            "help": "name one",
            "location": {"source": "config/default.json", "path": "nodes[0]", "pointer": "/x"},
        },
        {"rule": "", "message": "too long", "hint": "shorten it", "path": "name"},
    ]
    told = problem_of(UsageError("bad", details={"problems": problems}), request_id="r", at=NOW)
    assert told["errors"] == [
        {
            "path": "config/default.json: nodes[0]",
            "message": "no agent",
            "hint": "name one",
            "rule": "E-02",
        },
        {"path": "name", "message": "too long", "hint": "shorten it", "rule": ""},
    ]
    assert "problems" not in told["details"]


async def test_starlette_s_own_errors_are_problems_too():
    import httpx
    from starlette.applications import Starlette
    from starlette.routing import Route

    async def broken(request):
        raise RuntimeError("hunter2")

    async def known(request):
        raise ConflictError("moved")

    app = Starlette(
        routes=[Route("/broken", broken), Route("/known", known)], exception_handlers=handlers()
    )
    transport = httpx.ASGITransport(Problems(app, lambda: NOW), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        for method, path, status, code in (
            ("GET", "/nothing", 404, "http.not_found"),
            ("POST", "/known", 405, "http.method_not_allowed"),
            ("GET", "/known", 409, "conflict"),
            ("GET", "/broken", 500, "internal.unforeseen"),
        ):
            reply = await client.request(method, path)
            assert (reply.status_code, reply.json()["code"]) == (status, code)
            assert reply.headers["content-type"] == "application/problem+json"
            assert "hunter2" not in reply.text
        assert "GET" in (await client.post("/known")).headers["allow"]
    assert issubclass(ConflictError, MnedgeError)
