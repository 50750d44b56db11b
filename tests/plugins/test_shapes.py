"""What plugins from outside bring is looked at before anything of it is used."""

import pytest

from mnedge.model.resources import Device
from mnedge.plugins.shapes import (
    METHODS,
    are_texts,
    device_problem,
    is_json,
    is_table,
    is_variable,
    names_of,
    said,
    shape_problem,
    short,
)
from tests.plugins.things import Named, Odd, whole


@pytest.mark.parametrize("hook", METHODS)
def test_a_thing_of_the_right_shape_is_taken(hook):
    assert shape_problem(hook, whole()) == ""


@pytest.mark.parametrize("hook", METHODS)
@pytest.mark.parametrize("name", [None, 42, "", "two words", "x" * 200, b"acme", "a\nb"])
def test_a_name_that_is_none_is_told(hook, name):
    assert "whose name is" in shape_problem(hook, whole(name=name))


@pytest.mark.parametrize("hook", METHODS)
def test_a_missing_method_and_a_class_are_told(hook):
    for method in METHODS[hook]:
        assert method in shape_problem(hook, whole(**{method: "no"}))
    assert "the class Named" in shape_problem(hook, Named)


def test_odd_members_are_told():
    assert "modules" in shape_problem("runners", whole(modules="Acme"))
    assert "modules" in shape_problem("runners", whole(modules=(1,)))
    for name in ("", " Acme.Runner", "Acme\x1b[31m", "x" * 201):
        assert "modules" in shape_problem("runners", whole(modules=(name,)))
    assert "isolation" in shape_problem("runners", whole(isolation="total"))
    assert "watched" in shape_problem("devices", whole(watched=None))


def test_a_device_that_nobody_could_ask_for_is_told():
    assert device_problem(Device(id="a@0:1", kind="sensor", path="/dev/a b", shares=0)) == ""
    for odd in (
        {"id": ""},
        {"id": " a"},
        {"id": "a\x1b[31m"},
        {"id": "a,b"},
        {"kind": ""},
        {"kind": "a\n"},
        {"memory_total_mb": -1},
        {"shares": -1},
        {"path": "/dev/\n"},
    ):
        assert device_problem(Device(**{"id": "a", "kind": "sensor", **odd}))


def test_a_runner_takes_all_its_names():
    assert names_of("runners", whole(modules=["A", "B"])) == ("acme", "A", "B")
    assert names_of("skills", whole()) == ("acme",)


def test_an_error_whose_text_cannot_be_had_is_called_by_its_kind():
    assert said(Odd()) == "Odd"
    assert said(ValueError("a\nb")) == "ValueError: a b"


def test_a_value_that_cannot_be_shown_is_called_by_its_type():
    class Shy:
        def __repr__(self):
            raise RuntimeError("no")

    assert short(Shy()) == "a Shy"
    assert short("x" * 200) == "a str"
    assert short(None) == "None"


def test_values_are_told_from_those_that_only_look_like_them():
    assert is_json({"a": [1, None]})
    assert not is_json({1: "a"})
    assert not is_json({"a": object()})
    assert is_table({"a": 1}, int)
    assert not is_table({"a": True}, int)
    assert are_texts(("a", "b"))
    assert not are_texts("ab")
    assert not are_texts(["a"] * 1000)
    assert not are_texts(["\ud800"])
    assert is_variable("A", "b")
    assert not is_variable("A=", "b")
    assert not is_variable("A", "b\0")
    assert not is_variable("A", "\ud800")
