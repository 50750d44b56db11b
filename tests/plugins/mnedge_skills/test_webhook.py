import hashlib
import hmac
import time

import pytest

from mnedge.errors import UnavailableError, UsageError
from mnedge.testing.skill_contract import a_delivery
from mnedge_skills.webhook import Webhook, skills
from tests.live.receiver import Receiver

pytestmark = pytest.mark.live


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


async def test_a_receiver_can_check_who_sent_it_and_take_it_once(receiver):
    (webhook,) = skills()
    settings = {"url": f"{receiver.url}/x?y=1", "secret": "s3cret", "headers": {"X-Team": "a"}}
    await webhook.deliver(a_delivery(), settings)
    (posted,) = receiver.posted
    moment, signed = posted.headers["x-mnedge-signature"].split(",")
    assert moment == "t=1700000000"
    expected = hmac.new(b"s3cret", b"1700000000." + posted.body, hashlib.sha256).hexdigest()
    assert signed == f"v1={expected}"
    assert posted.headers["idempotency-key"] == "delivery-1"
    assert posted.headers["content-type"] == "application/json"
    assert posted.headers["x-team"] == "a"
    assert posted.path == "/x?y=1"


async def test_without_a_secret_nothing_is_signed(receiver):
    await Webhook().deliver(a_delivery(), {"url": receiver.url})
    assert "x-mnedge-signature" not in receiver.posted[0].headers


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 599])
async def test_what_may_pass_is_worth_another_try(receiver, status):
    receiver.answer = lambda posted: status
    with pytest.raises(UnavailableError, match=str(status)):
        await Webhook().deliver(a_delivery(), {"url": receiver.url})


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 410, 422])
async def test_a_refusal_or_a_redirect_is_final(receiver, status):
    receiver.answer = lambda posted: status
    receiver.headers = {"Location": f"{receiver.url}/elsewhere"}
    with pytest.raises(UsageError, match=str(status)):
        await Webhook().deliver(a_delivery(), {"url": receiver.url})
    assert len(receiver.posted) == 1, "a redirect is not followed"


async def test_one_that_never_answers_is_given_up(receiver):
    receiver.answer = lambda posted: 0
    began = time.monotonic()
    with pytest.raises(UnavailableError, match=r"within 0\.3 s"):
        await Webhook().deliver(a_delivery(), {"url": receiver.url, "timeout_s": 0.3})
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "http://example.test/hook"},
        {"url": "ftp://example.test"},
        {"url": "https://"},
        {"url": "https://[broken"},
        {"url": "https://a:99999/"},
        {"url": "https://exa mple.test"},
        {"url": None},
        {"url": "https://e.test", "secret": ""},
        {"url": "https://e.test", "secret": {"secretRef": {"name": "env", "key": "X"}}},
        {"url": "https://e.test", "timeout_s": 31},
        {"url": "https://e.test", "timeout_s": "1"},
        {"url": "https://e.test", "headers": {"Host": "x"}},
        {"url": "https://e.test", "headers": {"X-Mnedge-Signature": "x"}},
        {"url": "https://e.test", "headers": {"X": "a\r\nEvil: 1"}},
        {"url": "https://e.test", "headers": {"X": 1}},
        {"url": "https://e.test", "allow_plain": "yes"},
    ],
)
def test_settings_that_make_no_sense_are_told(settings):
    assert Webhook().check(settings)


def test_plain_http_goes_to_this_machine_or_where_the_operator_allows_it():
    assert Webhook().check({"url": "http://127.0.0.1:9/"}) == []
    assert Webhook().check({"url": "http://[::1]:9/"}) == []
    assert Webhook().check({"url": "http://localhost/"}) == []
    assert Webhook().check({"url": "http://hub.lan/", "allow_plain": True}) == []
