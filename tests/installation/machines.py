"""Machines to plan for: bare, or as a plan left them."""

from msgspec.structs import replace

from mnedge.config.layout import release_id
from mnedge.installation.box import Account, Box, Found, Group, Program, ServiceState
from mnedge.installation.plan import CURRENT, Plan, Wanted
from mnedge.installation.steps import (
    AddGroup,
    AddUser,
    CopyProgram,
    Folder,
    Join,
    Link,
    Remove,
    RemoveGroup,
    RemoveUser,
    Systemctl,
    Unpack,
    Write,
)

PROGRAM = Program(file="/root-of-somebody/mnedge", version="0.5.0", sha256="ab" * 32)
NEWER = Program(file="/tmp/mnedge", version="0.6.0", sha256="cd" * 32)
RELEASE = release_id(PROGRAM.version, PROGRAM.sha256)
BARE = Box(
    users={"root": Account(uid=0, gid=0, home="/root")},
    groups={"root": Group(gid=0), "video": Group(gid=44), "dialout": Group(gid=20)},
)
COMPLETIONS = {"bash": "complete mnedge\n", "zsh": "#compdef mnedge\n", "fish": "complete\n"}
WANTED = Wanted(program=PROGRAM, completions=COMPLETIONS)


def after(box: Box, plan: Plan) -> Box:
    """Return the machine as it is when the plan was done."""
    for step in plan.steps:
        box = _after(box, step)
    return box


def _after(box: Box, step) -> Box:
    users, groups, found = dict(box.users), dict(box.groups), dict(box.found)
    ids = lambda owner, group: {"uid": users[owner].uid, "gid": groups[group].gid}  # noqa: E731
    match step:
        case AddGroup(name=name):
            groups[name] = Group(gid=900)
        case AddUser(name=name, group=group, home=home):
            users[name] = Account(uid=900, gid=groups[group].gid, home=home)
        case Join(user=user, groups=names):
            groups |= {
                name: replace(groups[name], members=(*groups[name].members, user)) for name in names
            }
        case Folder(path=path, mode=mode, owner=owner, group=group):
            found[path] = Found(kind="folder", mode=mode, **ids(owner, group))
        case Write(path="/etc/systemd/journald@mnedge.conf", text=text, mode=mode):
            found["/etc/systemd/journald@mnedge.conf"] = Found(kind="file", mode=mode, text=text)
            box = replace(box, has_journals=True)
        case Write(path=path, text=text, mode=mode, owner=owner, group=group):
            found[path] = Found(kind="file", mode=mode, text=text, **ids(owner, group))
        case Link(path=path, target=target):
            found[path] = Found(kind="link", target=target)
            if path == CURRENT:
                is_newer = target.endswith(NEWER.sha256[:12])
                box = replace(box, installed_sha256=(NEWER if is_newer else PROGRAM).sha256)
        case CopyProgram():
            pass
        case Unpack():
            box = replace(box, is_unpacked=True)
        case Systemctl(words=("enable", "mnedge.service")):
            box = replace(box, service=replace(box.service, enabled=True))
        case Systemctl(words=("start" | "restart", _)):
            box = replace(box, service=replace(box.service, active=True))
        case Systemctl(words=("disable", "--now", "mnedge.service")):
            box = replace(box, service=ServiceState())
        case Remove(is_pattern=True):
            box = replace(box, has_journals=False)
        case Remove(path=path):
            found = {p: f for p, f in found.items() if p != path and not p.startswith(f"{path}/")}
            if path == "/opt/mnedge":
                box = replace(box, installed_sha256="", is_unpacked=False)
        case RemoveUser(name=name):
            users.pop(name)
        case RemoveGroup(name=name):
            groups.pop(name)
    return replace(box, users=users, groups=groups, found=found)
