"""Files by which others find this node: our own programs, and the published client.

`<data dir>/endpoints.json` says where this daemon listens. In `MN_HOME` lie the files that the
published client and its Web UI look for: `runtime-endpoints.json`, `grpc_auth.token`, `api.token`;
only if there is a TCP listener, because they know no other. A file of another runtime that still
answers stays; one of a runtime that does not is put aside and put back at the end.
Source: client surface 2.1.
"""

import errno
import os
import socket
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

import msgspec
import trio
from msgspec import Struct

import mnedge
from mnedge.config.settings import Config
from mnedge.errors import MnedgeError
from mnedge.part import Part
from mnedge.ports import Clock
from mnedge.store.claims import lives, this_process

OURS = "endpoints.json"
RUNTIME = "runtime-endpoints.json"
GRPC_TOKEN = "grpc_auth.token"  # noqa: S105  (names of files)
API_TOKEN = "api.token"  # noqa: S105
ASIDE = ".before-mnedge"
ANSWER_S = 0.5
TRY_AGAIN_S = 60.0
"""Until files that could not be written are tried again."""
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  (not bound here)


class Address(NamedTuple):
    """Where a listener is listeners."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Return what `HOST:PORT` or `[HOST]:PORT` says."""
        host, _, port = text.rpartition(":")
        return cls(host.strip("[]"), int(port))

    @property
    def reached(self) -> str:
        """The host by which this machine reaches it."""
        return _ANYWHERE.get(self.host, self.host)

    def __str__(self) -> str:
        """Return how somebody on this machine reaches it."""
        host = self.reached
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


class Listeners(Struct, frozen=True, kw_only=True):
    """The listeners of a daemon, with the ports that they really have."""

    socket: str | None = None
    http: Address | None = None
    grpc: Address | None = None
    tls: bool = False

    @property
    def api_url(self) -> str | None:
        """Return where the REST API is reached over TCP."""
        return f"http{'s' if self.tls else ''}://{self.http}" if self.http else None


class Given(NamedTuple):
    """A token and when it ends."""

    token: str
    expires_at: float


Issue = Callable[[str], Awaitable[Given]]
"""Gives a new token to the holder of that name."""


def own_document(config: Config, listeners: Listeners, started_at: float) -> dict[str, Any]:
    """Return what `endpoints.json` says."""
    return {
        "version": mnedge.__version__,
        "node": config.node,
        "pid": os.getpid(),
        "process": str(this_process()),
        "started_at": started_at,
        "socket": listeners.socket,
        "http": listeners.api_url,
        "grpc": None if listeners.grpc is None else str(listeners.grpc),
        "tls": listeners.tls,
    }


def runtime_document(config: Config, listeners: Listeners) -> dict[str, Any]:
    """Return what `runtime-endpoints.json` says; the published client speaks plain gRPC only."""
    told: dict[str, Any] = {
        "mnedge": {"process": str(this_process()), "data_dir": str(config.data_dir)}
    }
    target = listeners.grpc or listeners.http
    if target is not None and not listeners.tls:
        told["grpc"] = {"target": str(target), "host": target.reached, "port": target.port}
    if listeners.api_url is not None:
        told["api"] = {"base_url": f"{listeners.api_url}/api/v1"}
        told["web_ui"] = {"url": listeners.api_url}
    return told


def read_own(config: Config) -> dict[str, Any] | None:
    """Return what the daemon of this data directory says of itself; None if none is alive."""
    told = _object(config.data_dir / OURS)
    return told if told is not None and lives(str(told.get("process", ""))) else None


def is_advertised(config: Config) -> bool | None:
    """Tell whether the published client finds this node by `MN_HOME`; None: it finds none there."""
    told = _object(config.home / RUNTIME)
    if told is None:
        return None
    ours = told.get("mnedge")
    return isinstance(ours, dict) and ours.get("data_dir") == str(config.data_dir)


class EndpointFiles(Part):
    """Keeps the files as long as it runs; `say` is told what a person should know."""

    def __init__(
        self,
        config: Config,
        listeners: Listeners,
        issue: Issue | None,
        *,
        now: Clock,
        say: Callable[[str], None],
    ) -> None:
        self._config = config
        self._listeners = listeners
        self._issue = issue
        self._now = now
        self._say = say
        self._written: dict[Path, bytes] = {}
        self._started_at = now()
        self._complaint = ""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write the files, renew the tokens at half of their life, remove what is ours."""
        try:
            wait_s = await self._kept()
            task_status.started()
            while True:
                await trio.sleep(wait_s)
                wait_s = await self._kept()
        finally:
            for path, content in self._written.items():
                _remove_if(path, content)

    async def _kept(self) -> float:
        """Write what is due; return in how many seconds to look again.

        A node whose files cannot be written works all the same: that is said, and tried again.
        """
        try:
            wait_s = await self._all_written()
        except OSError as error:
            self._complain(f"{error.strerror} in {Path(str(error.filename)).parent}")
            return TRY_AGAIN_S
        except MnedgeError as error:
            self._complain(str(error))
            return TRY_AGAIN_S
        self._complaint = ""
        return wait_s

    async def _all_written(self) -> float:
        """Return in how many seconds to look again; our own file comes last, so that whoever
        waits for it finds the others.

        Raises: OSError; MnedgeError where a token cannot be had.
        """
        config = self._config
        try:
            return await self._advertised()
        finally:
            if config.data_dir / OURS not in self._written:
                own = own_document(config, self._listeners, self._started_at)
                self._write(config.data_dir / OURS, msgspec.json.encode(own))

    async def _advertised(self) -> float:
        """Write what the published client reads.

        Raises: OSError; MnedgeError.
        """
        config, home = self._config, self._config.home
        advertises = config.daemon.endpoint_files and (self._listeners.http or self._listeners.grpc)
        if not advertises:
            return inf
        first = home / RUNTIME not in self._written
        if first:
            if await self._taken(home / RUNTIME):
                return inf
            _try_to_write(home / RUNTIME)  # before a token is made for nothing
        expires_at = await self._renewed()
        if first:
            document = runtime_document(config, self._listeners)
            self._write(home / RUNTIME, msgspec.json.format(msgspec.json.encode(document)))
        return inf if expires_at is None else max((expires_at - self._now()) / 2, 1.0)

    def _complain(self, why: str) -> None:
        """Say it, but not again and again."""
        if why != self._complaint:
            self._say(f"others cannot find this node by its files: {why}")
        self._complaint = why

    async def _renewed(self) -> float | None:
        """Put new tokens into the files; return when the first of them ends."""
        if self._issue is None:
            return None
        ends = []
        for name, holder in ((GRPC_TOKEN, "mn-grpc"), (API_TOKEN, "mn-api")):
            given = await self._issue(holder)
            self._write(self._config.home / name, given.token.encode())
            ends.append(given.expires_at)
        return min(ends)

    async def _taken(self, path: Path) -> bool:
        """Tell whether another runtime that is alive calls this file its own, and say so."""
        told = _object(path)
        if told is None or not await _answers(told, str(this_process())):
            return False
        self._say(
            f"{path} belongs to another runtime, which answers; it is left as it is, so the "
            "published client finds that one (set MN_GRPC_TARGET, or give this node an MN_HOME "
            "of its own)"
        )
        return True

    def _write(self, path: Path, content: bytes) -> None:
        """Write the file whole; what somebody else left there is put aside first."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path not in self._written and path.exists() and not self._is_ours(path):
            aside = path.with_name(path.name + ASIDE)
            self._say(f"{path} is not from mnedge; it lies in {aside.name} as long as this runs")
            with suppress(OSError):
                os.replace(path, aside)
        _write_private(path, content)
        self._written[path] = content

    def _is_ours(self, path: Path) -> bool:
        if path.name in (OURS, RUNTIME):
            told = _object(path)
            return path.name == OURS or told is None or "mnedge" in told
        return _issuer_of(path) == self._config.soul.jwt.issuer


def _try_to_write(path: Path) -> None:
    """Raises: OSError if no such file can be made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    probe = path.with_name(f".{path.name}.{os.getpid()}")
    probe.touch(mode=0o600)
    probe.unlink()


async def _answers(told: dict[str, Any], own: str) -> bool:
    ours = told.get("mnedge")
    if isinstance(ours, dict):
        process = str(ours.get("process", ""))
        return process != own and lives(process)
    target = told.get("grpc")
    if not isinstance(target, dict):
        return False
    host, port = target.get("host"), target.get("port")
    if not host or not port:
        host, _, port = str(target.get("target", "")).rpartition(":")
    try:
        number = int(port)
    except (TypeError, ValueError):
        return False
    with trio.move_on_after(ANSWER_S):
        try:
            stream = await trio.open_tcp_stream(str(host), number)
        except (OSError, socket.gaierror, ValueError):
            return False
        await stream.aclose()
        return True
    return False


def _object(path: Path) -> dict[str, Any] | None:
    try:
        told = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return told if isinstance(told, dict) else None


def _issuer_of(path: Path) -> str | None:
    """Return who signed the token that lies there, if it is one; nothing is verified."""
    try:
        body = path.read_text(encoding="ascii").strip().split(".")[1]
        claims = msgspec.json.decode(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return str(claims["iss"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _write_private(path: Path, content: bytes) -> None:
    """Replace the file at once, for its owner alone; after a power cut it is written anew."""
    temporary = path.with_name(f".{path.name}.{token_hex(6)}")
    number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _remove_if(path: Path, content: bytes) -> None:
    """Remove the file if nobody else wrote it meanwhile; put back what lay there before."""
    with suppress(OSError):
        if path.read_bytes() != content:
            return
        aside = path.with_name(path.name + ASIDE)
        if aside.exists():
            os.replace(aside, path)
        else:
            path.unlink()
