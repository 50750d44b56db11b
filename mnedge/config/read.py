"""Settings: environment and flags → one frozen `Config`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from mnedge.config.settings import Config
from mnedge.errors import UsageError


class SettingInvalidError(UsageError):
    """A setting has a value that mnedge does not know."""

    code = "config.invalid"


def read_config(
    environ: Mapping[str, str], *, node: str | None = None, data_dir: str | None = None
) -> Config:
    """Return the settings of this process.

    Raises: SettingInvalidError naming the variable.
    """
    home = _folder(environ.get("MN_HOME"), Path(environ.get("HOME") or "/") / ".mn")
    return Config(
        home=home,
        data_dir=_folder(data_dir or environ.get("MNEDGE_DATA_DIR"), home / "mnedge"),
        runs_root=_folder(environ.get("MN_RUNS_ROOT"), home / "runs"),
        environ=dict(environ),
        node=environ.get("MNEDGE_NODE") or node or os.uname().nodename,
        durability=_durability(environ),
        inherit_environment=_switch(environ, "MNEDGE_INHERIT_ENVIRONMENT"),
        openshell_fallback=_switch(environ, "MNEDGE_OPENSHELL_FALLBACK", default=True),
        keep_workspaces=_switch(environ, "MNEDGE_KEEP_WORKSPACES"),
        snapshot_bytes=_size(environ, "MNEDGE_SNAPSHOT_BYTES", 4 << 20),
        plugins=tuple(name for name in environ.get("MNEDGE_PLUGINS", "").split(",") if name),
    )


def _folder(text: str | None, default: Path) -> Path:
    return Path(text).expanduser().absolute() if text else default.absolute()


def _durability(environ: Mapping[str, str]) -> Literal["FULL", "NORMAL"]:
    match environ.get("MNEDGE_DURABILITY", "").upper():
        case "" | "FULL":
            return "FULL"
        case "NORMAL":
            return "NORMAL"
        case value:
            raise SettingInvalidError(
                f"MNEDGE_DURABILITY is {value!r}", hint="set it to FULL or NORMAL"
            )


def _size(environ: Mapping[str, str], name: str, default: int) -> int:
    value = environ.get(name) or str(default)
    if not value.isascii() or not value.isdecimal() or int(value) < 1:
        raise SettingInvalidError(f"{name} is {value!r}", hint="set it to a number of bytes")
    return int(value)


def _switch(environ: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    value = environ.get(name, "").lower()
    if not value:
        return default
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise SettingInvalidError(f"{name} is {environ[name]!r}", hint="set it to 1 or 0")
