"""What `http` does beyond the contract of connectors."""

import base64
import gzip

import pytest
import trio

from mnedge.errors import UnavailableError, UsageError
from mnedge_connectors import http
from mnedge_connectors.http import Http, SourceRefusedError, connectors
from tests.live.source import Source, Told

pytestmark = pytest.mark.live


@pytest.fixture
def source():
    with Source() as source:
        yield source


async def read(source, **settings):
    with trio.fail_after(10):
        return await Http().read({"url": f"{source.url}/x?token=hidden", **settings})


async def test_json_is_read_as_json_and_the_rest_as_text_unless_told_otherwise(source):
    source.holds(b'{"n": [1]}', "application/geo+json; charset=utf-8")
    (item,) = (await read(source)).items
    assert item.body["content"] == {"n": [1]}
    assert item.body["content_type"].startswith("application/geo+json")
    assert item.event == "http_content_changed"
    source.holds("Grüße".encode(), "text/plain")
    assert (await read(source)).items[0].body["content"] == "Grüße"
    (item,) = (await read(source, read="bytes")).items
    assert base64.b64decode(item.body["content"]).decode() == "Grüße"
    with pytest.raises(UnavailableError, match="not JSON"):
        await read(source, read="json")


async def test_where_it_came_from_is_told_without_its_query(source):
    source.holds(b"1", "text/plain")
    (item,) = (await read(source)).items
    assert item.source_ref["url"] == f"{source.url}/x"
    assert "hidden" not in item.item_id


async def test_the_key_goes_out_as_a_bearer_or_as_it_is(source):
    source.holds(b"1", "text/plain")
    await read(source, auth="abc", headers={"X-Site": "north"})
    await read(source, auth="Basic abc")
    assert [asked.headers["authorization"] for asked in source.asked] == ["Bearer abc", "Basic abc"]
    assert source.asked[0].headers["x-site"] == "north"


async def test_what_did_not_change_is_not_sent_again_and_not_told_again(source):
    source.holds(b"1", "text/plain")
    connector = Http()
    settings = {"url": source.url, "interval_s": 0.1}
    first = await connector.read(settings)
    second = await connector.read(settings, first.cursor)
    assert second.items == []
    assert source.asked[1].headers["if-none-match"]
    source.holds(b"1", "text/plain", etag=False)
    assert (await connector.read(settings, second.cursor)).items == []


async def test_a_version_that_comes_back_is_another_item(source):
    connector = Http()
    settings = {"url": source.url, "interval_s": 0.1}
    ids, cursor = [], None
    for content in (b"1", b"2", b"1"):
        source.holds(content, "text/plain")
        batch = await connector.read(settings, cursor)
        cursor = batch.cursor
        ids += [item.item_id for item in batch.items]
    assert len(set(ids)) == 3


async def test_it_is_not_asked_more_often_than_its_interval(source, monkeypatch):
    source.holds(b"1", "text/plain")
    monkeypatch.setattr(http, "WAIT_S", 0.1)
    connector = Http()
    settings = {"url": source.url, "interval_s": 0.5}
    cursor = (await connector.read(settings)).cursor
    for _ in range(3):
        assert (await connector.read(settings, cursor)).items == []
    assert len(source.asked) == 1


@pytest.mark.parametrize("status", [404, 429, 500, 503, 599])
async def test_trouble_that_may_pass_is_worth_another_try(source, status):
    source.answer = lambda asked: Told(status)
    with pytest.raises(UnavailableError, match=f"answered {status}"):
        await read(source)


@pytest.mark.parametrize("status", [400, 401, 403, 410])
async def test_a_refusal_is_final(source, status):
    source.answer = lambda asked: Told(status)
    with pytest.raises(SourceRefusedError, match=f"answered {status}"):
        await read(source)


async def test_a_redirect_is_followed_within_the_host_only(source):
    def within(asked):
        if asked.path.startswith("/x"):
            return Told(302, headers={"Location": "/y"})
        return Told(200, b"there", {"Content-Type": "text/plain"})

    source.answer = within
    assert (await read(source)).items[0].body["content"] == "there"
    with Source() as other:
        other.holds(b"elsewhere", "text/plain")
        source.answer = lambda asked: Told(302, headers={"Location": f"{other.url}/y"})
        with pytest.raises(SourceRefusedError, match="another host"):
            await read(source, auth="abc")
        assert other.asked == []


async def test_a_circle_of_redirects_ends(source):
    source.answer = lambda asked: Told(302, headers={"Location": "/x"})
    with pytest.raises(SourceRefusedError, match="more than 3 times"):
        await read(source)


async def test_more_than_allowed_is_refused_also_when_it_was_packed_small(source):
    source.holds(b"1" * 2000, "text/plain")
    with pytest.raises(SourceRefusedError, match="larger than 1000 bytes"):
        await read(source, max_bytes=1000)
    packed = gzip.compress(b"1" * 1_000_000)
    source.answer = lambda asked: Told(200, packed, {"Content-Encoding": "gzip"})
    with pytest.raises(SourceRefusedError, match="larger than 50000 bytes"):
        await read(source, max_bytes=50_000)


async def test_what_is_packed_is_unpacked_as_it_comes_and_only_once(source):
    text = b"reading " * 100_000
    packed = gzip.compress(text)
    source.answer = lambda asked: Told(200, packed, {"Content-Encoding": "gzip"})
    assert (await read(source)).items[0].body["size_bytes"] == len(text)
    twice = gzip.compress(packed)
    for encoding in ("gzip, gzip", "br"):
        told = {"Content-Encoding": encoding}
        source.answer = lambda asked, told=told: Told(200, twice, told)
        with pytest.raises(SourceRefusedError, match="packed with"):
            await read(source)
    source.answer = lambda asked: Told(200, b"no gzip", {"Content-Encoding": "gzip"})
    with pytest.raises(UnavailableError, match="damaged"):
        await read(source)


async def test_an_address_that_hangs_is_given_up(source):
    source.answer = lambda asked: Told(0)
    with pytest.raises(UnavailableError, match=r"did not answer within 0\.3 s"):
        await read(source, timeout_s=0.3)


@pytest.mark.parametrize(
    "settings, problem",
    [
        ({}, "url has to be the address to ask"),
        ({"url": "ftp://x"}, "url has to begin with https://"),
        ({"url": "http://example.org/"}, "url has to be https: plain http goes to this machine"),
        ({"url": "https://u:p@example.org/"}, "url must not hold a user or a password"),
        ({"url": "https://[x"}, "url is no URL"),
        ({"url": "https://x/", "headers": {"Host": "y"}}, "headers has to be an object"),
        ({"url": "https://x/", "headers": {"X": "a\nb"}}, "headers has to be an object"),
        ({"url": "https://x/", "auth": ""}, "auth has to be a printable text"),
        ({"url": "https://x/", "read": "xml"}, "read has to be one of json, text, bytes"),
        ({"url": "https://x/", "timeout_s": 31}, "timeout_s has to be a number of 0.1 to 30"),
        ({"url": "https://x/", "allow_plain": 1}, "allow_plain has to be true or false"),
    ],
)
def test_each_setting_is_checked(settings, problem):
    (found,) = Http().check(settings)
    assert found.startswith(problem)


async def test_a_cursor_of_somebody_else_is_refused(source):
    with pytest.raises(UsageError, match="no cursor of http"):
        await Http().read({"url": source.url}, "x")


def test_the_plugin_brings_it():
    (connector,) = connectors()
    assert connector.name == "http"
