"""What a machine looks like to whoever installs on it: looked at once, then decided upon."""

import grp
import os
import pwd
import shutil
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from msgspec import Struct

from mnedge import systemd
from mnedge.config.layout import JOURNAL, UNIT, Layout
from mnedge.durable import read_plain, sha256_of

TOOLS = ("useradd", "groupadd", "usermod", "userdel", "groupdel", "systemctl")
MOST_READ_BYTES = 1 << 20
"""Files of ours are smaller; of a larger one the text is not compared."""
JOURNALS = "/var/log/journal"

Kind = Literal["absent", "file", "folder", "link", "other"]
Supervisor = Literal["systemd", "openrc", "runit", "sysv", "unknown"]


class Found(Struct, frozen=True, kw_only=True):
    """What is at a path; the link itself, not what it leads to."""

    kind: Kind = "absent"
    mode: int = 0
    uid: int = 0
    gid: int = 0
    text: str = ""
    """Of a small file."""
    target: str = ""
    """Of a link."""


ABSENT = Found()


class Account(Struct, frozen=True, kw_only=True):
    """A user of the machine."""

    uid: int
    gid: int
    home: str = ""


class Group(Struct, frozen=True, kw_only=True):
    """A group of the machine."""

    gid: int
    members: tuple[str, ...] = ()


class ServiceState(Struct, frozen=True, kw_only=True):
    """What the service manager knows of our unit."""

    active: bool = False
    enabled: bool = False
    stale: bool = False
    """Its file changed after it was read."""


class Program(Struct, frozen=True, kw_only=True):
    """The file that is to be installed."""

    file: str
    version: str
    sha256: str


class Box(Struct, frozen=True, kw_only=True):
    """A machine, as far as installing is concerned."""

    layout: Layout = Layout()
    is_root: bool = True
    has_systemd: bool = True
    systemd_runs: bool = True
    supervisor: Supervisor = "systemd"
    users: Mapping[str, Account] = {}
    groups: Mapping[str, Group] = {}
    tools: frozenset[str] = frozenset(TOOLS)
    found: Mapping[str, Found] = {}
    """By path as the installed machine has it."""
    service: ServiceState = ServiceState()
    installed_sha256: str = ""
    """Of the program that `current` leads to."""
    has_journals: bool = False
    """The node's own logs are kept here."""
    is_unpacked: bool = False
    """Something that was unpacked lies ready."""

    @property
    def is_image(self) -> bool:
        """Tell whether it is a folder that will be a machine later."""
        return self.layout.is_image

    def at(self, path: str) -> Found:
        """Return what is at a path."""
        return self.found.get(path, ABSENT)

    def group_of(self, user: str) -> str | None:
        """Return the first group of a user, None if there is no such user or group."""
        account = self.users.get(user)
        if account is None:
            return None
        names = (name for name, group in self.groups.items() if group.gid == account.gid)
        return next(names, None)


def look(layout: Layout, paths: Iterable[str]) -> Box:
    """Look at this machine, or at the image below `layout.root`; change nothing."""
    users, groups = _accounts_in(layout) if layout.is_image else _accounts()
    runs = not layout.is_image and systemd.runs()
    tools = frozenset(tool for tool in TOOLS if shutil.which(tool))
    return Box(
        layout=layout,
        is_root=os.geteuid() == 0,
        has_systemd=runs or any(layout.at(f).exists() for f in _SYSTEMD),
        systemd_runs=runs,
        supervisor=_supervisor(layout, runs),
        users=users,
        groups=groups,
        tools=tools,
        found={path: found_at(layout.at(path)) for path in paths},
        service=_service() if runs and "systemctl" in tools else ServiceState(),
        installed_sha256=_installed(layout),
        has_journals=any(layout.at(JOURNALS).glob(f"*.{JOURNAL}")),
        is_unpacked=any(layout.runtime.glob("*/complete")),
    )


def found_at(path: Path) -> Found:
    """Return what is at a path."""
    try:
        told = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    kind: Kind = "other"
    text = target = ""
    if stat.S_ISLNK(told.st_mode):
        kind, target = "link", str(path.readlink())
    elif stat.S_ISDIR(told.st_mode):
        kind = "folder"
    elif stat.S_ISREG(told.st_mode):
        kind = "file"
        with suppress(OSError):  # it is too large, or not for us; or exchanged just now
            text = read_plain(path, MOST_READ_BYTES).decode("utf-8", "replace")
    mode = stat.S_IMODE(told.st_mode)
    return Found(
        kind=kind, mode=mode, uid=told.st_uid, gid=told.st_gid, text=text, target=target
    )  # fmt: skip


def _installed(layout: Layout) -> str:
    """Return the hash of the program that `current` leads to; empty if there is none.

    The link is as an image has it, so it is not followed.
    """
    try:
        return sha256_of(layout.releases / layout.current.readlink().name / "mnedge")
    except OSError:
        return ""


_SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")


def _supervisor(layout: Layout, runs: bool) -> Supervisor:
    if runs:
        return "systemd"
    marks: tuple[tuple[str, Supervisor], ...] = (
        ("/run/openrc", "openrc"),
        ("/run/runit", "runit"),
        ("/etc/runit", "runit"),
        ("/sbin/openrc", "openrc"),
        ("/usr/lib/systemd/systemd", "systemd"),
        ("/lib/systemd/systemd", "systemd"),
        ("/etc/init.d", "sysv"),
    )
    return next((name for mark, name in marks if layout.at(mark).exists()), "unknown")


def _accounts() -> tuple[dict[str, Account], dict[str, Group]]:
    users = {
        entry.pw_name: Account(uid=entry.pw_uid, gid=entry.pw_gid, home=entry.pw_dir)
        for entry in pwd.getpwall()
    }
    groups = {
        entry.gr_name: Group(gid=entry.gr_gid, members=tuple(entry.gr_mem))
        for entry in grp.getgrall()
    }
    return users, groups


def _accounts_in(layout: Layout) -> tuple[dict[str, Account], dict[str, Group]]:
    """Read the accounts of an image from its files."""
    users = {
        fields[0]: Account(uid=int(fields[2]), gid=int(fields[3]), home=fields[5])
        for fields in _fields(layout.at("/etc/passwd"), 7)
        if fields[2].isdecimal() and fields[3].isdecimal()
    }
    groups = {
        fields[0]: Group(gid=int(fields[2]), members=tuple(filter(None, fields[3].split(","))))
        for fields in _fields(layout.at("/etc/group"), 4)
        if fields[2].isdecimal()
    }
    return users, groups


def _fields(path: Path, count: int) -> list[list[str]]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [fields for line in lines if len(fields := line.split(":")) == count]


def _service() -> ServiceState:
    try:
        told = systemd.properties(UNIT, "ActiveState", "UnitFileState", "NeedDaemonReload")
    except systemd.ServiceError:
        return ServiceState()
    return ServiceState(
        active=told["ActiveState"] in ("active", "reloading"),
        enabled=told["UnitFileState"] == "enabled",
        stale=told["NeedDaemonReload"] == "yes",
    )
