"""What `doctor` looks at about the node itself: its configuration, and a daemon that runs."""

import os
from collections.abc import Iterator, Mapping

from mnedge.cli.show import counted
from mnedge.cli.verdict import Finding
from mnedge.config import read
from mnedge.config.file import read_file
from mnedge.config.layout import Layout
from mnedge.config.problem import ConfigInvalidError, Problem
from mnedge.config.read import Flags, config_file, load_config
from mnedge.config.settings import Config, FileSettings
from mnedge.daemon.endpoints import RUNTIME, is_advertised, read_own
from mnedge.daemon.owner import owner_of
from mnedge.errors import UsageError
from mnedge.gateway.unix_socket import answers
from mnedge.store.claims import process_name

MOST_SHOWN = 5


def configuration(environ: Mapping[str, str], data_dir: str | None) -> tuple[Config, list[Finding]]:
    """Return the configuration and what is to say about it; defaults where the file is bad.

    Raises: SettingInvalidError for a variable that makes no sense.
    """
    flags = Flags(data_dir=data_dir)
    try:
        loaded = load_config(environ, flags)
    except ConfigInvalidError as error:
        found = [_broken(problem) for problem in error.problems if problem.severity == "error"]
        return _without_file(environ, data_dir), [*found[:MOST_SHOWN], *_more(len(found))]
    except UsageError as error:
        if config_is_named(environ) is None:
            raise
        broken = Finding(
            group="configuration",
            name="file",
            status="broken",
            found=error.message,
            mend=error.hint,
        )
        return _without_file(environ, data_dir), [broken]
    file = loaded.config.file
    if file is None:
        told = _finding("file", "absent", "none; defaults and the environment serve")
    else:
        told = _finding("file", "ok", str(file))
    warnings = [problem for problem in loaded.problems if problem.severity == "warning"]
    return loaded.config, [told, *(_warned(problem) for problem in warnings[:MOST_SHOWN])]


def config_is_named(environ: Mapping[str, str]) -> str | None:
    """Return the variable's file, where one is named that is not there."""
    named = environ.get("MNEDGE_CONFIG")
    return named if named and not os.path.isfile(named) else None


def daemon_findings(config: Config) -> Iterator[Finding]:
    """Look for a daemon of this data directory: whether it runs, where it listens, who finds it."""
    own = read_own(config)
    if own is None and (owner := owner_of(config)) is not None:
        found = f"none runs; jobs of {config.data_dir} wait for that of {owner.pw_name}"
        mend = "systemctl start mnedge; systemctl status mnedge says why it ended"
        yield Finding(group="daemon", name="daemon", status="warning", found=found, mend=mend)
        return
    if own is None:
        yield _finding("daemon", "absent", "none runs; `mnedge blueprint run` needs none", "daemon")
        return
    version, process = own.get("version"), process_name(str(own.get("process", "")))
    yield _finding("daemon", "ok", f"{process}, version {version}", "daemon")
    socket = str(own.get("socket") or "")
    if answers(config.socket):
        yield _finding("unix socket", "ok", socket, "daemon")
    else:
        yield Finding(
            group="daemon",
            name="unix socket",
            status="warning",
            found=f"{socket} does not answer",
            mend="look into its log; `kill -TERM` and start it anew",
        )
    for name, title in (("http", "REST, console"), ("grpc", "gRPC")):
        if own.get(name):
            yield _finding(title, "ok", str(own[name]), "daemon")
        else:
            hint = f"not on TCP; --{name} HOST:PORT"
            yield _finding(title, "absent", hint, "daemon")
    file, advertised = config.home / RUNTIME, is_advertised(config)
    if advertised:
        yield _finding("published client", "ok", f"finds it by {file}", "daemon")
    elif advertised is not None:
        found = f"finds another runtime by {file}; MN_GRPC_TARGET names this one"
        yield _finding("published client", "absent", found, "daemon")


def _without_file(environ: Mapping[str, str], data_dir: str | None) -> Config:
    bad = config_file({**environ, "MNEDGE_CONFIG": ""}, Flags(data_dir=data_dir))
    file = os.devnull if bad is not None else None
    plain = {key: value for key, value in environ.items() if key != "MNEDGE_CONFIG"}
    told = read_file(bad).settings if bad is not None else FileSettings()
    installed = str(Layout().data_dir) if bad == read.SYSTEM_FILE else None
    if (where := told.data_dir or installed) and not (data_dir or plain.get("MNEDGE_DATA_DIR")):
        # Other lines of it are wrong, or all; the node's data are where they were all the same.
        data_dir = where
        plain.setdefault("MN_RUNS_ROOT", told.runs_root or f"{data_dir}/runs")
    return load_config(plain, Flags(data_dir=data_dir, file=file)).config


def _finding(name: str, status: str, found: str, group: str = "configuration") -> Finding:
    return Finding(group=group, name=name, status=status, found=found)


def _broken(problem: Problem) -> Finding:
    return _told(problem, "broken")


def _warned(problem: Problem) -> Finding:
    return _told(problem, "warning")


def _told(problem: Problem, status: str) -> Finding:
    path = f"{problem.path}: " if problem.path else ""
    expected = f"expected {problem.expected}" if problem.expected else ""
    return Finding(
        group="configuration",
        name=problem.rule,
        status=status,
        found=f"{problem.place} {path}{problem.message}",
        mend="; ".join(filter(None, (expected, problem.hint))) or "mnedge config check",
    )


def _more(errors: int) -> list[Finding]:
    if errors <= MOST_SHOWN:
        return []
    more = counted(errors - MOST_SHOWN, "more error")
    return [
        Finding(
            group="configuration",
            name="more",
            status="broken",
            found=more,
            mend="`mnedge config check` shows all",
        )
    ]
