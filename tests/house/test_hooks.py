"""Each hook is typed, explained, tested, and used by a bundled plugin."""

import inspect
from importlib import import_module

import pytest

from mnedge import hookspecs
from mnedge.plugins import loading
from tests.house.tree import ROOT

SPECS = {
    name: spec
    for name, spec in vars(hookspecs).items()
    if inspect.isfunction(spec) and hasattr(spec, f"{hookspecs.PROJECT}_spec")
}


def test_there_are_hooks():
    assert SPECS


@pytest.mark.parametrize("name", SPECS)
def test_a_hook_is_explained(name):
    explained = inspect.getdoc(SPECS[name]) or ""
    first, _, rest = explained.partition("\n")
    assert first.endswith(".")
    assert rest.strip(), "it says who asks, when, what empty means, what an exception does"


@pytest.mark.parametrize("name", SPECS)
def test_a_hook_is_typed(name):
    signature = inspect.signature(SPECS[name])
    assert signature.return_annotation is not inspect.Signature.empty
    for argument in signature.parameters.values():
        assert argument.annotation is not inspect.Parameter.empty


@pytest.mark.parametrize("name", SPECS)
def test_a_hook_is_asked_through_one_typed_function(name):
    ask = getattr(loading, name)
    assert inspect.signature(ask).return_annotation is not inspect.Signature.empty


@pytest.mark.parametrize("name", SPECS)
def test_a_bundled_plugin_uses_the_hook(name):
    assert any(hasattr(import_module(module), name) for module in loading.BUNDLED)


@pytest.mark.parametrize("name", SPECS)
def test_plugin_authors_are_told_about_the_hook(name):
    assert f"## {name}\n" in (ROOT / "plugins" / "README.md").read_text()


@pytest.mark.parametrize("name", SPECS)
def test_a_hook_has_a_test_named_after_it(name):
    assert f"def test_{name}" in (ROOT / "tests" / "plugins" / "test_loading.py").read_text()


def test_every_bundled_plugin_loads():
    manager = loading.load()
    assert [name for name, _ in manager.list_name_plugin()] == list(loading.BUNDLED)


def test_the_smallest_plugin_of_the_readme_loads(tmp_path, monkeypatch):
    example = (ROOT / "plugins" / "README.md").read_text().split("```python\n")[1].split("```")[0]
    (tmp_path / "echo_runner.py").write_text(example)
    monkeypatch.syspath_prepend(tmp_path)
    manager = loading.load(["echo_runner"])
    echo = import_module("echo_runner")
    assert manager.get_plugin("echo_runner") is echo
    (runner,) = echo.runners()
    assert isinstance(runner, echo.Echo)
