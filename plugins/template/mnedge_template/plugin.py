"""What this distribution brings. mnedge imports this module and asks each hook once.

Keep it quick: importing and asking together may take 5 seconds, in a process that tries it out
before it is let in. Name only the arguments that you use.
"""

from collections.abc import Sequence

from mnedge.hookspecs import hookimpl
from mnedge.ports import Connector, DeviceProbe, Runner, Skill, Spawner
from mnedge_template.connector import Sqlite
from mnedge_template.device import Sensors
from mnedge_template.runner import Background
from mnedge_template.skill import Maildir


@hookimpl
def runners(spawner: Spawner) -> list[Runner]:
    """Bring `background`."""
    return [Background(spawner)]


@hookimpl
def devices(sys_root: str) -> list[DeviceProbe]:
    """Bring `sensors`."""
    return [Sensors(sys_root)]


@hookimpl
def connectors(allowed: Sequence[str]) -> list[Connector]:
    """Bring `sqlite`."""
    return [Sqlite(allowed)]


@hookimpl
def skills(folder: str, allowed: Sequence[str]) -> list[Skill]:
    """Bring `maildir`."""
    return [Maildir(folder, allowed)]
