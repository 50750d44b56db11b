"""Plugins that are modules in memory."""

import sys
from types import ModuleType

import pytest

from mnedge.hookspecs import hookimpl
from mnedge.plugins.depot import Point


@pytest.fixture
def plugin(monkeypatch):
    """Return a function that makes a module importable, and gives its entry point."""

    def make(name="acme_plugin", **members):
        module = ModuleType(name)
        for member, value in members.items():
            is_hook = callable(value) and not isinstance(value, type)
            setattr(module, member, hookimpl(value) if is_hook else value)
        monkeypatch.setitem(sys.modules, name, module)
        return Point("acme", name)

    return make
