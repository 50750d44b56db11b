import sys
from types import ModuleType

import pytest

from mnedge.execution.processes import Processes
from mnedge.hookspecs import hookimpl
from mnedge.model.resources import Fingerprint
from mnedge.plugins import loading
from tests.plugins.wheels import RUNNER, files_of, unpacked


class ARunner:
    def __init__(self, name="acme", modules=("Acme.Runner",)):
        self.name = name
        self.modules = modules
        self.isolation = "none"


@pytest.fixture
def plugin(monkeypatch):
    """Return a function that makes a module importable under a name."""

    def make(name, **hooks):
        module = ModuleType(name)
        for hook, implementation in hooks.items():
            setattr(module, hook, hookimpl(implementation))
        monkeypatch.setitem(sys.modules, name, module)
        return name

    return make


def test_the_bundled_plugins_are_there_without_being_asked_for():
    manager = loading.load()
    assert all(manager.has_plugin(name) for name in loading.BUNDLED)


def test_runners_are_found_by_their_name_and_by_every_wire_name(plugin):
    spawner = Processes()
    runner = ARunner()
    name = plugin("acme_plugin", runners=lambda spawner: [runner])
    found = loading.runners(loading.load([name]), spawner)
    assert found["acme"] is found["Acme.Runner"] is runner
    assert found["host_local"] is found["MirrorNeuron.Runner.HostLocal"]


def test_a_plugin_named_twice_is_loaded_once(plugin):
    name = plugin("acme_plugin", runners=lambda: [ARunner()])
    assert loading.runners(loading.load([name, name]), Processes())["acme"]


def test_two_runners_of_one_name_are_refused(plugin):
    name = plugin("acme_plugin", runners=lambda: [ARunner(name="host_local", modules=())])
    with pytest.raises(loading.PluginInvalidError, match="two runners are called 'host_local'"):
        loading.runners(loading.load([name]), Processes())


class ASkill:
    def __init__(self, name="pager"):
        self.name = name


def test_skills_are_found_by_their_names_and_told_where_they_may_write(plugin):
    told = []

    def skills(folder, allowed):
        told.append((folder, allowed))
        return [ASkill()]

    found = loading.skills(loading.load([plugin("acme_plugin", skills=skills)]), "/d", ["/open"])
    assert set(found) == {"pager", "file", "webhook"}
    assert told == [("/d", ("/open",))]


def test_skills_of_one_name_are_refused(plugin):
    name = plugin("acme_plugin", skills=lambda: [ASkill("webhook")])
    with pytest.raises(loading.PluginInvalidError, match="two skills are called 'webhook'"):
        loading.skills(loading.load([name]), "/d")


def test_a_plugin_that_is_not_there_is_named():
    with pytest.raises(loading.PluginInvalidError, match="no_such_plugin cannot be imported"):
        loading.load(["no_such_plugin"])


def test_a_hook_that_does_not_exist_stops_the_start(plugin):
    name = plugin("acme_plugin", telepaths=lambda: "no such hook")
    with pytest.raises(loading.PluginInvalidError, match="telepaths"):
        loading.load([name])


class AConnector:
    def __init__(self, name="queue"):
        self.name = name


def test_connectors_are_found_by_their_names_and_told_what_they_may_read(plugin):
    told = []

    def connectors(allowed):
        told.append(allowed)
        return [AConnector()]

    manager = loading.load([plugin("acme_plugin", connectors=connectors)])
    found = loading.connectors(manager, ["/open"])
    assert set(found) == {"queue", "file", "http"}
    assert told == [("/open",)]


def test_connectors_of_one_name_are_refused(plugin):
    name = plugin("acme_plugin", connectors=lambda: [AConnector("http")])
    with pytest.raises(loading.PluginInvalidError, match="two connectors are called 'http'"):
        loading.connectors(loading.load([name]))


class AProbe:
    def __init__(self, name="lidar"):
        self.name = name
        self.watched = ()

    def probe(self):
        return Fingerprint()

    def environment(self, lent):
        return {}


def test_devices_are_found_by_probes_that_are_told_where_to_look(plugin):
    told = []

    def devices(sys_root, dev_root):
        told.append((sys_root, dev_root))
        return [AProbe()]

    manager = loading.load([plugin("acme_plugin", devices=devices)])
    found = loading.devices(manager, "/s", "/d")
    assert {"lidar", "nvidia", "camera", "cpu"} <= set(found)
    assert told == [("/s", "/d")]


def test_devices_that_two_probes_of_one_name_would_find_are_refused(plugin):
    name = plugin("acme_plugin", devices=lambda: [AProbe("camera")])
    with pytest.raises(loading.PluginInvalidError, match="two device probes are called 'camera'"):
        loading.devices(loading.load([name]))


def test_a_hook_of_a_trusted_plugin_that_raises_stops_the_start_and_is_named(monkeypatch, tmp_path):
    (tmp_path / "acme_broken.py").write_text(
        "from mnedge.hookspecs import hookimpl\n"
        "@hookimpl\ndef runners():\n    raise ValueError('no')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(loading.PluginInvalidError) as told:
        loading.runners(loading.load(["acme_broken"]), Processes())
    assert told.value.message == "plugin acme_broken: its hook runners failed: ValueError: no"


def test_an_installed_distribution_is_found_by_its_entry_points(monkeypatch, tmp_path):
    unpacked(tmp_path, files_of("acme-beside", modules={"acme_beside.py": RUNNER},
                                points={"acme": "acme_beside"}))  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    found = loading.runners(loading.load(["acme-beside"]), Processes())
    assert found["acme"].modules == ("Acme.Runner",)
    assert loading.load(["acme-beside", "acme_beside"]).has_plugin("acme-beside:acme")
