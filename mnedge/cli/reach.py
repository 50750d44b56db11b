"""Where verbs take their requests: a node that was named, the daemon here, or the store."""

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mnedge.cli.contexts import HERE, current
from mnedge.cli.desk import Desk
from mnedge.cli.verbs import Asked
from mnedge.config.read import read_config
from mnedge.config.settings import Config
from mnedge.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from mnedge.cli.link import Link


class LocalOnlyError(UsageError):
    """The verb works on this machine only, and --host names another one."""

    code = "option.host_unfit"


class DaemonNeededError(UnavailableError):
    """Only a daemon does this, and none runs here."""

    code = "daemon.needed"


def config_of(asked: Asked) -> Config:
    """Return the settings of this machine."""
    return read_config(os.environ, data_dir=asked.data_dir)


def host_of(asked: Asked) -> str:
    """Return the node that was named, or is asked by default; empty: this machine."""
    named = asked.host if asked.host is not None else os.environ.get("MNEDGE_HOST", "")
    if not named and asked.data_dir is None and "MNEDGE_DATA_DIR" not in os.environ:
        named = current(os.environ)
    return "" if named == HERE else named


def refuse_host(asked: Asked, verb: str) -> None:
    """Refuse a node's name where it would be passed over in silence.

    Raises: LocalOnlyError.
    """
    if host := host_of(asked):
        raise LocalOnlyError(
            f"{verb} works on this machine only, not on {host}",
            hint="say --host here, or leave out --host and MNEDGE_HOST",
        )


def refuse_named(asked: Asked, verb: str) -> None:
    """Refuse --host where a verb is about this machine whatever `context use` said.

    Raises: LocalOnlyError.
    """
    if asked.host not in (None, HERE):
        raise LocalOnlyError(f"{verb} is about this machine, not {asked.host}",
                             hint="leave out --host; run it there")  # fmt: skip


def lives(config: Config) -> bool:
    """Tell whether a daemon answers at the socket of this data directory."""
    path: Path = config.socket
    if not path.is_socket():
        return False
    from mnedge.gateway.unix_socket import answers

    return answers(path)


def daemon_answers(asked: Asked) -> bool:
    """Tell whether a daemon is asked: the node that was named, or the one here, if it lives."""
    return bool(host_of(asked)) or lives(config_of(asked))


@asynccontextmanager
async def desk(asked: Asked) -> AsyncIterator[Desk]:
    """Have the desk that answers: the node that was named, the daemon here, or the store."""
    async with _opened(asked) as found:
        yield found


@asynccontextmanager
async def line(asked: Asked, deed: str) -> AsyncIterator["Link"]:
    """Have a line to a daemon; `deed`: what only a daemon does.

    Raises: DaemonNeededError.
    """
    async with desk(asked) as there:
        link: Link | None = getattr(there, "link", None)
        if link is not None:
            yield link
            return
    raise DaemonNeededError(
        f"no daemon runs here, and only a daemon {deed}",
        hint="start one with `mnedge daemon`, or name another node with --host",
    )


def _opened(asked: Asked) -> AbstractAsyncContextManager[Desk]:
    if host := host_of(asked):
        from mnedge.cli.remote import named

        return named(host, asked.token_file)
    config = config_of(asked)
    if lives(config):
        from mnedge.cli.remote import local

        return local(config)
    from mnedge.cli.embedded import embedded

    return embedded(config)
