"""Find plugins, name the bundled ones, and ask the hooks through typed functions."""

from collections.abc import Sequence
from importlib import import_module

import pluggy

from mnedge import hookspecs
from mnedge.errors import UsageError
from mnedge.ports import Connector, DeviceProbe, Runner, Skill, Spawner

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


class PluginInvalidError(UsageError):
    """A plugin cannot be loaded: it does not import, names an unknown hook, or clashes with another
    one."""

    code = "plugin.invalid"


def load(extra: Sequence[str] = ()) -> pluggy.PluginManager:
    """Return a manager with the bundled plugins and the `extra` modules that the operator named.

    Raises: PluginInvalidError naming the plugin.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for name in (*BUNDLED, *extra):
        if manager.has_plugin(name):
            continue
        try:
            manager.register(import_module(name), name=name)
        except ImportError as error:
            raise PluginInvalidError(
                f"plugin {name} cannot be imported: {error}",
                hint="install it beside mnedge, or take its name out of the configuration",
            ) from error
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginInvalidError(
            f"plugin {manager.get_name(error.plugin)} implements an unknown hook: {error}",
            hint="use a version of the plugin that fits this version of mnedge",
        ) from error
    return manager


def runners(manager: pluggy.PluginManager, spawner: Spawner) -> dict[str, Runner]:
    """Return wire name (and short name) → runner.

    Raises: PluginInvalidError if two runners share a name.
    """
    found: dict[str, Runner] = {}
    for group in manager.hook.runners(spawner=spawner):
        for runner in group:
            for name in (runner.name, *runner.modules):
                if name in found:
                    raise PluginInvalidError(f"two runners are called {name!r}")
                found[name] = runner
    return found


def skills(
    manager: pluggy.PluginManager, folder: str, allowed: Sequence[str] = ()
) -> dict[str, Skill]:
    """Return name → output skill.

    Raises: PluginInvalidError if two skills share a name.
    """
    found: dict[str, Skill] = {}
    for group in manager.hook.skills(folder=folder, allowed=tuple(allowed)):
        for skill in group:
            if skill.name in found:
                raise PluginInvalidError(f"two skills are called {skill.name!r}")
            found[skill.name] = skill
    return found


def devices(
    manager: pluggy.PluginManager, sys_root: str = "/sys", dev_root: str = "/dev"
) -> dict[str, DeviceProbe]:
    """Return name → device probe.

    Raises: PluginInvalidError if two probes share a name.
    """
    found: dict[str, DeviceProbe] = {}
    for group in manager.hook.devices(sys_root=sys_root, dev_root=dev_root):
        for probe in group:
            if probe.name in found:
                raise PluginInvalidError(f"two device probes are called {probe.name!r}")
            found[probe.name] = probe
    return found


def connectors(
    manager: pluggy.PluginManager, folder: str, allowed: Sequence[str] = ()
) -> dict[str, Connector]:
    """Return name → connector, for a job whose bundle lies in `folder`.

    Raises: PluginInvalidError if two connectors share a name.
    """
    found: dict[str, Connector] = {}
    for group in manager.hook.connectors(folder=folder, allowed=tuple(allowed)):
        for connector in group:
            if connector.name in found:
                raise PluginInvalidError(f"two connectors are called {connector.name!r}")
            found[connector.name] = connector
    return found
