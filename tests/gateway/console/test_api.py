import pytest

from mnedge.errors import NotFoundError
from mnedge.gateway.console import api


def test_segments_of_a_path_stay_one_segment():
    assert api.at("jobs", "a/b", "dead-letters", "x?y") == "/jobs/a%2Fb/dead-letters/x%3Fy"


def test_a_refusal_is_read_from_a_problem_and_from_whatever_else_came():
    problem = {"detail": "no", "code": "job.status", "hint": "wait", "errors": [{"path": "a"}, 3]}
    refusal = api.refusal_of(409, problem)
    assert (refusal.message, refusal.code, refusal.hint) == ("no", "job.status", "wait")
    assert refusal.problems == ({"path": "a"},)
    assert api.refusal_of(502, "odd").message == "odd"
    assert api.refusal_of(502, None).message == "no more is known"


def test_what_is_no_json_is_text():
    assert api.decoded(b"") is None
    assert api.decoded(b'{"a": 1}') == {"a": 1}
    assert api.decoded(b"plain \xff") == "plain \ufffd"


async def test_the_api_is_asked_in_the_name_of_whoever_asks_here():
    seen = {}

    async def answering(scope, receive, send):
        seen.update(scope, body=(await receive())["body"])
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b'{"a"', "more_body": True})
        await send({"type": "http.response.body", "body": b": 1}"})

    assert await api.post(_request(answering), "/jobs/a%20b", {"x": 1}, wait=3, no=None) == {"a": 1}
    assert (seen["method"], seen["path"]) == ("POST", "/api/v1/jobs/a b")
    assert seen["raw_path"] == b"/api/v1/jobs/a%20b"
    assert seen["query_string"] == b"wait=3"
    assert seen["state"]["principal"] == "ada"
    assert b"cookie" not in dict(seen["headers"])
    assert seen["body"] == b'{"x":1}'


async def test_what_the_api_refuses_or_raises_is_a_refusal():
    async def answering(scope, receive, send):
        del receive
        if scope["path"].endswith("/raised"):
            raise NotFoundError("gone", hint="look elsewhere")
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b'{"code": "job.not_found"}'})

    with pytest.raises(api.Refused) as refused:
        await api.get(_request(answering), "/jobs/x")
    assert refused.value.refusal.code == "job.not_found"
    with pytest.raises(api.Refused) as refused:
        await api.get(_request(answering), "/raised")
    assert refused.value.refusal.hint == "look elsewhere"


def _request(answering):
    from starlette.applications import Starlette
    from starlette.requests import Request

    app = Starlette()
    app.state.api = answering
    return Request(
        {
            "type": "http",
            "app": app,
            "method": "GET",
            "path": "/",
            "query_string": b"",
            "headers": [(b"cookie", b"a=b"), (b"host", b"node")],
            "state": {"principal": "ada"},
        }
    )
