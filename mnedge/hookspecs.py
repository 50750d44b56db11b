"""Every hook a plugin can implement: the whole list.

A hook answers at once; whatever waits is a method of the object it returns. Adding an argument
later breaks nobody, since
pluggy passes only what an implementation names.
"""

from collections.abc import Sequence

import pluggy

from mnedge.ports import Runner, Skill, Spawner

PROJECT = "mnedge"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def runners(spawner: Spawner) -> list[Runner]:
    """Return the runners this plugin brings.

    Asked once, when a host opens. Whoever starts processes on this machine does it through
    `spawner`, for the whole life of the host: it finds them again when their owner died. An empty
    list means "none on this machine". Names and `modules` must be unique over all plugins; a clash,
    or an exception here, stops the start and names the plugin.
    """
    raise NotImplementedError


@hookspec
def skills(folder: str, allowed: Sequence[str]) -> list[Skill]:
    """Return the output skills this plugin brings: ways to hand something over.

    Asked once, when whoever sends opens. A skill that writes files keeps relative paths below
    `folder` and absolute ones below a folder in `allowed`, which the operator named. An empty list
    means "none on this machine". Names must be unique over all plugins; a clash, or an exception
    here, stops the start and names the plugin.
    """
    raise NotImplementedError
