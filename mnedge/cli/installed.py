"""What `doctor` looks at of an installed node: its files, and whose it is."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from mnedge.cli.installing import settings_of, update_unit
from mnedge.cli.verdict import Finding, absent, broken, ok, warning
from mnedge.config.layout import Layout
from mnedge.config.settings import Config
from mnedge.gateway.unix_socket import answers
from mnedge.installation import texts, unit
from mnedge.installation.box import ABSENT, found_at
from mnedge.installation.plan import DROP_INS, JOURNAL_FILE, UNIT_FILE, UPDATE_UNIT_FILE, service_of

GROUP = "installation"
MEND = "sudo mnedge install; lines of your own belong into `systemctl edit mnedge`"


def owner_of_data(config: Config) -> str | None:
    """Return whose data directory it is, if it is neither this user's nor root who asks."""
    try:
        uid = config.data_dir.stat().st_uid
    except OSError:
        return None
    if os.geteuid() in (0, uid) or os.access(config.data_dir, os.W_OK):
        return None
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def guest_findings(config: Config, owner: str) -> Iterator[Finding]:
    """Look at a node of another user: only its daemon is to be reached."""
    yield ok("folders", "data directory", f"{config.data_dir}, of {owner}")
    try:
        path, lives = config.socket, config.socket.is_socket()
    except PermissionError:
        path, lives = config.socket, False
    if lives and not os.access(path, os.W_OK):
        mend = "members of its group may: usermod -aG GROUP SOMEBODY"
        yield warning("daemon", "unix socket", f"{path} is not for this user", mend)
    elif lives and answers(path):
        yield ok("daemon", "unix socket", f"{path}, for members of its group")
    else:
        yield broken("daemon", "unix socket", f"{path} does not answer", "systemctl start mnedge")


def installation_findings(layout: Layout | None = None) -> Iterator[Finding]:
    """Compare what is installed here with what this version installs; nothing where nothing is."""
    layout = layout or Layout()
    found = found_at(layout.at(UNIT_FILE))
    if found is ABSENT:
        return
    release = _target(layout.current)
    if not (layout.current / "mnedge").is_file():
        yield broken(GROUP, "release", f"{layout.current} leads nowhere", "sudo ./mnedge install")
    else:
        yield ok(GROUP, "release", release)
    user = unit.user_of(found.text) or ""
    service = service_of(
        settings_of(layout, even_if_bad=True),
        user,
        unit.group_of(found.text) or user,
        unit.networks_of(found.text),
    )
    journal = found_at(layout.at(JOURNAL_FILE)).text
    expected = (
        (UNIT_FILE, found.text, user and unit.filled(unit.template(), service)),
        (UPDATE_UNIT_FILE, found_at(layout.at(UPDATE_UNIT_FILE)).text, update_unit()),
        (JOURNAL_FILE, journal, texts.journal()),
    )
    for path, text, wanted in expected:
        name = {UNIT_FILE: "unit", JOURNAL_FILE: "journal"}.get(path, "update unit")
        if text == wanted:
            yield ok(GROUP, name, path)
        else:
            yield warning(GROUP, name, f"{path} is not as this version writes it", MEND)
    drop_ins = sorted(one.name for one in layout.at(DROP_INS).glob("*.conf"))
    if drop_ins:
        yield absent(GROUP, "changed by", f"{DROP_INS}: {' '.join(drop_ins)}")


def elsewhere_findings(config: Config, layout: Layout | None = None) -> Iterator[Finding]:
    """Tell where the installed node's data are, if not where the command line looks for them."""
    layout = layout or Layout()
    if config.file != layout.config_file or found_at(layout.at(UNIT_FILE)) is ABSENT:
        return
    node = settings_of(layout, even_if_bad=True)
    if node.data_dir != str(config.data_dir):
        found = f"the node's data are in {node.data_dir}, and this is about {config.data_dir}"
        mend = f"say `data_dir: {node.data_dir}` and `runs_root: {node.runs_root}` in {config.file}"
        yield warning(GROUP, "data directory", found, mend)


def _target(link: Path) -> str:
    try:
        return link.readlink().name
    except OSError:
        return str(link)
