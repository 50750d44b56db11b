"""Settings: defaults, then the file, then the environment, then flags → one frozen `Config`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct, field

from mnedge.config.problem import ConfigInvalidError, Problem
from mnedge.config.settings import Config, FileSettings, Relay
from mnedge.errors import NotAllowedError, UsageError

FILE_NAME = "config.yaml"
SYSTEM_FILE = Path("/etc/mnedge/config.yaml")

Source = Literal["default", "file", "env", "flag"]


class SettingInvalidError(UsageError):
    """A setting has a value that mnedge does not know."""

    code = "config.invalid"


class ConfigFileAbsentError(UsageError):
    """The configuration file that was named cannot be read."""

    code = "config.file_absent"


class ConfigForbiddenError(NotAllowedError):
    """The configuration of an installed node is not for this user."""

    code = "config.forbidden"


class Origin(NamedTuple):
    """Where a value comes from: `file`, and `/etc/mnedge/config.yaml:3`."""

    source: Source
    where: str = ""


class Flags(Struct, frozen=True, kw_only=True):
    """What the command line said; None: nothing."""

    data_dir: str | None = None
    file: str | None = None
    http: str | None = None
    grpc: str | None = None


class Loaded(Struct, frozen=True, kw_only=True):
    """A configuration and where it comes from."""

    config: Config
    origins: dict[str, Origin] = field(default_factory=dict)
    """By path, of all that is no default; what is said of a section goes for what is in it."""
    problems: tuple[Problem, ...] = ()
    """Warnings and notes; a configuration with errors is never loaded."""

    def origin(self, path: str) -> Origin:
        """Return where the value at this path comes from."""
        return self.origins.get(path, Origin("default"))


def read_config(
    environ: Mapping[str, str],
    *,
    node: str | None = None,
    data_dir: str | None = None,
    file: str | None = None,
) -> Config:
    """Return the settings of this process.

    Raises: SettingInvalidError naming the variable; ConfigFileAbsentError; ConfigInvalidError with
    all that is wrong in the file.
    """
    return load_config(environ, Flags(data_dir=data_dir, file=file), node=node).config


def load_config(
    environ: Mapping[str, str], flags: Flags | None = None, *, node: str | None = None
) -> Loaded:
    """Return the settings of this process and where each comes from; raises as `read_config`."""
    flags = flags or Flags()
    path = config_file(environ, flags)
    if path is None:
        return _joined(FileSettings(), environ, flags, node, None)
    from mnedge.config.file import read_file

    held = read_file(path)
    joined = _joined(held.settings, environ, flags, node, path)
    origins = {
        at: Origin("file", f"{path}:{place.line}") for at, place in held.places.items() if at
    } | joined.origins
    found = (*held.problems, *_senseless(joined, held.places, held.problems, path))
    problems = tuple(sorted(found, key=lambda problem: (problem.line, problem.column)))
    if any(problem.severity == "error" for problem in problems):
        raise ConfigInvalidError(problems)
    return Loaded(config=joined.config, origins=origins, problems=problems)


def config_file(environ: Mapping[str, str], flags: Flags) -> Path | None:
    """Return the configuration file of this process, or None if there is none.

    Raises: ConfigFileAbsentError if one is named that is not there; ConfigForbiddenError.
    """
    named = flags.file or environ.get("MNEDGE_CONFIG")
    if named:
        path = Path(named).expanduser().absolute()
        if not path.exists() or path.is_dir():
            raise ConfigFileAbsentError(
                f"there is no configuration file {path}",
                hint="" if flags.file else "the variable MNEDGE_CONFIG names it",
            )
        return path
    told = flags.data_dir or environ.get("MNEDGE_DATA_DIR")
    for path in (_folder(told, _home(environ) / "mnedge") / FILE_NAME, SYSTEM_FILE):
        try:
            if path.is_file():
                return path
        except PermissionError:
            if not told:
                raise ConfigForbiddenError(
                    f"{path} is for root and for members of its group",
                    hint="a node is installed here: sudo usermod -aG mnedge YOU, and log in again; "
                    "or name a data directory of your own with --data-dir",
                ) from None
    return None


def _joined(
    held: FileSettings,
    environ: Mapping[str, str],
    flags: Flags,
    node: str | None,
    path: Path | None,
) -> Loaded:
    """Lay the environment and the flags over what the file holds."""
    over = _Over(environ)
    home = _home(environ)
    data_dir = over.flag("data_dir", flags.data_dir, "--data-dir") or over.text(
        "data_dir", "MNEDGE_DATA_DIR"
    )
    runs_root = over.text("runs_root", "MN_RUNS_ROOT")
    http = over.flag("relay.listen.http", flags.http, "--http")
    grpc = over.flag("relay.listen.grpc", flags.grpc, "--grpc")
    relay = _listening(held.relay, http, grpc)
    plugins = over.text("plugins", "MNEDGE_PLUGINS")
    config = Config(
        home=home,
        data_dir=_folder(data_dir or held.data_dir, home / "mnedge"),
        runs_root=_folder(runs_root or held.runs_root, home / "runs"),
        environ=dict(environ),
        node=over.text("node", "MNEDGE_NODE") or held.node or node or os.uname().nodename,
        durability=_durability(over) or held.durability,
        inherit_environment=over.switch(
            "inherit_environment", "MNEDGE_INHERIT_ENVIRONMENT", held.inherit_environment
        ),
        openshell_fallback=over.switch(
            "openshell_fallback", "MNEDGE_OPENSHELL_FALLBACK", held.openshell_fallback
        ),
        keep_workspaces=over.switch(
            "keep_workspaces", "MNEDGE_KEEP_WORKSPACES", held.keep_workspaces
        ),
        snapshot_bytes=_size(over, held.snapshot_bytes),
        plugins=held.plugins
        if plugins is None
        else tuple(name for name in plugins.split(",") if name),
        file=path,
        relay=relay,
        soul=held.soul,
        trace=held.trace,
        daemon=held.daemon,
        devices=held.devices,
        connectors=held.connectors,
        updates=held.updates,
    )
    loaded = Loaded(config=config, origins=over.origins)
    if path is None and (http or grpc):
        problems = _senseless(loaded, {}, (), None)
        if any(problem.severity == "error" for problem in problems):
            raise ConfigInvalidError(problems)
        return msgspec.structs.replace(loaded, problems=tuple(problems))
    return loaded


def _listening(relay: Relay, http: str | None, grpc: str | None) -> Relay:
    if not http and not grpc:
        return relay
    listen = relay.listen
    listen = msgspec.structs.replace(listen, http=http or listen.http, grpc=grpc or listen.grpc)
    return msgspec.structs.replace(relay, listen=listen)


def _senseless(
    loaded: Loaded, places: Mapping[str, Any], known: tuple[Problem, ...], path: Path | None
) -> list[Problem]:
    """Return what makes no sense; a value that could not be read is not judged again."""
    from mnedge.config.sense import complaints

    unread = {problem.path for problem in known if problem.severity == "error"}
    found = []
    for complaint in complaints(loaded.config):
        if complaint.path in unread:
            continue
        at = complaint.path
        while at and at not in places:
            at = _outside(at)
        place = places.get(at) if at else None
        told = loaded.origins.get(complaint.path)
        found.append(
            Problem(
                rule=complaint.rule,
                message=complaint.message,
                path=complaint.path,
                source=told.where if told else str(path or ""),
                line=place.line if place and not told else 0,
                column=place.column if place and not told else 0,
                expected=complaint.expected,
                hint=complaint.hint,
            )
        )
    return found


def _outside(path: str) -> str:
    """Return the path of what holds this one: `a.b[0]` → `a.b` → `a`."""
    return path[: path.rindex("[")] if path.endswith("]") else path.rpartition(".")[0]


class _Over:
    """The layers over the file; remembers which value came from which."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.origins: dict[str, Origin] = {}

    def flag(self, path: str, value: str | None, name: str) -> str | None:
        if value:
            self.origins[path] = Origin("flag", name)
        return value or None

    def text(self, path: str, name: str) -> str | None:
        """Return the variable, None if it is not set or empty."""
        value = self.environ.get(name)
        if value and path not in self.origins:
            self.origins[path] = Origin("env", name)
        return value or None

    def switch(self, path: str, name: str, default: bool) -> bool:
        value = (self.text(path, name) or "").lower()
        if not value:
            return default
        if value in {"1", "true", "yes", "on"}:
            return True
        if value in {"0", "false", "no", "off"}:
            return False
        raise SettingInvalidError(f"{name} is {self.environ[name]!r}", hint="set it to 1 or 0")


def _home(environ: Mapping[str, str]) -> Path:
    return _folder(environ.get("MN_HOME"), Path(environ.get("HOME") or "/") / ".mn")


def _folder(text: str | None, default: Path) -> Path:
    return Path(text).expanduser().absolute() if text else default.absolute()


def _durability(over: _Over) -> Literal["FULL", "NORMAL"] | None:
    match (over.text("durability", "MNEDGE_DURABILITY") or "").upper():
        case "":
            return None
        case "FULL":
            return "FULL"
        case "NORMAL":
            return "NORMAL"
        case value:
            raise SettingInvalidError(
                f"MNEDGE_DURABILITY is {value!r}", hint="set it to FULL or NORMAL"
            )


def _size(over: _Over, default: int) -> int:
    name = "MNEDGE_SNAPSHOT_BYTES"
    value = over.text("snapshot_bytes", name) or str(default)
    if not value.isascii() or not value.isdecimal() or int(value) < 1:
        raise SettingInvalidError(f"{name} is {value!r}", hint="set it to a number of bytes")
    return int(value)
