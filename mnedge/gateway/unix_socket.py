"""The unix socket: made for its owner alone, replaced where nobody listens any more."""

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mnedge.errors import ConflictError, UsageError
from mnedge.node_socket import CREDENTIALS, address_of

WITH_GROUP = 0o660
BACKLOG = 256
_ANSWER_S = 1.0


class SocketTakenError(ConflictError):
    """Something else stands where the unix socket belongs, or another process serves there."""

    code = "relay.socket_taken"


class GroupUnknownError(UsageError):
    """The group that may use the unix socket does not exist on this machine."""

    code = "relay.group_unknown"


class Peer(NamedTuple):
    """Who is at the other end, as the kernel says."""

    pid: int
    uid: int
    gid: int


def answers(path: Path) -> bool:
    """Tell whether a process listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(_ANSWER_S)
        try:
            with address_of(path) as address:
                asking.connect(address)
        except OSError as error:
            # Full is alive; refused, gone or no socket is not.
            return error.errno in (errno.EAGAIN, errno.EACCES) or isinstance(error, TimeoutError)
        return True


def listening(path: Path, group: str | None = None) -> socket.socket:
    """Return a socket that listens there, for its owner alone or with a group.

    A socket that nobody listens on is replaced; the caller holds what makes it the only server.
    Raises: SocketTakenError; GroupUnknownError.
    """
    gid = None if group is None else group_id(group)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _make_way(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        before = os.umask(0o177)  # from the first moment nobody else can connect
        try:
            with address_of(path) as address:
                made.bind(address)
        finally:
            os.umask(before)
        if gid is not None:
            os.chown(path, -1, gid)
            path.chmod(WITH_GROUP)
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def remove(path: Path, inode: int) -> None:
    """Remove the socket if it is still the one with that inode."""
    with suppress(FileNotFoundError):
        if path.lstat().st_ino == inode:
            path.unlink()


def peer_of(made: socket.socket) -> Peer:
    """Return who is at the other end."""
    return Peer._make(
        CREDENTIALS.unpack(made.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
    )


def group_id(name: str) -> int:
    """Return the number of a group, given by name or number.

    Raises: GroupUnknownError.
    """
    import grp

    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise GroupUnknownError(
            f"this machine has no group called {name!r}",
            hint=f"groupadd {name}, or mend relay.listen.socketGroup",
        ) from None


def _make_way(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise SocketTakenError(
            f"{path} is there and is no socket",
            hint="move it away, or choose another place with relay.listen.socket",
        )
    if answers(path):
        raise SocketTakenError(
            f"another process serves on {path}",
            hint="stop it, or choose another place with relay.listen.socket",
        )
    path.unlink()
