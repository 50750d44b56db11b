"""Root at the data of another user: it acts as that user, so that nothing there becomes root's."""

import ctypes
import os
import pwd
import sys
from pathlib import Path

from mnedge import shipped
from mnedge.config.settings import Config
from mnedge.errors import NotAllowedError
from mnedge.gateway.unix_socket import answers

PR_SET_DUMPABLE = 4


class OwnerNeededError(NotAllowedError):
    """Jobs of a data directory are carried by its owner, or by the daemon that runs as it."""

    code = "store.not_ours"


def owner_of(config: Config) -> pwd.struct_passwd | None:
    """Return the user whose data it is, if root asks and it is not root's own.

    Nothing inside has a say in it: that user's workers may write there, and would keep us root.
    """
    if os.geteuid() != 0:
        return None
    try:
        uid = config.data_dir.stat().st_uid
        account = pwd.getpwuid(uid)
    except (OSError, KeyError):
        return None
    return account if uid != 0 else None


def act_as_owner(config: Config) -> None:
    """From now on and for good, be the owner of the data directory, if root is not.

    Raises: OwnerNeededError for anybody else who cannot write there.
    """
    _refuse_guests(config)
    account = owner_of(config)
    if account is None:
        return
    if shipped.frozen() and not _may_start(Path(sys.executable), account):
        raise OwnerNeededError(
            f"{config.data_dir} is of {account.pw_name}, who may not read this program, "
            f"unpacked as {sys.executable}",
            hint="`mnedge install` puts it where that is so; or let MNEDGE_RUNTIME_DIR name a "
            "folder that everybody may read",
        )
    os.initgroups(account.pw_name, account.pw_gid)
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    os.umask(0o077)
    # Else the kernel hides this process from the owner's others, and its own /proc from itself.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


def require_owner(config: Config) -> None:
    """Refuse to carry jobs that are another user's.

    Raises: OwnerNeededError.
    """
    _refuse_guests(config)
    account = owner_of(config)
    if account is not None:
        raise OwnerNeededError(
            f"the jobs in {config.data_dir} are run by the user {account.pw_name}, not by root",
            hint=f"systemctl start mnedge, or sudo -u {account.pw_name} mnedge daemon",
        )


def _refuse_guests(config: Config) -> None:
    uid = _uid_of(config.data_dir)
    if uid in (None, os.geteuid()) or os.access(config.data_dir, os.W_OK):
        return
    try:
        name = pwd.getpwuid(uid or 0).pw_name
    except KeyError:
        name = f"user {uid}"
    if answers(config.socket):
        raise OwnerNeededError(
            f"{config.data_dir} is of {name}, and only {name} and root may do this there",
            hint="run it again with sudo, or name a data directory of your own with --data-dir",
        )
    raise OwnerNeededError(
        f"{config.data_dir} is of {name}, and its daemon does not answer",
        hint="sudo systemctl start mnedge; or name a data directory of your own with --data-dir",
    )


def _may_start(program: Path, account: pwd.struct_passwd) -> bool:
    """Tell it for root, who is that user for so long, with its groups and none of root's."""
    groups = os.getgroups()
    os.initgroups(account.pw_name, account.pw_gid)
    os.setegid(account.pw_gid)
    os.seteuid(account.pw_uid)
    try:
        return os.access(program, os.R_OK | os.X_OK, effective_ids=True)
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def _uid_of(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None
