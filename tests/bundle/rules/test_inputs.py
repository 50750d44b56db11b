"""Input rules that cannot be applied."""

import pytest

from mnedge.bundle.rules import inputs
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check


def rules(value):
    return lambda p: p.manifest.update(input_validation={"rules": value})


AT = "input_validation.rules[0]"

CASES = [
    Case(
        "I-01",
        lambda p: p.manifest.update(input_validation="strict"),
        "input_validation",
        "must be a list",
    ),
    Case("I-01", rules({}), "input_validation.rules", "must be a list"),
    Case("I-01", rules(["x"]), AT, "must be an object"),
    Case(
        "I-02",
        rules([{"type": "magic"}]),
        f"{AT}.type",
        "pattern or command",
        ["pattern", "command"],
    ),
    Case("I-03", rules([{"type": "pattern", "pattern": "a"}]), f"{AT}.path", "needs a path"),
    Case(
        "I-03",
        rules([{"type": "pattern", "path": "a", "pattern": "("}]),
        f"{AT}.pattern",
        "is no regular expression",
    ),
    Case(
        "I-03",
        rules([{"type": "pattern", "path": "a", "pattern": ""}]),
        f"{AT}.pattern",
        "must be a non-empty text",
    ),
    Case(
        "I-03",
        rules([{"type": "pattern", "path": "a", "pattern": "a" * 3000}]),
        f"{AT}.pattern",
        "longer than 2000",
    ),
    Case("I-04", rules([{"type": "command"}]), f"{AT}.command", "needs a command"),
    Case("I-04", rules([{"type": "command", "command": []}]), f"{AT}.command", "needs a command"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(inputs, CASES)


def test_rules_may_be_a_bare_list():
    parts = Parts()
    parts.manifest["input_validation"] = [{"type": "pattern", "path": "a", "pattern": "[[x]"}]
    assert parts.opened("strict").problems == []
