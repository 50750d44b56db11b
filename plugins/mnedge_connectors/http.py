"""`http`: gets what an address answers, and tells when it answers something else.

Only the address in the settings is asked; a redirect is followed within the same host only.
"""

import base64
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import msgspec
import trio
from msgspec import Struct

from mnedge.errors import UnavailableError, UsageError
from mnedge.hookspecs import hookimpl
from mnedge.model.addresses import is_loopback
from mnedge.ports import Batch, Connector, Item

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 10.0
MOST_TIMEOUT_S = 30.0
INTERVAL_S = 30.0
WAIT_S = 30.0
MAX_BYTES = 1 << 20
MOST_BYTES = 16 << 20
REDIRECTS = 3
REMEMBERED = 1000
"""Addresses whose last asking is known."""
AGAIN = frozenset({404, 408, 425, 429, 500, 502, 503, 504})
"""Answers after which trying again may help; so may any other over 500."""
FORMS = ("json", "text", "bytes")
PACKED = {"gzip": 31, "x-gzip": 31, "deflate": 47}
"""How an answer may be packed → what zlib calls it."""
_KNOWN = frozenset(
    {"url", "headers", "auth", "read", "max_bytes", "timeout_s", "interval_s", "allow_plain"}
)
_OURS = frozenset({"host", "connection", "content-length", "if-none-match", "if-modified-since"})


class SourceRefusedError(UsageError):
    """The other side does not give it, and will not give it later."""

    code = "connector.refused"


class _Cursor(Struct, frozen=True, omit_defaults=True):
    """What was there last."""

    digest: str
    number: int
    """How many versions there were: one that comes back later is another one."""
    etag: str = ""
    modified: str = ""


class _Answer(NamedTuple):
    """What the address said; `content` None: the same as before."""

    content: bytes | None
    kind: str = ""
    etag: str = ""
    modified: str = ""


class Http:
    """Asks a URL."""

    name = "http"

    def __init__(self) -> None:
        self._asked_at: OrderedDict[str, float] = OrderedDict()
        """When each address was asked last, on trio's clock; the newest last."""

    def check(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the settings."""
        problems = [
            f"{key!r} is no setting of http; it has {', '.join(sorted(_KNOWN))}"
            for key in settings
            if key not in _KNOWN
        ]
        problems += _url_problems(settings.get("url"), settings.get("allow_plain") is True)
        if not isinstance(settings.get("allow_plain", False), bool):
            problems.append("allow_plain has to be true or false")
        headers = settings.get("headers", {})
        if not isinstance(headers, Mapping) or not all(map(_is_header, headers.items())):
            problems.append("headers has to be an object of printable texts")
        auth = settings.get("auth", "-")
        if not isinstance(auth, str) or not auth or not auth.isascii() or not auth.isprintable():
            problems.append("auth has to be a printable text; write auth_env: NAME")
        if settings.get("read", "text") not in FORMS:
            problems.append(f"read has to be one of {', '.join(FORMS)}")
        most = settings.get("max_bytes", MAX_BYTES)
        if type(most) is not int or not 0 < most <= MOST_BYTES:
            problems.append(f"max_bytes has to be a whole number of 1 to {MOST_BYTES}")
        for key, least, most_s in (("timeout_s", 0.1, MOST_TIMEOUT_S), ("interval_s", 0.1, 86400)):
            value = settings.get(key, least)
            if type(value) not in (int, float) or not least <= value <= most_s:
                problems.append(f"{key} has to be a number of {least:g} to {most_s:g}")
        return problems

    async def read(
        self, settings: Mapping[str, Any], cursor: str | None = None, *, folder: str = ""
    ) -> Batch:
        """Return what is there, or what is there now instead of what the cursor saw."""
        problems = self.check(settings)
        if problems:
            raise UsageError("; ".join(problems))
        before = None if cursor is None else _cursor(cursor)
        if before is not None and cursor is not None and not await self._is_time(settings):
            return Batch([], cursor)
        try:
            answer = await _answer(settings, before)
        finally:
            self._remember(settings["url"])
        if answer.content is None and cursor is not None:
            return Batch([], cursor)
        content = answer.content or b""
        digest = sha256(content).hexdigest()[:32]
        if before is not None and before.digest == digest:
            kept = _Cursor(digest, before.number, answer.etag, answer.modified)
            return Batch([], _text(kept))
        number = 1 if before is None else before.number + 1
        item = _item(settings, answer.kind, content, f"{digest}-{number}")
        return Batch([item], _text(_Cursor(digest, number, answer.etag, answer.modified)))

    def _remember(self, url: str) -> None:
        self._asked_at[url] = trio.current_time()
        self._asked_at.move_to_end(url)
        if len(self._asked_at) > REMEMBERED:
            self._asked_at.popitem(last=False)

    async def _is_time(self, settings: Mapping[str, Any]) -> bool:
        """Wait for the moment to ask again; return False if it is further off than we may wait."""
        interval_s = float(settings.get("interval_s", INTERVAL_S))
        now = trio.current_time()
        due = self._asked_at.get(settings["url"], now - interval_s) + interval_s
        await trio.sleep(min(max(due - now, 0.0), WAIT_S))
        return due - now <= WAIT_S


def _item(settings: Mapping[str, Any], kind: str, content: bytes, version: str) -> Item:
    shown = _shown(settings["url"])
    form = settings.get("read", "json" if _is_json(kind) else "text")
    return Item(
        item_id=f"{shown}#{version}",
        event="http_content_changed",
        body={"content": _content(content, form), "content_type": kind, "size_bytes": len(content)},
        source_ref={"connector": Http.name, "url": shown, "version": version},
    )


async def _answer(settings: Mapping[str, Any], before: _Cursor | None) -> _Answer:
    """Ask, following a redirect only within the host."""
    import httpx  # only here: who reads nothing need not load it

    timeout_s = float(settings.get("timeout_s", TIMEOUT_S))
    headers = _headers(settings, before)
    try:
        with trio.fail_after(timeout_s):
            async with httpx.AsyncClient(
                timeout=timeout_s, follow_redirects=False, trust_env=False
            ) as client:
                url = httpx.URL(settings["url"])
                for _ in range(REDIRECTS + 1):
                    async with client.stream("GET", url, headers=headers) as response:
                        if not response.has_redirect_location:
                            return await _taken(response, settings)
                        url = _within(url, response)
    except (trio.TooSlowError, httpx.TimeoutException) as error:
        raise UnavailableError(f"the address did not answer within {timeout_s:g} s") from error
    except httpx.InvalidURL as error:
        raise UsageError("url is no URL") from error
    except (httpx.HTTPError, OSError) as error:
        raise UnavailableError(f"the address cannot be reached: {type(error).__name__}") from error
    raise SourceRefusedError(
        f"the address redirects more than {REDIRECTS} times", hint="give the URL it leads to"
    )


def _within(url: "httpx.URL", response: "httpx.Response") -> "httpx.URL":
    """Return where the answer leads, if that is the same host."""
    there = url.join(response.headers["location"])
    if (there.scheme, there.host, there.port) != (url.scheme, url.host, url.port):
        raise SourceRefusedError(
            f"the address answered {response.status_code}: it leads to another host",
            hint="give the URL it leads to",
        )
    return there


async def _taken(response: "httpx.Response", settings: Mapping[str, Any]) -> _Answer:
    status = response.status_code
    if status == 304:
        return _Answer(None)
    if status in AGAIN or status > 500:
        raise UnavailableError(f"the address answered {status}")
    if not 200 <= status < 300:
        raise SourceRefusedError(f"the address answered {status}")
    most = settings.get("max_bytes", MAX_BYTES)
    content, damaged = bytearray(), False
    unpacked = _unpacking(response.headers.get("content-encoding", ""))
    with trio.CancelScope() as rest:
        async for part in response.aiter_raw(64 << 10):
            if not damaged and len(content) <= most:
                try:
                    content += unpacked(part, most + 1 - len(content))
                except zlib.error:
                    damaged = True
            if damaged or len(content) > most:
                rest.cancel()  # so that the stream ends properly, wherever it is
    if damaged:
        raise UnavailableError("the answer is damaged: it cannot be unpacked")
    if len(content) > most:
        raise SourceRefusedError(f"the answer is larger than {most} bytes", hint="raise max_bytes")
    headers = response.headers
    return _Answer(
        bytes(content),
        headers.get("content-type", "")[:200],
        headers.get("etag", "")[:500],
        headers.get("last-modified", "")[:100],
    )


def _unpacking(encoding: str) -> Callable[[bytes, int], bytes]:
    """Return what unpacks a part of the answer, to so many bytes at most: a few may become many.

    What it returns raises zlib.error. Raises: SourceRefusedError.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return lambda part, most: part[:most]
    if name not in PACKED:
        raise SourceRefusedError(
            f"the answer is packed with {encoding[:40]!r}", hint="send it plain, or with gzip"
        )
    return zlib.decompressobj(PACKED[name]).decompress


def _headers(settings: Mapping[str, Any], before: _Cursor | None) -> dict[str, str]:
    ours = {"User-Agent": "mnedge", "Accept-Encoding": "gzip"}
    headers = {**ours, **settings.get("headers", {})}
    if "auth" in settings:
        auth = settings["auth"]
        headers["Authorization"] = auth if " " in auth else f"Bearer {auth}"
    if before is not None and before.etag:
        headers["If-None-Match"] = before.etag
    if before is not None and before.modified:
        headers["If-Modified-Since"] = before.modified
    return headers


def _content(content: bytes, form: str) -> Any:
    match form:
        case "bytes":
            return base64.b64encode(content).decode()
        case "json":
            try:
                return msgspec.json.decode(content)
            except (msgspec.DecodeError, RecursionError) as error:
                raise UnavailableError(f"the answer is not JSON: {error}") from error
        case _:
            try:
                return content.decode()
            except UnicodeDecodeError as error:
                raise UnavailableError("the answer is not UTF-8 text") from error


def _is_json(kind: str) -> bool:
    plain = kind.partition(";")[0].strip().lower()
    return plain == "application/json" or plain.endswith("+json")


def _shown(url: str) -> str:
    """Return the address without what may be a secret: its query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _text(cursor: _Cursor) -> str:
    return msgspec.json.encode(cursor).decode()


def _cursor(text: str) -> _Cursor:
    try:
        return msgspec.json.decode(text, type=_Cursor)
    except msgspec.DecodeError as error:
        raise UsageError("this is no cursor of http") from error


def _url_problems(url: Any, allow_plain: bool) -> list[str]:
    if not isinstance(url, str):
        return ["url has to be the address to ask"]
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        return ["url is no URL"]
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine:
        return ["url has to begin with https:// and name a host"]
    if "@" in parts.netloc:
        return ["url must not hold a user or a password: write auth_env: NAME"]
    if not url.isascii() or any(char <= " " for char in url):
        return ["url has to be ASCII without spaces"]
    if parts.scheme == "http" and not allow_plain and not is_loopback(parts.hostname):
        return ["url has to be https: plain http goes to this machine only, or with allow_plain"]
    return []


def _is_header(item: tuple[Any, Any]) -> bool:
    name, value = item
    return (
        isinstance(name, str)
        and isinstance(value, str)
        and bool(name)
        and name.isascii()
        and name.replace("-", "").replace("_", "").isalnum()
        and name.lower() not in _OURS
        and value.isascii()
        and value.isprintable()
    )


@hookimpl
def connectors() -> list[Connector]:
    """Bring `http`."""
    return [Http()]
