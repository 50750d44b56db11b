"""Every hook a plugin can implement: the whole list.

A hook answers at once; whatever waits is a method of the object it returns. Adding an argument
later breaks nobody, since pluggy passes only what an implementation names. A plugin is *trusted* if
it is bundled or installed beside mnedge, and else *from outside*.
"""

from collections.abc import Sequence

import pluggy

from mnedge.ports import Connector, DeviceProbe, Runner, Skill, Spawner

PROJECT = "mnedge"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def runners(spawner: Spawner) -> list[Runner]:
    """Return the runners this plugin brings.

    Asked once, when a host opens. Whoever starts processes on this machine does it through
    `spawner`, for the whole life of the host: it finds them again when their owner died. An empty
    list means "none on this machine". Names and `modules` must be unique over all plugins; a clash,
    or an exception here, stops the start if the plugin is trusted, and else quarantines it.
    """
    raise NotImplementedError


@hookspec
def skills(folder: str, allowed: Sequence[str]) -> list[Skill]:
    """Return the output skills this plugin brings: ways to hand something over.

    Asked once, when whoever sends opens. A skill that writes files keeps relative paths below
    `folder` and absolute ones below a folder in `allowed`, which the operator named. An empty list
    means "none on this machine". Names must be unique over all plugins; a clash, or an exception
    here, stops the start if the plugin is trusted, and else quarantines it.
    """
    raise NotImplementedError


@hookspec
def devices(sys_root: str, dev_root: str) -> list[DeviceProbe]:
    """Return the probes this plugin brings: ways to find devices on this machine.

    Asked once, when a host opens. A probe reads the kernel's files below `sys_root` and opens
    devices below `dev_root`: `/sys` and `/dev` unless the operator says otherwise. An empty list
    means "none on this kind of machine". Names must be unique over all plugins; a clash, or an
    exception here, stops the start if the plugin is trusted, and else quarantines it.
    """
    raise NotImplementedError


@hookspec
def connectors(allowed: Sequence[str]) -> list[Connector]:
    """Return the connectors this plugin brings: ways to read from outside systems.

    Asked once, when a host opens. A connector that reads files keeps relative paths below the
    folder of the job's bundle, which `read` is told, and absolute ones below a folder in `allowed`,
    which the operator named. An empty list means "none on this machine". Names must be unique over
    all plugins; a clash, or an exception here, stops the start if the plugin is trusted, and else
    quarantines it.
    """
    raise NotImplementedError
