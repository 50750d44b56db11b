"""How often somebody may ask: a bucket for each, no matter how many there are."""

import pytest
import trio

from mnedge.config.settings import RateLimit
from mnedge.gateway.connection import Connection, state_of
from mnedge.gateway.limits import Buckets, Limits, TooOftenError, caller_of
from mnedge.model.access import Principal, Scope

LIMIT = RateLimit(requests_per_second=50, burst=100)


def a_scope(principal=None, address="10.0.0.1", listener="http"):
    connection = Connection(listener=listener, address=address)
    state = state_of(connection) | {"principal": principal}
    return {"type": "http", "method": "GET", "path": "/", "headers": [], "state": state}


def token(name):
    return Principal(name=f"token:{name}", scope=Scope.READ, kind="token")


def test_ten_times_too_much_gets_through_as_often_as_allowed():
    buckets = Buckets()
    allowed = sum(buckets.take("a", LIMIT, n / 500).allowed for n in range(10_000))
    assert allowed == pytest.approx(100 + 50 * 20, rel=0.01)


def test_a_refusal_says_when_the_next_one_is_taken():
    buckets = Buckets()
    for _ in range(100):
        assert buckets.take("a", LIMIT, 0.0).allowed
    refused = buckets.take("a", LIMIT, 0.0)
    assert (refused.allowed, refused.left) == (False, 0)
    assert buckets.take("a", LIMIT, refused.retry_after_s).allowed
    assert buckets.take("b", LIMIT, 0.0).allowed


def test_the_table_is_bounded_and_forgets_who_was_idle():
    buckets = Buckets(most=10)
    tight = RateLimit(requests_per_second=0.001, burst=1)
    assert buckets.take("busy", tight, 0.0).allowed
    for n in range(100):
        buckets.take(f"other{n}", tight, 0.0)
        assert not buckets.take("busy", tight, 0.0).allowed
    assert len(buckets) == 10


def test_a_clock_that_goes_backwards_gives_nothing():
    buckets = Buckets()
    tight = RateLimit(requests_per_second=1, burst=1)
    buckets.take("a", tight, 100.0)
    assert not buckets.take("a", tight, 0.0).allowed


def test_callers_are_told_apart():
    assert caller_of(a_scope(token("a"))) == ("token", "token/token:a")
    assert caller_of(a_scope()) == ("address", "address/10.0.0.1")
    one, other = a_scope(address="2001:db8::1"), a_scope(address="2001:db8::ffff:2")
    assert caller_of(one) == caller_of(other) == ("address", "address/2001:db8::/64")
    assert caller_of(a_scope(listener="unix", address=""))[0] == "unix"
    assert caller_of(a_scope(address="odd"))[1] == "address/odd"


async def asked(limits, scope):
    sent = []

    async def sending(message):
        sent.append(message)

    await limits(scope, None, sending)
    return sent


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def test_answers_say_how_much_is_left_and_refusals_when_to_come_back(autojump_clock):
    refused = []
    tight = RateLimit(requests_per_second=0.5, burst=2)
    limits = Limits(app, lambda: tight, on_refused=refused.append)
    for left in (b"1", b"0"):
        [start] = await asked(limits, a_scope())
        assert dict(start["headers"])[b"ratelimit"] == b'"default";r=' + left
        assert dict(start["headers"])[b"ratelimit-policy"] == b'"default";q=2;w=4'
    with pytest.raises(TooOftenError) as caught:
        await asked(limits, a_scope())
    assert caught.value.http_status == 429
    assert 1.9 < caught.value.retry_after_s <= 2
    assert refused == ["address"]
    await trio.sleep(caught.value.retry_after_s)
    await asked(limits, a_scope())


async def test_exempt_kinds_and_no_limit_at_all():
    tight = RateLimit(requests_per_second=0.001, burst=1)
    limits = Limits(app, lambda: tight)
    unix = Principal(name="uid:0", scope=Scope.ADMIN, kind="unix")
    for _ in range(5):
        await asked(limits, a_scope(unix, listener="unix"))
    unlimited = Limits(app, lambda: RateLimit(requests_per_second=0))
    for _ in range(5):
        await asked(unlimited, a_scope())
