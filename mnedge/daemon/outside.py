"""All plugins of a node, those from outside included: who is let in, and how they are met first."""

from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import trio

import mnedge
from mnedge import shipped
from mnedge.config.settings import Config
from mnedge.daemon.clock import wall_clock
from mnedge.errors import MnedgeError
from mnedge.plugins import loading
from mnedge.plugins.depot import Depot
from mnedge.plugins.outside import Terms, prove
from mnedge.plugins.probe import Probing

FOLDER = "plugins"


def terms_of(config: Config) -> Terms:
    """Return where this node keeps plugins from outside, and on what terms they are let in."""
    return terms(config.data_dir, config.plugins)


def terms(data_dir: Path, plugins: tuple[str, ...]) -> Terms:
    """Return the same, from the two settings that count."""
    depot = Depot(data_dir / FOLDER)
    return Terms(
        depot=depot,
        configured=plugins,
        version=mnedge.__version__,
        probing=Probing(program=shipped.program(), user=depot.owner()),
        now=wall_clock,
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
        records = terms_of(config).depot.records() if _has_depot(config) else ()
    except (MnedgeError, OSError):  # doctor says it; figures are about the rest
        records = ()
    return Counter(record.state(config.plugins) for record in records if record.is_plugin)


async def proven_plugins(config: Config) -> loading.Plugins:
    """As `plugins_of`, while the loop goes on."""
    if _has_depot(config):
        await trio.to_thread.run_sync(_prove, config.data_dir, config.plugins)
    return plugins_of(config)


@cache
def _prove(data_dir: Path, plugins: tuple[str, ...]) -> None:
    prove(terms(data_dir, plugins))


@cache
def _loaded(data_dir: Path, plugins: tuple[str, ...]) -> loading.Plugins:
    """Return them, the same ones for the whole life of this process: code is loaded once."""
    _prove(data_dir, plugins)
    return loading.load(plugins, terms(data_dir, plugins))


def _has_depot(config: Config) -> bool:
    place: Path = config.data_dir / FOLDER
    return place.is_dir()
