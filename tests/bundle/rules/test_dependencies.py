"""Dependencies that cannot be met."""

import pytest

from mnedge.bundle.rules import dependencies
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check


def skills(*entries):
    return lambda p: p.manifest.update(skill_dependencies=list(entries))


GOOD = {
    "type": "pip",
    "source": "payload",
    "name": "gauge-skill",
    "version": "1.0",
    "path": "payloads/reader",
}
AT = "skill_dependencies[0]"
PROJECT = b'[project]\nname = "gauge-skill"\nversion = "1.0"\n'


def brought(**changes):
    def edit(p: Parts):
        p.files["payloads/skills/gauge/pyproject.toml"] = PROJECT
        p.files["payloads/skills/gauge-2.0-py3-none-any.whl"] = b"."
        p.manifest["skill_dependencies"] = [{**GOOD, "path": "skills/gauge", **changes}]

    return edit


CASES = [
    Case("M-20", brought(name="other"), AT, "says name other, but payloads/skills/gauge is gauge"),
    Case("M-20", brought(version="2.0"), AT, "says version 2.0"),
    Case(
        "M-20",
        brought(path="skills/gauge-2.0-py3-none-any.whl", name="gauge"),
        AT,
        "says version 1.0",
    ),
    Case(
        "M-20",
        lambda p: p.manifest.update(agent_dependencies={}),
        "agent_dependencies",
        "must be a list",
    ),
    Case("M-20", skills("gauge"), AT, "must be an object"),
    Case("M-20", skills({**GOOD, "type": "npm"}), AT, "type pip"),
    Case("M-20", skills({**GOOD, "source": "internet"}), AT, "source gar or payload"),
    Case("M-20", skills({**GOOD, "name": ""}), AT, "must have a name"),
    Case("M-20", skills({**GOOD, "path": "../x"}), AT, "contains `..`"),
    Case("M-20", skills(GOOD), AT, "below skills/ or agents/"),
    Case("M-20", skills({**GOOD, "path": "skills/gone"}), AT, "not in payloads/"),
    Case(
        "M-20",
        skills({"source": "gar", "name": "a-b"}, {"source": "gar", "name": "A_B"}),
        "skill_dependencies[1]",
        "second time",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(dependencies, CASES)


def test_a_dependency_that_is_in_the_payloads_is_right():
    parts = Parts()
    parts.files["payloads/skills/gauge/pyproject.toml"] = PROJECT
    parts.manifest["skill_dependencies"] = [
        {**GOOD, "path": "skills/gauge", "name": "Gauge_Skill", "version": "v1.0"}
    ]
    assert parts.opened("strict").problems == []


@pytest.mark.parametrize("project", [b"[", b"\xff", b"project = 3", b"[project]\nname = 3"])
def test_a_project_that_cannot_be_read_tells_nothing(project):
    parts = Parts()
    parts.files["payloads/skills/gauge/pyproject.toml"] = project
    parts.manifest["skill_dependencies"] = [{**GOOD, "path": "payloads/skills/gauge"}]
    assert parts.opened("strict").problems == []
