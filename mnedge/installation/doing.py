"""Does the steps of a plan. Thin: each is one thing that the machine offers."""

import grp
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import assert_never

from mnedge.config.layout import JOURNAL, Layout
from mnedge.durable import sha256_of, switch, to_disk, write_whole
from mnedge.errors import MnedgeError, UnavailableError
from mnedge.installation.box import Box, look
from mnedge.installation.health import await_health
from mnedge.installation.plan import PATHS, NotRootError, Plan
from mnedge.installation.steps import (
    AddGroup,
    AddUser,
    AnyStep,
    AwaitHealth,
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
from mnedge.systemd import ServiceError, systemctl

NO_LOGIN = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false")
MOST_S = 180.0
"""The longest that a step of the machine's own takes: a stop waits for work to end."""
ENDING_S = 10.0
LAST_LINES = 12
NOT_USED = "MNEDGE_RUNTIME_DIR is not used"
"""Said by the one file (`packaging/stub.sh`) that unpacked itself into another folder."""


class StepFailedError(UnavailableError):
    """A step could not be done; those before it stay done."""

    code = "install.step_failed"


class _CommandFailedError(Exception):
    """A program of the machine said no."""


def do(
    plan: Plan, layout: Layout, *, verb: str, begun: Callable[[int, AnyStep], None] | None = None
) -> None:
    """Do every step in order; `begun` hears of each before it is done.

    Raises: StepFailedError naming the step that failed and how to go on.
    """
    for number, step in enumerate(plan.steps, 1):
        if begun is not None:
            begun(number, step)
        try:
            _do(step, layout)
        except (OSError, subprocess.SubprocessError, _CommandFailedError, MnedgeError) as error:
            deed, what = step.told()
            raise StepFailedError(
                f"step {number} of {len(plan.steps)} failed, {deed} {what}: {_reason(error)}",
                hint=f"mend it and run `mnedge {verb}` again: what is done stays done",
                details={"step": deed, "of": what, "number": number},
            ) from error


def _do(step: AnyStep, layout: Layout) -> None:
    match step:
        case AddGroup() | AddUser() | Join() | RemoveUser() | RemoveGroup():
            if isinstance(step, RemoveUser):
                _end_all_of(step.name, layout)
            words = _account_words(step, layout)
            if words:
                _run(*words)
        case Folder(path=path):
            _folder(step, layout.at(path), layout)
        case CopyProgram(source=source, path=path, sha256=sha256):
            _copy(Path(source), layout.at(path), sha256)
        case Unpack(program=program, folder=folder):
            _unpack(layout.at(program), layout.at(folder), is_image=layout.is_image)
        case Link(path=path, target=target):
            switch(_made(layout.at(path)), target)
        case Write(path=path, text=text, mode=mode, owner=owner, group=group):
            place = _made(layout.at(path))
            write_whole(place, text.encode(), mode, _ids(layout, owner, group))
        case Systemctl(words=words, may_fail=may_fail):
            _systemctl(words, may_fail=may_fail)
        case AwaitHealth(socket=socket, within_s=within_s):
            await_health(Path(socket), within_s)
        case Remove(path=path, is_tree=is_tree, is_pattern=is_pattern):
            _remove(layout, path, is_tree=is_tree, is_pattern=is_pattern)
        case _:
            assert_never(step)


def _account_words(
    step: AddGroup | AddUser | Join | RemoveUser | RemoveGroup, layout: Layout
) -> Sequence[str]:
    where = ("--prefix", str(layout.root)) if layout.is_image else ()
    match step:
        case AddGroup(name=name):
            return ("groupadd", *where, "--system", name)
        case AddUser(name=name, group=group, home=home):
            shell = next((one for one in NO_LOGIN if layout.at(one).exists()), NO_LOGIN[-1])
            more = ("--system", "--gid", group, "--home-dir", home, "--no-create-home")
            return ("useradd", *where, *more, "--shell", shell, "--comment", "mnedge node", name)
        case Join(user=user, groups=groups):
            return ("usermod", *where, "--append", "--groups", ",".join(groups), user)
        case RemoveUser(name=name):
            return ("userdel", *where, name)
        case RemoveGroup(name=name):
            # If it was its user's own, userdel took it along.
            is_there = name in look(layout, ()).groups
            return ("groupdel", *where, name) if is_there else ()
        case _:
            assert_never(step)


def _end_all_of(user: str, layout: Layout) -> None:
    """Kill what the node's user still runs: the service has ended, and userdel refuses till then.

    Only a user whom `install` made is ever removed. In an image nobody runs.
    """
    if layout.is_image:
        return
    import psutil

    try:
        uid = pwd.getpwnam(user).pw_uid
    except KeyError:
        return
    running = psutil.process_iter(["uids"])
    left = [one for one in running if uid in (one.info["uids"] or ())]
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=ENDING_S)


def _folder(step: Folder, path: Path, layout: Layout) -> None:
    path.mkdir(mode=0o755, parents=True, exist_ok=True)
    os.chown(path, *_ids(layout, step.owner, step.group))
    path.chmod(step.mode)


def _copy(source: Path, path: Path, sha256: str) -> None:
    if path.is_file() and sha256_of(path) == sha256:
        return
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, unfinished)
        if sha256_of(unfinished) != sha256:
            raise _CommandFailedError(f"{source} changed while it was copied")
        unfinished.chmod(0o755)
        to_disk(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    to_disk(path.parent)


def _made(path: Path) -> Path:
    """Return the path, with a folder that it can stand in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _unpack(program: Path, folder: Path, *, is_image: bool) -> None:
    try:
        environ = os.environ | {"MNEDGE_RUNTIME_DIR": str(folder)}
        said = _run(str(program), "--version", environ=environ)
        if NOT_USED in said:
            # It ran from another folder; the service would do so too, from one that it may write.
            raise _CommandFailedError(said)
    except _CommandFailedError:
        # For another kind of machine it is unpacked, and cannot be started here.
        if not (is_image and any(folder.glob("*/complete"))):
            raise


def _systemctl(words: Sequence[str], *, may_fail: bool) -> None:
    try:
        systemctl(*words, within_s=MOST_S)
    except ServiceError as error:
        if may_fail:
            return
        if words[0] not in ("start", "restart"):
            raise
        log = ("journalctl", f"--namespace={JOURNAL}", "--output=cat", "--no-pager", "--lines=6")
        told = subprocess.run(log, capture_output=True, text=True, timeout=MOST_S, check=False)
        raise _CommandFailedError(f"{error.message}\n{told.stdout.strip()}") from error


def _remove(layout: Layout, path: str, *, is_tree: bool, is_pattern: bool) -> None:
    if is_pattern:
        for found in layout.root.glob(path.lstrip("/")):
            shutil.rmtree(found)
        return
    place = layout.at(path)
    if is_tree and place.is_mount():
        _empty(place)
    elif is_tree and not place.is_symlink():
        with suppress(FileNotFoundError):
            shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _empty(disk: Path) -> None:
    """Remove what a mounted disk holds; the mount stays, and is root's."""
    for path in disk.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    os.chown(disk, 0, 0)


def _ids(layout: Layout, owner: str, group: str) -> tuple[int, int]:
    """Return the numbers of a user and a group as the installed machine has them."""
    if (owner, group) == ("root", "root"):
        return 0, 0
    if not layout.is_image:
        try:
            return pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid
        except KeyError as error:
            raise _CommandFailedError(f"there is no {error.args[0]}") from error
    box: Box = look(layout, ())
    if owner != "root" and owner not in box.users:
        raise _CommandFailedError(f"the image has no user {owner}")
    if group != "root" and group not in box.groups:
        raise _CommandFailedError(f"the image has no group {group}")
    uid = 0 if owner == "root" else box.users[owner].uid
    return uid, 0 if group == "root" else box.groups[group].gid


def _run(*words: str, environ: dict[str, str] | None = None) -> str:
    """Return what it says."""
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=MOST_S,
        env=environ,
        check=False,
    )
    said = "\n  ".join(done.stdout.strip().splitlines()[-LAST_LINES:])
    if done.returncode != 0:
        raise _CommandFailedError(said or f"it ended with {done.returncode}")
    return said


def _reason(error: BaseException) -> str:
    if isinstance(error, MnedgeError):
        return f"{error.message}{'; ' if error.hint else ''}{error.hint}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


def examined(layout: Layout, *more: str) -> Box:
    """Return this machine, or the image, as a plan needs to know it; `more`: paths besides.

    Raises: NotRootError for somebody who may not look into the folders of a node.
    """
    try:
        return look(layout, (*PATHS, *more))
    except PermissionError as error:
        raise NotRootError(
            f"{error.filename} is for root and for members of its group",
            hint="run it again with sudo; --dry-run shows the steps",
        ) from error
