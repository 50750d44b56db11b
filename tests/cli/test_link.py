"""Refusals as errors, and streams that are cut."""

import ssl

import httpx
import msgspec
import pytest

from mnedge.cli.link import DaemonAwayError, DaemonStrangeError, Link, told
from mnedge.errors import ConflictError, NotAllowedError, NotFoundError, OverloadedError, UsageError


def refusal(status, code="x.y", **more):
    problem = {"status": status, "code": code, "detail": "no", "hint": "mend", "details": {"a": 1}}
    return httpx.Response(status, content=msgspec.json.encode(problem), **more)


def link(answer):
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://node")
    return Link(client, "edge")


@pytest.mark.parametrize(
    "status, family, exit_code",
    [
        (400, UsageError, 2),
        (422, UsageError, 2),
        (401, NotAllowedError, 13),
        (403, NotAllowedError, 13),
        (404, NotFoundError, 2),
        (409, ConflictError, 1),
    ],
)
def test_a_refusal_is_the_error_that_it_would_be_here(status, family, exit_code):
    error = told(refusal(status, "job.status"), "edge")
    assert isinstance(error, family)
    assert (error.code, error.exit_code) == ("job.status", exit_code)
    assert (error.message, error.hint, error.details) == ("no", "mend", {"a": 1})


def test_who_is_overloaded_says_when_to_come_back():
    error = told(refusal(429, headers={"retry-after": "7"}), "edge")
    assert isinstance(error, OverloadedError)
    assert error.retry_after_s == 7


def test_somebody_else_s_answer_is_no_daemon_s():
    assert isinstance(told(httpx.Response(502, content=b"<html>"), "edge"), DaemonStrangeError)


async def test_an_answer_that_is_no_json_is_strange():
    with pytest.raises(DaemonStrangeError):
        await link(lambda request: httpx.Response(200, content=b"hello")).get("/health")


async def test_a_certificate_that_nobody_vouches_for_is_told_as_such():
    def refuse(request):
        reason = ssl.SSLCertVerificationError(1, "no")
        reason.verify_message = "self-signed certificate"
        raise httpx.ConnectError("") from reason

    with pytest.raises(DaemonAwayError, match="is not trusted") as caught:
        await link(refuse).get("/health")
    assert "--fingerprint" in caught.value.hint


async def test_all_pages_are_read_and_no_more_than_wanted():
    asked = []

    def answer(request):
        asked.append(dict(request.url.params))
        at = int(request.url.params.get("cursor", "0"))
        size = int(request.url.params["limit"])
        data = list(range(at, min(at + size, 700)))
        following = str(at + size) if at + size < 700 else None
        return httpx.Response(200, json={"data": data, "next": following})

    assert await link(answer).every("/jobs") == list(range(700))
    assert await link(answer).every("/jobs", limit=3, status=None) == [0, 1, 2]
    assert asked[-1] == {"limit": "3"}


async def test_a_stream_goes_on_where_it_was_cut(autojump_clock):
    pieces = {
        "0": b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n",
        "2": b"id: 3\ndata: c\n\nevent: end\ndata: {}\n\n",
    }
    asked, seen, changes = [], [], []

    def answer(request):
        mark = request.headers["last-event-id"]
        asked.append(mark)
        if len(asked) == 2:
            raise httpx.ConnectError("away")
        return httpx.Response(200, content=pieces[mark])

    there = link(answer)
    there.on_change = changes.append
    await there.stream("/jobs/j/events/stream", "0", lambda frames: seen.extend(frames))
    assert [frame.data for frame in seen] == [b"a", b"b", b"c"]
    assert asked == ["0", "2", "2"]
    assert changes == [False, True]


async def test_a_stream_that_stays_away_is_given_up(autojump_clock):
    def refuse(request):
        raise httpx.ConnectError("away")

    with pytest.raises(DaemonAwayError):
        await link(refuse).stream("/x", "0", lambda frames: None)


async def test_a_stream_that_is_refused_says_why(autojump_clock):
    with pytest.raises(NotFoundError):
        await link(lambda request: refusal(404)).stream("/x", "0", lambda frames: None)
