"""What mnedge gets when it asks."""

from pathlib import Path

from mnedge.testing.spawner import a_spawner
from mnedge_template import plugin


def test_each_hook_brings_one_thing(tmp_path: Path) -> None:
    place = str(tmp_path)
    assert [runner.name for runner in plugin.runners(spawner=a_spawner())] == ["background"]
    assert [probe.name for probe in plugin.devices(sys_root=place)] == ["sensors"]
    assert [one.name for one in plugin.connectors(allowed=[])] == ["sqlite"]
    assert [skill.name for skill in plugin.skills(folder=place, allowed=[])] == ["maildir"]
