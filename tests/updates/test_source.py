"""Where a release comes from."""

from hashlib import sha256
from pathlib import Path

import httpx
import msgspec
import pytest

from mnedge.updates import source
from mnedge.updates.envelope import MOST_BYTES, SUFFIX
from mnedge.updates.source import (
    ContentWrongError,
    FetchFailedError,
    SourceAbsentError,
    SourceInvalidError,
    fetch,
    statement,
)
from tests.updates.test_envelope import RELEASE

CONTENT = bytes(range(256)) * 4096
SIGNED = msgspec.structs.replace(RELEASE, size=len(CONTENT), sha256=sha256(CONTENT).hexdigest())
URL = "https://releases.example/mnedge-1.2.0"


class Pieces(httpx.SyncByteStream):
    """A body as it comes over a line, which may break."""

    def __init__(self, *pieces, broken=False) -> None:
        self.pieces = pieces
        self.broken = broken

    def __iter__(self):
        yield from self.pieces
        if self.broken:
            raise httpx.ReadError("the line broke")


class Server:
    """Answers as a test says; `breaks`: after so many bytes each of the first answers ends."""

    def __init__(self, content=CONTENT, breaks=(), ranges=True) -> None:
        self.content = content
        self.breaks = list(breaks)
        self.ranges = ranges
        self.asked = []
        self.paused = []

    def __call__(self, request):
        begin = request.headers.get("range", "")
        self.asked.append((str(request.url), begin))
        if request.url.path.endswith(SUFFIX):
            return httpx.Response(200, stream=Pieces(b"said"))
        at = int(begin.removeprefix("bytes=").removesuffix("-")) if begin and self.ranges else 0
        headers = {"content-range": f"bytes {at}-/*"} if begin and self.ranges else {}
        status = 206 if headers else 200
        return httpx.Response(status, headers=headers, stream=self._stream(at))

    def _stream(self, at):
        if not self.breaks:
            return Pieces(self.content[at:])
        return Pieces(self.content[at : at + self.breaks.pop(0)], broken=True)


@pytest.fixture
def served(monkeypatch):
    """Return what answers from now on."""

    def use(server):
        monkeypatch.setattr(
            source, "_client", lambda: httpx.Client(transport=httpx.MockTransport(server))
        )
        return server

    return use


def brought(tmp_path, where=URL, release=SIGNED):
    fetch(where, release, tmp_path / "mnedge", pause=lambda seconds: None)
    return (tmp_path / "mnedge").read_bytes()


def test_an_address_gives_the_file_and_the_statement_beside_it(served, tmp_path):
    server = served(Server())
    assert statement(URL + "?token=1", lambda _: None) == b"said"
    assert server.asked == [(f"{URL}{SUFFIX}?token=1", "")]
    assert brought(tmp_path) == CONTENT
    assert (tmp_path / "mnedge").stat().st_mode & 0o777 == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["mnedge"]


def test_after_the_line_broke_the_rest_is_asked_for(served, tmp_path):
    server = served(Server(breaks=[1000, 0, 500_000]))
    assert brought(tmp_path) == CONTENT
    assert [begin for _, begin in server.asked] == [
        *("", "bytes=1000-", "bytes=1000-", "bytes=501000-"),
    ]


def test_what_was_fetched_is_kept_for_the_next_time(served, tmp_path):
    served(Server(breaks=[1000, 0, 0, 0, 0]))
    with pytest.raises(FetchFailedError, match="1000 of 1048576 bytes are here"):
        brought(tmp_path)
    server = served(Server())
    assert brought(tmp_path) == CONTENT
    assert server.asked == [(URL, "bytes=1000-")]


def test_a_server_that_only_gives_the_whole_begins_again(served, tmp_path):
    served(Server(breaks=[1000], ranges=False))
    assert brought(tmp_path) == CONTENT


def test_never_more_is_taken_than_was_signed(served, tmp_path):
    served(Server(content=CONTENT * 3))
    with pytest.raises(ContentWrongError):
        brought(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_content_is_refused_and_not_kept(served, tmp_path):
    served(Server(content=CONTENT[::-1]))
    with pytest.raises(ContentWrongError, match="another checksum"):
        brought(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_something_else_is_noticed_and_the_next_try_begins_anew(served, tmp_path):
    (tmp_path / "mnedge.part").write_bytes(bytes(1000))
    served(Server())
    with pytest.raises(ContentWrongError):
        brought(tmp_path)
    assert brought(tmp_path) == CONTENT


@pytest.mark.parametrize(
    "url",
    ["http://releases.example/m", "ftp://releases.example/m", "https:///m", "file:///etc/passwd"],
)
def test_only_https_is_fetched(url, tmp_path):
    with pytest.raises(SourceInvalidError, match="over https"):
        brought(tmp_path, url)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:1"])
def test_this_machine_may_serve_plain_http(served, tmp_path, host):
    served(Server())
    assert brought(tmp_path, f"http://{host}/m") == CONTENT


def test_a_redirect_is_followed_to_where_it_is_as_safe(served, tmp_path):
    def led(target):
        return served(
            lambda request: (
                httpx.Response(302, headers={"location": target})
                if request.url.host == "releases.example"
                else httpx.Response(200, stream=Pieces(CONTENT))
            )
        )

    led("https://mirror.example/m")
    assert brought(tmp_path) == CONTENT
    led("http://mirror.example/m")
    with pytest.raises(SourceInvalidError, match=r"http://mirror\.example"):
        fetch(URL, SIGNED, tmp_path / "other", pause=lambda _: None)
    led("/again")
    with pytest.raises(SourceInvalidError, match="led on 5 times"):
        fetch(URL, SIGNED, tmp_path / "other", pause=lambda _: None)


@pytest.mark.parametrize(
    "status, error",
    [(404, SourceAbsentError), (403, SourceAbsentError), (500, FetchFailedError)],
)
def test_what_an_address_refuses_is_said(served, tmp_path, status, error):
    served(lambda request: httpx.Response(status))
    with pytest.raises(error):
        brought(tmp_path)
    with pytest.raises(error):
        statement(URL, lambda _: None)


def test_a_statement_without_end_is_cut(served):
    served(lambda request: httpx.Response(200, stream=Pieces(*[b" " * 1000] * 1000)))
    assert MOST_BYTES < len(statement(URL, lambda _: None)) < MOST_BYTES + 1001


def test_a_file_is_copied_with_the_statement_beside_it(tmp_path):
    file = tmp_path / "from" / "mnedge-1.2.0"
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    Path(f"{file}{SUFFIX}").write_bytes(b"said")
    assert statement(str(file), lambda _: None) == b"said"
    assert brought(tmp_path, str(file)) == CONTENT


def test_a_file_or_a_statement_that_is_missing_is_named(tmp_path):
    file = tmp_path / "mnedge"
    with pytest.raises(SourceAbsentError, match=f"there is no {file}$"):
        statement(str(file), lambda _: None)
    file.touch()
    with pytest.raises(SourceAbsentError, match="nobody says whose mnedge is"):
        statement(str(file), lambda _: None)
    with pytest.raises(SourceAbsentError):
        brought(tmp_path, str(tmp_path / "other"))
