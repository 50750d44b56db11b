"""Of what is given the plugins are taken, and of the rest what they need."""

import pytest

from mnedge.plugins.choosing import chosen, needed, require_fit
from mnedge.plugins.fitting import Neighbour
from mnedge.plugins.problem import PluginRefusedError
from mnedge.plugins.wheel import read_wheel
from tests.plugins.wheels import wheel


def library(folder, name, requires=()):
    """Read a wheel without entry points."""
    module = name.replace("-", "_")
    modules = {f"{module}.py": ""}
    return read_wheel(wheel(folder, name, modules=modules, requires=requires, points={}))


@pytest.fixture
def plugin(tmp_path):
    return read_wheel(wheel(tmp_path, requires=("acme-lines", "trio")))


def test_a_plugin_and_what_it_needs_are_taken_and_the_rest_is_told(plugin, tmp_path):
    lines = library(tmp_path, "acme-lines", requires=("acme-marks",))
    marks = library(tmp_path, "acme-marks")
    other = library(tmp_path, "other")
    trio = library(tmp_path, "trio")
    choice = chosen(
        [plugin, lines, marks, other, trio], {"trio": Neighbour(name="trio", version="0.31")}
    )
    assert set(choice.plugins) == {"acme-runner"}
    assert set(choice.libraries) == {"acme-lines", "acme-marks"}
    told = "\n".join(choice.notes)
    assert "trio 1.0 is left out: mnedge brings 0.31" in told
    assert "other 1.0 is left out: nothing here needs it" in told
    found = choice.plugins | {"acme-lines": lines, "acme-marks": marks, "other": other}
    assert needed(choice.plugins, found) == {"acme-lines", "acme-marks"}


def test_what_brings_no_plugin_stands_twice_or_is_bundled_is_refused(plugin, tmp_path):
    with pytest.raises(PluginRefusedError, match="no entry point"):
        chosen([library(tmp_path, "acme-lines")], {})
    with pytest.raises(PluginRefusedError, match="which one is meant"):
        chosen([plugin, plugin], {})
    with pytest.raises(PluginRefusedError, match="is bundled"):
        chosen([plugin], {"acme-runner": Neighbour(name="acme-runner", version="1")})


def test_what_is_missing_and_what_would_be_hidden_is_told_together(plugin, tmp_path):
    lines = library(tmp_path, "acme-lines", requires=("nowhere>=2",))
    choice = chosen([plugin, lines], {})
    with pytest.raises(PluginRefusedError) as error:
        require_fit(choice, {}, {"trio": Neighbour(name="trio", version="0.31")}, ())
    assert ["nowhere" in problem.message for problem in error.value.reasons] == [True]
    require_fit(
        chosen([plugin, library(tmp_path / "b", "acme-lines")], {}),
        {},
        {"trio": Neighbour(name="trio", version="0.31")},
        (),
    )
