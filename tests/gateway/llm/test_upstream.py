import httpx
import pytest
import trio

from mnedge.config.settings import Adapter, AdapterAuth, Breaker, Route, SecretRef
from mnedge.gateway.llm.directory import Found
from mnedge.gateway.llm.refusals import (
    UpstreamAuthError,
    UpstreamOpenError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from mnedge.gateway.llm.upstream import Upstream
from tests.gateway.llm.standin import StandIn, whole

CHAT = "/v1/chat/completions"
KEY = "sk-canary-0123456789"


def upstream(standin, *, route=None, opened=None, **more):
    settings = {
        "name": "a",
        "base_url": "http://127.0.0.1:9",
        "auth": AdapterAuth(secret_ref=SecretRef(name="env", key="K")),
        **more,
    }
    adapter = Adapter(**settings)
    found = Found(adapter, route or Route(match=CHAT, timeout=10.0, retries=1), CHAT)
    client = httpx.AsyncClient(transport=standin, timeout=None)
    made = Upstream(
        adapter, client, lambda ref: KEY, now=lambda: 1000.0, opened=opened or (lambda name: None)
    )
    return made, found


async def status_of(made, found, **headers):
    async with made.asked(found, "POST", headers, b"{}") as response:
        return response.status_code


async def test_our_key_goes_there_and_the_callers_does_not(autojump_clock):
    standin = StandIn(whole())
    made, found = upstream(standin)
    given = {
        "authorization": "Bearer theirs",
        "cookie": "x=1",
        "traceparent": "00-1",
        "accept": "a/b",
    }
    assert await status_of(made, found, **given) == 200
    [request] = standin.asked
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert "cookie" not in request.headers
    assert (request.headers["traceparent"], request.headers["accept"]) == ("00-1", "a/b")
    assert str(request.url) == f"http://127.0.0.1:9{CHAT}"


@pytest.mark.parametrize("first", [whole(503), httpx.ConnectError("refused"), whole(429)])
async def test_what_may_pass_is_asked_again(autojump_clock, first):
    standin = StandIn(first, whole())
    made, found = upstream(standin)
    assert await status_of(made, found) == 200
    assert len(standin.asked) == 2


async def test_the_pause_that_the_upstream_wants_is_kept(autojump_clock):
    made, found = upstream(StandIn(whole(503, retry_after="3"), whole()))
    assert await status_of(made, found) == 200
    assert trio.current_time() == 3.0
    date = "Thu, 01 Jan 1970 00:16:44 GMT"  # 1004
    made, found = upstream(StandIn(whole(429, retry_after=date), whole()))
    assert await status_of(made, found) == 200
    assert trio.current_time() == 7.0


async def test_a_pause_beyond_the_deadline_is_not_waited_for(autojump_clock):
    made, found = upstream(StandIn(whole(503, retry_after="60"), whole()))
    with pytest.raises(UpstreamUnavailableError, match="503"):
        await status_of(made, found)
    assert trio.current_time() == 0.0


async def test_the_last_answer_is_passed_on_as_it_is(autojump_clock):
    made, found = upstream(StandIn(whole(503)))
    assert await status_of(made, found) == 503


async def test_an_upstream_that_hangs_is_given_up_in_time(autojump_clock):
    made, found = upstream(StandIn(3600.0), route=Route(match=CHAT, timeout=2.0, retries=0))
    with pytest.raises(UpstreamTimeoutError, match="2 s"):
        await status_of(made, found)
    assert trio.current_time() == 2.0


async def test_a_refused_key_is_our_affair_and_names_no_key(autojump_clock):
    made, found = upstream(StandIn(whole(401)))
    with pytest.raises(UpstreamAuthError) as refused:
        await status_of(made, found)
    assert KEY not in str(refused.value) + refused.value.hint


async def test_an_upstream_that_keeps_failing_is_left_alone_for_a_while(autojump_clock):
    opened = []
    standin = StandIn(httpx.ConnectError("refused"))
    made, found = upstream(
        standin,
        route=Route(match=CHAT, retries=0),
        breaker=Breaker(failures=2, window=30.0, open=15.0),
        opened=opened.append,
    )
    for _ in range(2):
        with pytest.raises(UpstreamUnavailableError):
            await status_of(made, found)
    with pytest.raises(UpstreamOpenError) as left_alone:
        await status_of(made, found)
    assert left_alone.value.retry_after_s == 15.0
    assert (len(standin.asked), opened) == (2, ["a"])
    standin.answers = [whole()]
    await trio.sleep(15.0)
    assert await status_of(made, found) == 200


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]"])
async def test_addresses_of_a_clouds_machinery_are_refused(autojump_clock, host):
    standin = StandIn(whole())
    made, found = upstream(standin, base_url=f"http://{host}", route=Route(match=CHAT, retries=0))
    with pytest.raises(UpstreamUnavailableError, match="may ask"):
        await status_of(made, found)
    assert standin.asked == []
