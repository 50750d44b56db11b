"""All plugins of a node, those from outside included: who is let in, and how they are met first."""

import logging
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import trio

import mnedge
from mnedge import shipped
from mnedge.config.settings import Config
from mnedge.daemon.clock import wall_clock
from mnedge.errors import MnedgeError
from mnedge.plugins import loading
from mnedge.plugins.depot import DepotDamagedError, depot_of

if TYPE_CHECKING:
    from mnedge.plugins.outside import Terms

_log = logging.getLogger("mnedge.plugins")


def terms_of(config: Config, *, is_daemon: bool = False) -> "Terms":
    """Return where this node keeps plugins from outside, and on what terms they are let in."""
    return _terms(config.data_dir, config.plugins, is_daemon)


def _terms(data_dir: Path, plugins: tuple[str, ...], is_daemon: bool) -> "Terms":
    from mnedge.plugins.outside import Terms  # only where there are some: a start is short
    from mnedge.plugins.probe import Probing

    depot = depot_of(data_dir)
    return Terms(
        depot=depot,
        configured=plugins,
        version=mnedge.__version__,
        probing=Probing(program=shipped.program(), user=depot.owner()),
        now=wall_clock,
        is_daemon=is_daemon,
    )


def plugins_of(config: Config) -> loading.Plugins:
    """Return all plugins; one from outside that was never met is probed first, which takes time.

    Raises: PluginInvalidError naming a trusted plugin that is broken.
    """
    if not _has_depot(config):
        return loading.load(config.plugins)
    return _loaded(config.data_dir, config.plugins)


def states_of(config: Config) -> Mapping[str, int]:
    """Return how many plugins from outside are on, off, quarantined."""
    try:
        records = depot_of(config.data_dir).records()
    except (MnedgeError, OSError):  # doctor says it; figures are about the rest
        records = ()
    return Counter(record.state(config.plugins) for record in records if record.is_plugin)


async def proven_plugins(config: Config, *, is_daemon: bool = False) -> loading.Plugins:
    """As `plugins_of`, while the loop goes on."""
    if _has_depot(config):
        await trio.to_thread.run_sync(_prove, config.data_dir, config.plugins, is_daemon)
    found = plugins_of(config)
    for plugin in found.outside:
        plugin.may_be_interrupted = not is_daemon
    return found


@cache
def _loaded(data_dir: Path, plugins: tuple[str, ...]) -> loading.Plugins:
    """Return them, the same ones for the whole life of this process: code is loaded once."""
    _prove(data_dir, plugins)
    return loading.load(plugins, _terms(data_dir, plugins, False))


def _prove(data_dir: Path, plugins: tuple[str, ...], is_daemon: bool = False) -> None:
    if (data_dir, plugins) in _proven:
        return
    from mnedge.plugins.outside import prove

    with suppress(DepotDamagedError):  # loading says so, and goes on without
        prove(_terms(data_dir, plugins, is_daemon))
    _proven.add((data_dir, plugins))


_proven: set[tuple[Path, tuple[str, ...]]] = set()
"""Once in a process is enough."""


def _has_depot(config: Config) -> bool:
    """Tell whether plugins from outside may be loaded; root runs nobody else's code."""
    depot = depot_of(config.data_dir)
    if not depot.folder.is_dir():
        return False
    if depot.owner() is None:
        return True
    _log.warning("plugins in %s are left out: they are another user's, not root's", depot.folder)
    return False
