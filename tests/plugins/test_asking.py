import pytest

from mnedge.plugins.asking import PluginUnfitError, clash, harmless, imported, things, traced
from tests.plugins.things import Echo


def test_every_hook_is_asked_and_what_it_brings_is_kept_apart(plugin):
    found = things([plugin(runners=lambda: [Echo()])], harmless("/nowhere"))
    assert [runner.name for runner in found["runners"]] == ["acme"]
    assert found["skills"] == found["devices"] == found["connectors"] == []


def test_what_does_not_fit_is_refused_with_its_stage(plugin):
    point = plugin(runners=lambda: "text")
    with pytest.raises(PluginUnfitError, match="returned a str, not a list") as told:
        things([point], harmless("/nowhere"))
    assert told.value.stage == "hook"


def test_an_unknown_hook_is_told_beside_those_that_there_are(plugin):
    with pytest.raises(PluginUnfitError) as told:
        things([plugin(widgets=lambda: None)], harmless("/nowhere"))
    assert told.value.message == (
        "it implements an unknown hook 'widgets'; there are runners, skills, devices, connectors"
    )


def test_a_module_without_a_hook_is_no_plugin(plugin):
    point = plugin()
    with pytest.raises(PluginUnfitError, match=f"nothing in {point.value} is marked @hookimpl"):
        things([point], harmless("/nowhere"))


def test_a_plugin_cannot_get_between_others(plugin):
    """It is asked by a manager of its own, so a wrapper of it wraps nothing but itself."""
    point = plugin(runners=lambda: [Echo()])
    assert [name for name, _ in imported([point]).list_name_plugin()] == [point.value]


def test_a_hook_starts_nothing():
    with pytest.raises(OSError, match="starts nothing"):
        harmless("/x")["spawner"].start(["true"])


def test_names_are_compared_hook_by_hook():
    clash({"skills": [Echo()]}, {"runners": {"acme": "bundled"}})
    with pytest.raises(PluginUnfitError, match="'acme'"):
        clash({"runners": [Echo()]}, {"runners": {"acme": "bundled"}})


def test_a_traceback_that_cannot_be_had_is_none():
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError

    assert isinstance(traced(Odd()), str)
