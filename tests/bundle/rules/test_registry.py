"""How rules are declared and run."""

import pytest

from mnedge.bundle.problem import Severity
from mnedge.bundle.rules.all import RULES
from mnedge.bundle.rules.registry import (
    GROUPS,
    Found,
    as_problem,
    bounded,
    declared,
    each,
    rule,
    value_at,
)
from tests.bundle.making import Parts


def one(rule_id):
    return next(item for item in RULES if item.rule_id == rule_id)


def test_rules_are_listed_by_group_and_number():
    order = list(GROUPS)
    keys = [(order.index(r.group), int(r.rule_id.rpartition("-")[2])) for r in RULES]
    assert keys == sorted(keys)
    assert declared() == RULES


def test_every_rule_says_what_is_wrong_and_how_to_mend_it():
    for item in RULES:
        assert item.gist
        assert item.help
        assert item.severity in ("E", "E/s", "W", "X")
        assert item.code.count(".") == 1
        assert set(item.generations) <= set("ABCS")
        assert item.check.__doc__


def test_no_two_rules_share_a_code():
    codes = [item.code for item in RULES]
    assert len(set(codes)) == len(codes)


def test_a_second_rule_of_one_id_is_a_mistake():
    with pytest.raises(ValueError, match="two rules are called B-02"):
        rule("B-02", "E", "*", "bundle.again", "again", help="no")(lambda subject: iter(()))


def test_a_rule_of_an_unknown_group_is_a_mistake():
    with pytest.raises(ValueError, match="no group is called magic"):
        rule("Z-99", "E", "*", "magic.wand", "no", help="no")(lambda subject: iter(()))
    assert "Z-99" not in {item.rule_id for item in declared()}


@pytest.mark.parametrize(
    "rule_id, weight, profile, severity, strict",
    [
        ("E-02", "", "default", Severity.ERROR, False),
        ("M-10", "", "default", Severity.WARNING, True),
        ("M-10", "", "strict", Severity.ERROR, True),
        ("K-20", "", "strict", Severity.WARNING, False),
        ("X-01", "", "strict", Severity.WARNING, False),
        ("X-01", "E", "default", Severity.ERROR, False),
        ("C-06", "W", "strict", Severity.WARNING, False),
        ("C-03", "E/s", "default", Severity.WARNING, True),
    ],
)
def test_a_finding_weighs_what_its_rule_place_and_profile_say(
    rule_id, weight, profile, severity, strict
):
    problem = as_problem(one(rule_id), Found(severity=weight), profile)
    assert (problem.severity, problem.strict) == (severity, strict)


def test_what_a_finding_leaves_out_comes_from_its_rule():
    item = one("M-06")
    problem = as_problem(item, Found(at=("graph_id",)), "default")
    assert (problem.message, problem.help, problem.code) == (item.gist, item.help, item.code)
    assert as_problem(item, Found(message="m", help="h"), "default").message == "m"


@pytest.mark.parametrize(
    "value, shown",
    [
        ({"a": 1}, "an object with 1 members"),
        ([1, 2], "a list of 2"),
        ("x" * 300, "x" * 200 + "…"),
        (3, 3),
        (None, None),
    ],
)
def test_what_stood_there_is_shown_in_short(value, shown):
    assert bounded(value) == shown


def test_places_below_a_place_are_put_together():
    document = {"a": [{"b": 5}]}
    [found] = each(("x",), iter([(("a", 0, "b"), "is wrong", 1)]), document)
    assert found.at == ("x", "a", 0, "b")
    assert found.message == "x.a.0.b is wrong"
    assert (found.expected, found.actual) == (1, 5)


@pytest.mark.parametrize("at", [("a", 5), ("a", 0, "c"), ("z",), ("a", "b"), ("a", 0, "b", "c")])
def test_nothing_stands_where_nothing_is(at):
    assert value_at({"a": [{"b": 5}]}, at) is None


def test_a_config_that_cannot_be_read_is_not_also_told_to_lack_sections():
    parts = Parts()
    parts.config = b"[]"
    assert [p.rule for p in parts.opened("strict").problems] == ["B-09"]
