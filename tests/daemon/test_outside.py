import os
from types import SimpleNamespace

import pytest

from mnedge.config.read import read_config
from mnedge.daemon import outside
from mnedge.daemon.outside import plugins_of, proven_plugins, states_of, terms_of
from mnedge.plugins import loading
from mnedge.plugins.depot import Quarantine
from tests.plugins.test_depot import record


@pytest.fixture
def config(tmp_path):
    return read_config({"MN_HOME": str(tmp_path), "MNEDGE_PLUGINS": ""})


@pytest.fixture
def proven(monkeypatch):
    """Count how often plugins are proven; none of them is."""
    times = []
    monkeypatch.setattr("mnedge.plugins.outside.prove", times.append)
    monkeypatch.setattr(outside, "_proven", set())
    return times


async def test_nothing_is_looked_for_where_nothing_was_installed(config, proven):
    assert plugins_of(config).outside == ()
    assert (await proven_plugins(config)).outside == ()
    assert proven == []
    assert states_of(config) == {}
    assert not config.data_dir.exists()


async def test_plugins_are_proven_and_loaded_once_in_a_process(config, proven):
    (config.data_dir / "plugins").mkdir(parents=True)
    first = await proven_plugins(config)
    assert plugins_of(config) is first
    assert await proven_plugins(config) is first
    assert len(proven) == 1
    assert proven[0].depot.folder == config.data_dir / "plugins"


async def test_in_a_daemon_no_plugin_passes_for_somebody_at_the_keyboard(config, monkeypatch):
    plugin = SimpleNamespace()
    monkeypatch.setattr(outside, "plugins_of", lambda config: SimpleNamespace(outside=(plugin,)))
    await proven_plugins(config, is_daemon=True)
    assert not plugin.may_be_interrupted
    await proven_plugins(config)
    assert plugin.may_be_interrupted


def test_the_terms_are_those_of_this_program(config):
    terms = terms_of(config)
    assert terms.probing.program[-2:] == ("-m", "mnedge")
    assert terms.configured == ()


def test_states_are_counted_and_a_damaged_depot_is_none(config):
    depot = terms_of(config).depot
    bad = Quarantine(reason="", stage="hook", at=0.0, program="1")
    with depot.changing() as records:
        records["a"] = record("a", allowed=True)
        records["b"] = record("b", quarantine=bad)
        records["c"] = record("c", entry_points=())
    assert states_of(config) == {"on": 1, "quarantined": 1}
    (depot.folder / "depot.json").write_text("?")
    assert states_of(config) == {}


def test_a_trusted_plugin_that_is_broken_stops_the_start(tmp_path):
    config = read_config({"MN_HOME": str(tmp_path), "MNEDGE_PLUGINS": "no_such_plugin"})
    with pytest.raises(loading.PluginInvalidError, match="no_such_plugin"):
        plugins_of(config)


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone may be at somebody else's")
async def test_root_loads_nothing_that_another_user_may_write(config, proven, caplog):
    (config.data_dir / "plugins").mkdir(parents=True)
    os.chown(config.data_dir, 65534, 65534)
    assert (await proven_plugins(config)).outside == ()
    assert proven == []
    assert "another user's" in caplog.text
