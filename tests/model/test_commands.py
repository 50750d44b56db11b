"""Commands: the union is complete."""

import inspect
from typing import get_args

import msgspec

from mnedge.model import commands


def test_the_union_lists_every_command():
    declared = {
        kind
        for _, kind in inspect.getmembers(commands, inspect.isclass)
        if issubclass(kind, msgspec.Struct) and kind.__module__ == commands.__name__
    }
    assert declared == set(get_args(commands.AnyCommand))


def test_no_command_can_be_changed():
    assert all(kind.__struct_config__.frozen for kind in get_args(commands.AnyCommand))
