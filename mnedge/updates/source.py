"""Where a release comes from: a file beside its statement, or an address; never more than signed.

An address is https; plain http only on this machine, for those who serve it through a tunnel. What
was fetched before the line broke is kept, and the rest asked for.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin, urlsplit

from mnedge.durable import sha256_of, to_disk
from mnedge.errors import MnedgeError, NotAllowedError, NotFoundError, UnavailableError, UsageError
from mnedge.model.addresses import is_loopback
from mnedge.updates.envelope import MOST_BYTES, SUFFIX, Release

if TYPE_CHECKING:
    import httpx

CONNECT_S = 15.0
SILENT_S = 30.0
"""A line that says nothing for so long is broken."""
TRIES = 5
PAUSE_S = 1.0
REDIRECTS = 5
PIECE_BYTES = 1 << 18
PART = ".part"
_ADDRESS = "https://HOST/PATH, or a file; the statement lies beside it, as NAME.release.json"

Pause = Callable[[float], None]
_T = TypeVar("_T")


class SourceAbsentError(NotFoundError):
    """The file, or the statement beside it, is not there."""

    code = "update.absent"


class SourceInvalidError(UsageError):
    """Releases are not fetched from such an address."""

    code = "update.address_invalid"


class FetchFailedError(UnavailableError):
    """The line broke; asking again goes on where it broke."""

    code = "update.fetch_failed"


class ContentWrongError(NotAllowedError):
    """The file is not the one that was signed."""

    code = "update.content_wrong"


class _BrokenError(Exception):
    """One try failed; another may help."""


def is_url(where: str) -> bool:
    """Tell whether it is an address, and no file."""
    return "://" in where


def statement(where: str, pause: Pause) -> bytes:
    """Return the content of `.release.json` beside the file or address.

    Raises: SourceAbsentError; SourceInvalidError; FetchFailedError.
    """
    if is_url(where):
        parts = urlsplit(where)
        beside = parts._replace(path=parts.path + SUFFIX).geturl()
        return _statement_at(beside, pause)
    try:
        with Path(where + SUFFIX).open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise _absent(where) from error
    except OSError as error:
        raise SourceAbsentError(
            f"{where}{SUFFIX} cannot be read: {error.strerror}",
            hint="mend its rights, or copy both",
        ) from error


def fetch(where: str, release: Release, target: Path, *, pause: Pause) -> None:
    """Bring the file to the target: there as it was signed, executable, or not at all.

    Raises: SourceAbsentError; SourceInvalidError; FetchFailedError; ContentWrongError.
    """
    part = target.with_name(target.name + PART)
    if is_url(where):
        _fetched(where, release, part, pause)
    else:
        _copied(Path(where), release, part)
    try:
        require_as_signed(part, release, where)
    except ContentWrongError:
        part.unlink(missing_ok=True)
        raise
    part.chmod(0o755)
    to_disk(part)
    part.replace(target)
    to_disk(target.parent)


def require_as_signed(file: Path, release: Release, where: str) -> None:
    """Refuse a file of another size or content.

    Raises: ContentWrongError.
    """
    size = file.stat().st_size
    found = sha256_of(file) if size == release.size else ""
    if found == release.sha256:
        return
    raise ContentWrongError(
        f"{where} is not what was signed as {release.version}: "
        + (f"{size} bytes and not {release.size}" if size != release.size else "another checksum"),
        hint="it is damaged, or belongs to another .release.json: fetch both again",
        details={"size": size, "sha256": found, "signed_sha256": release.sha256},
    )


def _copied(source: Path, release: Release, part: Path) -> None:
    try:
        with source.open("rb") as file, part.open("wb") as out:
            while piece := file.read(PIECE_BYTES):
                out.write(piece)
                if out.tell() > release.size:
                    break  # what is longer than signed is refused, however long it is
    except FileNotFoundError as error:
        raise _absent(str(source)) from error
    except OSError as error:
        part.unlink(missing_ok=True)
        raise FetchFailedError(
            f"{source} cannot be copied to {part.parent}: {error.strerror or error}",
            hint="mend that, and run the same command again",
        ) from error


def _fetched(url: str, release: Release, part: Path, pause: Pause) -> None:
    try:
        _persistently(lambda client: _rest(client, url, release, part), pause)
    except _BrokenError as error:
        raise FetchFailedError(
            f"{url}: {error} ({_had(part)} of {release.size} bytes are here)",
            hint="run the same command again: it goes on from there",
        ) from error
    except OSError as error:
        raise FetchFailedError(
            f"{part}: {error.strerror or error}", hint="mend that, and run the same command again"
        ) from error


def _had(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _rest(client: "httpx.Client", url: str, release: Release, part: Path) -> None:
    had = _had(part)
    if had == release.size:
        return
    if had > release.size:
        part.unlink()
        had = 0
    headers = {"Range": f"bytes={had}-"} if had else {}
    with _answer(client, url, headers) as answer:
        is_rest = answer.status_code == 206
        if is_rest and not answer.headers.get("content-range", "").startswith(f"bytes {had}-"):
            part.unlink()
            raise _BrokenError("it sent another part than was asked for")
        with part.open("ab" if is_rest else "wb") as out:
            for piece in answer.iter_raw():
                out.write(piece)
                if out.tell() > release.size:
                    break
        if part.stat().st_size < release.size:
            raise _BrokenError("the line broke")


def _statement_at(url: str, pause: Pause) -> bytes:
    def asked(client: "httpx.Client") -> bytes:
        with _answer(client, url, {}) as answer:
            content = b""
            for piece in answer.iter_raw():
                content += piece
                if len(content) > MOST_BYTES:
                    break
            return content

    try:
        return _persistently(asked, pause)
    except _BrokenError as error:
        raise FetchFailedError(
            f"{url}: {error}", hint="is the address right, and can this machine reach it?"
        ) from error


def _persistently(ask: Callable[["httpx.Client"], _T], pause: Pause) -> _T:
    """Return what comes of asking, each time over a line of its own.

    Raises: _BrokenError if not even the last try came through; whatever else `ask` raises, at once.
    """
    for attempt in range(1, TRIES):
        with suppress(_BrokenError), _client() as client:
            return ask(client)
        pause(PAUSE_S * attempt)
    with _client() as client:
        return ask(client)


def _client() -> "httpx.Client":
    import httpx

    return httpx.Client(
        follow_redirects=False,
        timeout=httpx.Timeout(SILENT_S, connect=CONNECT_S),
        headers={"Accept-Encoding": "identity", "User-Agent": "mnedge"},
    )


@contextmanager
def _answer(
    client: "httpx.Client", url: str, headers: dict[str, str]
) -> Iterator["httpx.Response"]:
    """Have the answer of an address, after redirects to addresses as safe as the first.

    Raises: _BrokenError; SourceAbsentError; SourceInvalidError.
    """
    import httpx

    try:
        for _ in range(REDIRECTS):
            _require_safe(url)
            with client.stream("GET", url, headers=headers) as answer:
                if answer.is_redirect:
                    url = urljoin(url, answer.headers.get("location", ""))
                    continue
                _require_good(answer, url)
                yield answer
                return
    except httpx.InvalidURL as error:
        raise SourceInvalidError(f"{url!r} is no address: {error}", hint=_ADDRESS) from error
    except httpx.HTTPError as error:
        raise _BrokenError(str(error) or type(error).__name__) from error
    raise SourceInvalidError(
        f"{url} was led on {REDIRECTS} times", hint="name the address where it really lies"
    )


def _require_good(answer: "httpx.Response", url: str) -> None:
    status = answer.status_code
    if status in (404, 410):
        raise _absent(url)
    if status in (401, 403):
        raise SourceAbsentError(
            f"{url} is not given to us ({status})", hint="fetch both files another way, then name "
            "the file"
        )  # fmt: skip
    if status not in (200, 206):
        raise _BrokenError(f"it answers {status}")


def _require_safe(url: str) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return
    if parts.scheme == "http" and is_loopback(host):
        return
    raise SourceInvalidError(
        f"{url} is not fetched: releases come over https",
        hint=_ADDRESS,
    )


def _absent(where: str) -> MnedgeError:
    is_statement = where.endswith(SUFFIX)
    if is_statement or (not is_url(where) and os.path.exists(where)):
        name = where.removesuffix(SUFFIX)
        return SourceAbsentError(
            f"there is no {name}{SUFFIX}: nobody says whose {os.path.basename(name)} is",
            hint="it is made with the release; put it beside the file",
        )
    return SourceAbsentError(
        f"there is no {where}", hint="name a file, or an address that begins with https://"
    )
