"""Find plugins, name the bundled ones, and ask the hooks through typed functions."""

import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pluggy

from mnedge import hookspecs
from mnedge.errors import MnedgeError, UsageError
from mnedge.ports import Connector, DeviceProbe, Runner, Skill, Spawner

if TYPE_CHECKING:
    from mnedge.plugins.outside import Outside, Terms
    from mnedge.plugins.suspicion import Watch

BUNDLED = (
    "mnedge_connectors.file",
    "mnedge_connectors.http",
    "mnedge_devices.amd",
    "mnedge_devices.audio",
    "mnedge_devices.camera",
    "mnedge_devices.cpu",
    "mnedge_devices.gpio",
    "mnedge_devices.i2c",
    "mnedge_devices.intel",
    "mnedge_devices.npu",
    "mnedge_devices.nvidia",
    "mnedge_devices.serial",
    "mnedge_devices.usb",
    "mnedge_runners.host_local",
    "mnedge_skills.file",
    "mnedge_skills.webhook",
)
"""Modules under `plugins/`; the frozen binary is built from this same tuple."""
GROUP = "mnedge.plugins"
"""Entry points of this group are plugins."""
_MEND = "mend it, or take its name out of the configuration"
_log = logging.getLogger(GROUP)


class PluginInvalidError(UsageError):
    """A plugin cannot be loaded: it does not import, names an unknown hook, or clashes with another
    one."""

    code = "plugin.invalid"


class Plugins(pluggy.PluginManager):
    """All plugins: those that are trusted, together, and each from outside apart."""

    outside: "tuple[Outside, ...]" = ()
    watch: "Watch | None" = None
    """Knows who was at work if this process hangs; only where there are some from outside."""


def load(extra: Sequence[str] = (), terms: "Terms | None" = None) -> Plugins:
    """Return the bundled plugins and the `extra` ones that the operator named.

    A name in `extra` is a plugin of the depot (`terms`), a module, or an installed distribution
    with entry points. Bundled plugins, modules and installed distributions are trusted: a broken
    one stops the start. Those of the depot that are on are loaded under guard, and quarantined.
    Raises: PluginInvalidError naming the plugin.
    """
    found = Plugins(hookspecs.PROJECT)
    found.add_hookspecs(hookspecs)
    kept, is_known = _kept(terms)
    for name in (*BUNDLED, *extra):
        if name in BUNDLED or _normal(name) not in kept:
            _register(found, name)
    try:
        found.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginInvalidError(
            f"plugin {found.get_name(error.plugin)} implements an unknown hook: {error}",
            hint="use a version of the plugin that fits this version of mnedge",
        ) from error
    if terms is not None and is_known:
        from mnedge.plugins import suspicion  # seldom needed
        from mnedge.plugins.outside import entered

        found.outside = tuple(entered(terms))
        found.watch = suspicion.watch(terms.depot.folder) if found.outside else None
    return found


def runners(manager: pluggy.PluginManager, spawner: Spawner) -> dict[str, Runner]:
    """Return wire name (and short name) → runner.

    Raises: PluginInvalidError if two runners share a name.
    """
    found: dict[str, Runner] = {}
    for runner in _collected(manager, "runners", {"spawner": spawner}):
        for name in dict.fromkeys((runner.name, *runner.modules)):
            _put(found, name, runner, "runners")
    for runner, names in _outside(manager, "runners", {"spawner": spawner}, found):
        found |= dict.fromkeys(names, runner)
    return found


def skills(
    manager: pluggy.PluginManager, folder: str, allowed: Sequence[str] = ()
) -> dict[str, Skill]:
    """Return name → output skill.

    Raises: PluginInvalidError if two skills share a name.
    """
    return _named(manager, "skills", {"folder": folder, "allowed": tuple(allowed)}, "skills")


def devices(
    manager: pluggy.PluginManager, sys_root: str = "/sys", dev_root: str = "/dev"
) -> dict[str, DeviceProbe]:
    """Return name → device probe.

    Raises: PluginInvalidError if two probes share a name.
    """
    arguments = {"sys_root": sys_root, "dev_root": dev_root}
    return _named(manager, "devices", arguments, "device probes")


def connectors(manager: pluggy.PluginManager, allowed: Sequence[str] = ()) -> dict[str, Connector]:
    """Return name → connector.

    Raises: PluginInvalidError if two connectors share a name.
    """
    return _named(manager, "connectors", {"allowed": tuple(allowed)}, "connectors")


def _named(
    manager: pluggy.PluginManager, hook: str, arguments: Mapping[str, Any], what: str
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for thing in _collected(manager, hook, arguments):
        _put(found, thing.name, thing, what)
    for thing, _ in _outside(manager, hook, arguments, found):
        found[thing.name] = thing
    return found


def _put(found: dict[str, Any], name: str, thing: Any, what: str) -> None:
    if name in found:
        raise PluginInvalidError(
            f"two {what} are called {name!r}",
            hint="take the plugin that brings the second out of the configuration",
        )
    found[name] = thing


def _collected(manager: pluggy.PluginManager, hook: str, arguments: Mapping[str, Any]) -> list[Any]:
    """Return what the trusted plugins bring."""
    try:
        groups = getattr(manager.hook, hook)(**arguments)
        return [thing for group in groups for thing in group]
    except Exception as error:
        raise PluginInvalidError(
            f"plugin {_culprit(manager, error)}: its hook {hook} failed:"
            f" {type(error).__name__}: {error}",
            hint=_MEND,
        ) from error


def _outside(
    manager: pluggy.PluginManager, hook: str, arguments: Mapping[str, Any], found: dict[str, Any]
) -> list[tuple[Any, tuple[str, ...]]]:
    """Return what plugins from outside bring, with its names; the bundled ones win every clash."""
    brought: list[tuple[Any, tuple[str, ...]]] = []
    if not isinstance(manager, Plugins) or not manager.outside:
        return brought
    from mnedge.plugins.shapes import names_of

    taken = dict.fromkeys(found, "bundled")
    for plugin in manager.outside:
        for thing in plugin.ask(hook, arguments, taken):
            names = names_of(hook, thing)
            taken |= dict.fromkeys(names, f"that of plugin {plugin.record.name}")
            brought.append((thing, names))
    return brought


def _register(found: Plugins, name: str) -> None:
    """Import a trusted plugin, by its module or as an installed distribution."""
    if found.has_plugin(name):
        return
    try:
        plugins = [(name, import_module(name))]
    except Exception as error:
        is_missing = isinstance(error, ModuleNotFoundError) and error.name == name
        plugins = _of_distribution(name) if is_missing else []
        if not plugins:
            said = error if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
            raise PluginInvalidError(
                f"plugin {name} cannot be imported: {said}",
                hint="mend or install it (mnedge plugin install), or take its name out of the"
                " configuration",
            ) from error
    for known_as, plugin in plugins:
        if not found.is_registered(plugin):
            found.register(plugin, name=known_as)


def _of_distribution(name: str) -> list[tuple[str, Any]]:
    """Return the plugins of a distribution that is installed beside mnedge.

    Raises: PluginInvalidError if one of them does not import.
    """
    from importlib import metadata  # slow, and seldom needed

    try:
        points = metadata.distribution(name).entry_points.select(group=GROUP)
    except (metadata.PackageNotFoundError, ValueError):
        return []
    try:
        return [(f"{name}:{point.name}", point.load()) for point in points]
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise PluginInvalidError(
            f"plugin {name} cannot be imported: {said}",
            hint=_MEND,
        ) from error


def _kept(terms: "Terms | None") -> tuple[frozenset[str], bool]:
    """Return the names of what is in the depot, and whether anything is known of them.

    A depot that cannot be read costs its plugins, never the start; looks at the disk once.
    """
    if terms is None or not terms.depot.folder.is_dir():
        return frozenset(), False
    try:
        names = frozenset(record.name for record in terms.depot.records())
    except MnedgeError as error:
        _log.error("no plugin from outside is loaded: %s", error.message)
        return terms.depot.names(), False
    return names, bool(names)


def _normal(name: str) -> str:
    from mnedge.plugins.depot import normal

    return normal(name)


def _culprit(manager: pluggy.PluginManager, error: BaseException) -> str:
    """Return the plugin whose module is on the way to where it broke."""
    modules = {getattr(p, "__name__", ""): name for name, p in manager.list_name_plugin()}
    where, found = error.__traceback__, "(unknown)"
    while where is not None:
        found = modules.get(str(where.tb_frame.f_globals.get("__name__")), found)
        where = where.tb_next
    return found
