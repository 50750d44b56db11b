"""What has to be done so that a machine has a node: a pure function of the machine.

What is so already is no step, so a second plan is empty.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from mnedge.config.layout import ACCOUNT, JOURNAL, UNIT, UPDATE_UNIT, Layout, release_id
from mnedge.errors import NotAllowedError, UsageError
from mnedge.installation import texts, unit
from mnedge.installation.box import Box, Found, Kind, Program
from mnedge.installation.steps import (
    AddGroup,
    AddUser,
    AnyStep,
    AwaitHealth,
    CopyProgram,
    Folder,
    Join,
    Link,
    Systemctl,
    Unpack,
    Write,
)

MACHINE = Layout()
OPT, RELEASES, RUNTIME = map(str, (MACHINE.home, MACHINE.releases, MACHINE.runtime))
CURRENT, COMMAND = str(MACHINE.current), str(MACHINE.command)
CONFIG, DATA = str(MACHINE.config_file), str(MACHINE.data_dir)
ETC = str(MACHINE.config_file.parent)
UNIT_FILE, UPDATE_UNIT_FILE = str(MACHINE.unit), str(MACHINE.update_unit)
DROP_INS = f"{UNIT_FILE}.d"
_WANTED = "/etc/systemd/system/multi-user.target.wants"
WANTED_BY, UPDATE_WANTED_BY = f"{_WANTED}/{UNIT}", f"{_WANTED}/{UPDATE_UNIT}"
JOURNAL_FILE = f"/etc/systemd/journald@{JOURNAL}.conf"
COMPLETIONS = {
    "bash": "/usr/local/share/bash-completion/completions/mnedge",
    "zsh": "/usr/local/share/zsh/site-functions/_mnedge",
    "fish": "/usr/local/share/fish/vendor_completions.d/mnedge.fish",
}
PATHS = (
    *(OPT, RELEASES, RUNTIME, CURRENT, COMMAND, ETC, CONFIG, DATA, UNIT_FILE, UPDATE_UNIT_FILE),
    *(DROP_INS, WANTED_BY, UPDATE_WANTED_BY, JOURNAL_FILE, *COMPLETIONS.values()),
    *(str(Path(path).parent) for path in COMPLETIONS.values()),
)
"""What a plan needs to know of a machine."""
DEVICE_GROUPS = ("video", "render", "dialout", "audio", "gpio", "i2c", "spi", "plugdev")
"""Groups that open devices; the user joins those that there are."""
HEALTHY_WITHIN_S = 60.0


class NotRootError(NotAllowedError):
    """The machine is changed, or looked into, as only root may."""

    code = "install.not_root"


class ToolMissingError(UsageError):
    """A program that makes users is missing."""

    code = "install.tool_missing"


class OtherReleaseError(UsageError):
    """Another release is installed already."""

    code = "install.other_release"


class InTheWayError(UsageError):
    """Something else stands where a part of mnedge belongs."""

    code = "install.in_the_way"


class Settings(Struct, frozen=True, kw_only=True):
    """What an existing configuration says that concerns the service."""

    data_dir: str = DATA
    runs_root: str = f"{DATA}/runs"
    socket: str = f"{DATA}/mnedge.sock"
    writable: tuple[str, ...] = (DATA,)


class Wanted(Struct, frozen=True, kw_only=True):
    """What the person asked for."""

    program: Program
    user: str | None = None
    """None: the one that the installed unit names, else `mnedge`."""
    http: str | None = None
    grpc: str | None = None
    networks: tuple[str, ...] = ()
    start: bool = True
    replace: bool = False
    settings: Settings = Settings()
    completions: Mapping[str, str] = {}
    update_unit: str = ""
    """The text of the unit that ends a trial."""


class Plan(Struct, frozen=True, kw_only=True):
    """What is to be done, and what is said besides."""

    steps: tuple[AnyStep, ...]
    notes: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()
    """What a person has to do, since we cannot."""


def installing(box: Box, wanted: Wanted) -> Plan:
    """Return what makes this machine a node.

    Raises: ToolMissingError; OtherReleaseError; InTheWayError.
    """
    user = wanted.user or chosen_user(box)
    group = box.group_of(user) or user
    accounts = tuple(_accounts(box, user, group))
    program = tuple(_program(box, wanted))
    files = tuple(_files(box, wanted, user, group))
    plan = Plan(
        steps=(*accounts, *program, *files),
        notes=tuple(_notes(box, wanted, user, group)),
        by_hand=() if box.has_systemd else texts.by_hand(box.supervisor, user, COMMAND),
    )
    return _started(box, wanted, plan)


def chosen_user(box: Box) -> str:
    """Return the user of an earlier installation: who the unit names, else whose the data are."""
    named = unit.user_of(box.at(UNIT_FILE).text)
    data = box.at(DATA)
    owners = (n for n, one in box.users.items() if data.kind == "folder" and one.uid == data.uid)
    return named or next((name for name in owners if name != "root"), ACCOUNT)


def service_of(
    settings: Settings, user: str, group: str, networks: tuple[str, ...]
) -> unit.Service:
    """Return the service of a node with these settings."""
    return unit.Service(
        program=COMMAND,
        config_file=CONFIG,
        user=user,
        group=group,
        data_dir=settings.data_dir,
        writable=settings.writable,
        networks=networks or ("any",),
    )


def require_root(box: Box) -> None:
    """Refuse to change a machine that only root may change.

    Raises: NotRootError.
    """
    if not box.is_root:
        raise NotRootError(
            "this changes the machine, which only root may",
            hint="run it again with sudo; --dry-run shows the steps",
        )


def _accounts(box: Box, user: str, group: str) -> Iterator[AnyStep]:
    for tool, needed in (
        ("groupadd", group not in box.groups),
        ("useradd", user not in box.users),
    ):
        if needed and tool not in box.tools:
            raise ToolMissingError(
                f"{tool} is not on this machine, so the user {user} cannot be made",
                hint=f"make a system user {user} with a group of that name, then install again; "
                f"as busybox does: addgroup -S {group} && adduser -S -D -H -G {group} {user}",
            )
    if group not in box.groups:
        yield AddGroup(name=group)
    if user not in box.users:
        yield AddUser(name=user, group=group, home=DATA)
    missing = tuple(
        name
        for name in DEVICE_GROUPS
        if name in box.groups and user not in box.groups[name].members
    )
    if missing and "usermod" in box.tools:
        yield Join(user=user, groups=missing)


def _program(box: Box, wanted: Wanted) -> Iterator[AnyStep]:
    program = wanted.program
    release = release_id(program.version, program.sha256)
    target = f"releases/{release}"
    for path in (OPT, RELEASES, RUNTIME):
        yield from _folder(box, path, 0o755)
    current = box.at(CURRENT)
    if current.kind not in ("absent", "link"):
        raise _in_the_way(CURRENT, "a link to the release that runs")
    if box.installed_sha256 not in ("", program.sha256) and not wanted.replace:
        raise OtherReleaseError(
            f"{current.target} is installed, and this is {release}",
            hint="`mnedge update FILE` checks the new one and goes back if it is not well; "
            "`mnedge install --replace` takes this one as it is",
        )
    if box.installed_sha256 != program.sha256:
        place = f"{RELEASES}/{release}"
        yield Folder(path=place, mode=0o755)
        yield CopyProgram(source=program.file, path=f"{place}/mnedge", sha256=program.sha256)
        yield Unpack(program=f"{place}/mnedge", folder=RUNTIME)
        if current.target and current.target != target:
            yield Link(path=str(MACHINE.previous), target=current.target)
    elif not box.is_unpacked:
        yield Unpack(program=f"{RELEASES}/{release}/mnedge", folder=RUNTIME)
    if box.installed_sha256 != program.sha256 or current.kind != "link":
        yield Link(path=CURRENT, target=target)
    command = box.at(COMMAND)
    if command.kind in ("folder", "other") or (command.kind == "file" and not _ours(command)):
        raise _in_the_way(COMMAND, "the command mnedge")
    yield from _link(box, COMMAND, f"{CURRENT}/mnedge")


def _ours(found: Found) -> bool:
    """Tell whether a file where the command belongs may give way.

    It is a copy of mnedge if it is too large to have been read: other people's scripts are not.
    """
    return not found.text


def _files(box: Box, wanted: Wanted, user: str, group: str) -> Iterator[AnyStep]:
    yield from _data_folder(box, user, group)
    yield from _folder(box, ETC, 0o750, "root", group)
    if box.at(CONFIG).kind == "absent":
        text = texts.config_text(DATA, group, wanted.http, wanted.grpc)
        yield Write(path=CONFIG, text=text, mode=0o640, group=group)
    if box.has_systemd:
        networks = wanted.networks or unit.networks_of(box.at(UNIT_FILE).text)
        service = service_of(wanted.settings, user, group, networks)
        yield from _file(box, UNIT_FILE, unit.filled(unit.template(), service))
        if wanted.update_unit:
            yield from _file(box, UPDATE_UNIT_FILE, wanted.update_unit)
        yield from _file(box, JOURNAL_FILE, texts.journal())
    for shell, path in COMPLETIONS.items():
        if shell in wanted.completions:
            parent = str(Path(path).parent)
            if box.at(parent).kind == "absent" and box.at(path).kind == "absent":
                yield Folder(path=parent, mode=0o755)
            yield from _file(box, path, wanted.completions[shell])


def _data_folder(box: Box, user: str, group: str) -> Iterator[AnyStep]:
    """Data of root become the node's with all in it by systemd; of anybody else they stay."""
    found = box.at(DATA)
    uid = box.users[user].uid if user in box.users else None
    if found.kind == "folder" and found.uid not in (0, uid):
        owner = next((n for n, one in box.users.items() if one.uid == found.uid), "")
        # Who is not there yet gets it from root, by systemd.
        to = f"{user}:{group}" if uid is not None or not box.has_systemd else "root:root"
        raise InTheWayError(
            f"{DATA} belongs to {owner or found.uid}, and the node runs as {user}",
            hint=f"chown -R {to} {DATA}, and install again"
            + (f"; or install with --user {owner}" if owner else ""),
        )
    if not (found.kind == "folder" and found.uid == 0 and box.has_systemd):
        yield from _folder(box, DATA, 0o750, user, group)


def _notes(box: Box, wanted: Wanted, user: str, group: str) -> Iterator[str]:
    begin_anew = f" && systemctl restart {UNIT}" if box.systemd_runs else ""
    for folder in wanted.settings.writable if not box.is_image else ():
        if folder != DATA and box.at(folder).kind == "absent":
            # Not made here: it may be a disk that is not mounted yet.
            yield (
                f"{folder} is not there, and the node cannot make it: "
                f"install -d -o {user} -g {group} {folder}{begin_anew}"
            )
    if box.at(CONFIG).kind != "absent":
        for name, value in (("http", wanted.http), ("grpc", wanted.grpc)):
            if value:
                yield (
                    f"{CONFIG} is yours and stays as it is: say relay.listen.{name}: {value} there"
                )


def _started(box: Box, wanted: Wanted, plan: Plan) -> Plan:
    """Return the plan with what the service manager is asked."""
    steps = list(plan.steps)
    changed = {step.path for step in steps if isinstance(step, Write | Link)}
    by_hand = plan.by_hand
    if box.systemd_runs:
        if box.service.stale or changed & {UNIT_FILE, UPDATE_UNIT_FILE}:
            steps.append(Systemctl(words=("daemon-reload",)))
        if not box.service.enabled:
            steps.append(Systemctl(words=("enable", UNIT)))
        if wanted.update_unit and UPDATE_UNIT_FILE in changed:
            steps.append(Systemctl(words=("enable", UPDATE_UNIT)))
        if wanted.start:
            verb = "start" if not box.service.active else "restart"
            if verb == "start" or box.service.stale or changed & {UNIT_FILE, CURRENT, CONFIG}:
                steps.append(Systemctl(words=(verb, UNIT)))
                socket = wanted.settings.socket
                steps.append(AwaitHealth(socket=socket, within_s=HEALTHY_WITHIN_S))
        elif not box.service.active:
            by_hand = (*by_hand, f"start it: systemctl start {UNIT}")
    elif box.has_systemd:
        steps.extend(_link(box, WANTED_BY, UNIT_FILE))
        if wanted.update_unit:
            steps.extend(_link(box, UPDATE_WANTED_BY, UPDATE_UNIT_FILE))
        if not box.is_image:
            by_hand = (*by_hand, "systemd does not run here: it starts mnedge when it runs")
    return Plan(steps=tuple(steps), notes=plan.notes, by_hand=by_hand)


def _folder(
    box: Box, path: str, mode: int, owner: str = "root", group: str = "root"
) -> Iterator[AnyStep]:
    found = box.at(path)
    _free(path, found, "folder")
    if found.kind == "absent" or found.mode != mode or not _owned(box, found, owner, group):
        yield Folder(path=path, mode=mode, owner=owner, group=group)


def _file(box: Box, path: str, text: str) -> Iterator[AnyStep]:
    found = box.at(path)
    _free(path, found, "file")
    if found.kind == "absent" or found.text != text or found.mode != 0o644:
        yield Write(path=path, text=text, is_new=found.kind == "absent")


def _link(box: Box, path: str, target: str) -> Iterator[AnyStep]:
    found = box.at(path)
    if found.kind != "link" or found.target != target:
        yield Link(path=path, target=target)


def _owned(box: Box, found: Found, owner: str, group: str) -> bool:
    ids = {"root": 0} | {name: account.uid for name, account in box.users.items()}
    gids = {"root": 0} | {name: one.gid for name, one in box.groups.items()}
    return (ids.get(owner), gids.get(group)) == (found.uid, found.gid)


def _free(path: str, found: Found, kind: Kind) -> None:
    if found.kind not in ("absent", kind):
        raise _in_the_way(path, f"a {kind}")


def _in_the_way(path: str, what: str) -> InTheWayError:
    return InTheWayError(
        f"{path} is there, and {what} of mnedge belongs there", hint="move it away, then try again"
    )
