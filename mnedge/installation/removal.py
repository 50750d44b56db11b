"""What has to be done so that a machine has no node any more: a pure function of the machine."""

from collections.abc import Iterator
from pathlib import PurePath

from mnedge.config.layout import JOURNAL, UNIT, UPDATE_UNIT
from mnedge.errors import UsageError
from mnedge.installation.box import JOURNALS, Box
from mnedge.installation.plan import (
    COMMAND,
    COMPLETIONS,
    DATA,
    DROP_INS,
    ETC,
    JOURNAL_FILE,
    OPT,
    UNIT_FILE,
    UPDATE_UNIT_FILE,
    UPDATE_WANTED_BY,
    WANTED_BY,
    Plan,
    Settings,
    chosen_user,
)
from mnedge.installation.steps import AnyStep, Remove, RemoveGroup, RemoveUser, Systemctl

NO_FOLDERS = frozenset(
    ("/", "/boot", "/dev", "/etc", "/home", "/opt", "/root", "/srv", "/usr", "/var", "/var/lib")
)
"""What no configuration makes us remove."""


class NotInstalledError(UsageError):
    """There is nothing to take away."""

    code = "install.absent"


def removing(box: Box, settings: Settings, *, purge: bool) -> Plan:
    """Return what takes the node away; its data too with `purge`.

    The program goes last: it is what runs, and what is called again after a step that failed.
    Raises: NotInstalledError.
    """
    user = chosen_user(box)
    steps = [*_service(box), *_files(box)]
    if purge:
        steps.extend(_data(box, settings, user))
    steps.extend(_command(box))
    if is_there(box, OPT):
        steps.append(Remove(path=OPT, is_tree=True))
    kept = user if purge and _is_ours(box, user) and not _can_remove(box) else ""
    left = [path for path in dict.fromkeys((settings.data_dir, ETC)) if is_there(box, path)]
    if not steps:
        raise NotInstalledError(
            "mnedge is not installed here",
            hint=f"{' and '.join(left)} are left: `mnedge uninstall --purge` removes them"
            if left and not purge
            else "`mnedge install` installs it",
        )
    notes = []
    if left and not purge:
        what = f"{' '.join(left)} and the user {user}" if _is_ours(box, user) else " ".join(left)
        notes.append(f"stays: {what} (--purge removes that as well)")
    if kept:
        notes.append(f"stays: the user {kept}; userdel is not on this machine")
    return Plan(steps=tuple(steps), notes=tuple(notes))


def is_there(box: Box, path: str) -> bool:
    """Tell whether there is anything at a path."""
    return box.at(path).kind != "absent"


def _service(box: Box) -> Iterator[AnyStep]:
    units = [path for path in (UNIT_FILE, UPDATE_UNIT_FILE) if is_there(box, path)]
    if box.systemd_runs and is_there(box, UPDATE_UNIT_FILE):
        yield Systemctl(words=("disable", "--now", UPDATE_UNIT), may_fail=True)
    if box.systemd_runs and is_there(box, UNIT_FILE):
        yield Systemctl(words=("disable", "--now", UNIT))
    if not box.systemd_runs:
        links = (WANTED_BY, UPDATE_WANTED_BY)
        yield from (Remove(path=link) for link in links if is_there(box, link))
    yield from (Remove(path=path) for path in units)
    if is_there(box, JOURNAL_FILE):
        if box.systemd_runs:
            sockets = (f"systemd-journald{which}@{JOURNAL}.socket" for which in ("", "-varlink"))
            names = (*sockets, f"systemd-journald@{JOURNAL}.service")
            yield Systemctl(words=("stop", *names), may_fail=True)
        yield Remove(path=JOURNAL_FILE)
    if box.systemd_runs and units:
        yield Systemctl(words=("daemon-reload",))
        yield Systemctl(words=("reset-failed", UNIT), may_fail=True)


def _files(box: Box) -> Iterator[AnyStep]:
    yield from (Remove(path=path) for path in COMPLETIONS.values() if is_there(box, path))


def _command(box: Box) -> Iterator[AnyStep]:
    command = box.at(COMMAND)
    if command.kind == "link" and command.target.startswith(f"{OPT}/"):
        yield Remove(path=COMMAND)


def _data(box: Box, settings: Settings, user: str) -> Iterator[AnyStep]:
    named = dict.fromkeys((settings.data_dir, settings.runs_root, DATA))
    folders = [folder for folder in named if is_there(box, folder) and folder not in NO_FOLDERS]
    for folder in folders:
        within = any(PurePath(folder).is_relative_to(one) for one in folders if one != folder)
        if not within:
            yield Remove(path=folder, is_tree=True)
    for folder in (ETC, DROP_INS):
        if is_there(box, folder):
            yield Remove(path=folder, is_tree=True)
    if box.has_journals:
        yield Remove(path=f"{JOURNALS}/*.{JOURNAL}", is_pattern=True)
    if _is_ours(box, user) and _can_remove(box):
        yield RemoveUser(name=user)
        if user in box.groups:
            yield RemoveGroup(name=user)


def _is_ours(box: Box, user: str) -> bool:
    return user in box.users and box.users[user].home == DATA


def _can_remove(box: Box) -> bool:
    return {"userdel", "groupdel"} <= box.tools
