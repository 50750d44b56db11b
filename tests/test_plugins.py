import sys
import types

import pytest

from mnedge import plugins
from mnedge.execution.processes import Processes
from mnedge.hookspecs import hookimpl
from mnedge.plugins import PluginInvalidError


@pytest.fixture
def plugin(monkeypatch):
    """Have a module that implements the hooks given."""

    def make(name, **hooks):
        module = types.ModuleType(name)
        for hook, function in hooks.items():
            setattr(module, hook, hookimpl(function))
        monkeypatch.setitem(sys.modules, name, module)
        return name

    return make


class Echo:
    name = "echo"
    modules = ("Example.Runner.Echo",)
    isolation = "none"


def test_runners_are_found_by_their_short_and_their_wire_names():
    found = plugins.runners(plugins.load(), Processes())
    assert found["host_local"] is found["MirrorNeuron.Runner.HostLocal"]


def test_runners_of_others_come_beside_the_bundled_ones(plugin):
    spawners = []

    def runners(spawner):
        spawners.append(spawner)
        return [Echo()]

    processes = Processes()
    found = plugins.runners(plugins.load([plugin("echo_plugin", runners=runners)]), processes)
    assert set(found) >= {"echo", "Example.Runner.Echo", "host_local"}
    assert spawners == [processes]


def test_runners_need_not_ask_for_a_spawner(plugin):
    manager = plugins.load([plugin("echo_plugin", runners=lambda: [Echo()])])
    assert "echo" in plugins.runners(manager, Processes())


def test_runners_with_one_name_stop_the_start(plugin):
    manager = plugins.load(
        [
            plugin("echo_one", runners=lambda: [Echo()]),
            plugin("echo_two", runners=lambda: [Echo()]),
        ]
    )
    with pytest.raises(PluginInvalidError, match="echo"):
        plugins.runners(manager, Processes())


def test_a_plugin_that_does_not_import_is_named():
    with pytest.raises(PluginInvalidError, match="no_such_plugin cannot be imported"):
        plugins.load(["no_such_plugin"])


def test_an_unknown_hook_is_named(plugin):
    name = plugin("strange_plugin", no_such_hook=lambda: None)
    with pytest.raises(PluginInvalidError, match="strange_plugin implements an unknown hook"):
        plugins.load([name])


def test_the_same_plugin_is_loaded_once(plugin):
    name = plugin("echo_plugin", runners=lambda: [Echo()])
    manager = plugins.load([name, name, *plugins.BUNDLED])
    assert len(manager.get_plugins()) == 1 + len(plugins.BUNDLED)
