"""Names in steps that are probably meant otherwise."""

import pytest

from mnedge.bundle.rules import step_names
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check, good, rules_of

C, B = "as_workflow", "as_steps"


def renamed(wrong: str, right: str, *inside: str):
    def edit(p: Parts):
        members = p.step("read")
        for name in inside:
            members = members[name]
        members[wrong] = members.pop(right)

    return edit


def a_step_by_its_id(p: Parts):
    name = p.step("read")["run"]
    p.step("read").update(run="nobody", agent_id=None)
    for agent in p.manifest["agents"]["nodes"]:
        if agent["node_id"] == name:
            agent["node_id"] = "read"
    text = p.manifest["agents"]
    text["entrypoints"] = ["read" if one == name else one for one in text["entrypoints"]]
    for edge in text["edges"]:
        for end in ("from_node", "to_node"):
            if edge[end] == name:
                edge[end] = "read"


CASES = [
    Case(
        "W-40",
        lambda p: p.step("read").update(triger_rule="all_done"),
        "workflow.steps[0].triger_rule",
        "trigger_rule is probably meant",
        weight="W",
        form=C,
    ),
    Case(
        "W-40",
        renamed("timeout_secs", "timeout_seconds", "control"),
        "flow.steps[0].control.timeout_secs",
        "has no effect",
        weight="W",
        also=("W-15",),
        form=B,
    ),
    Case(
        "W-40",
        renamed("max_atempts", "max_attempts", "control", "retry"),
        "workflow.steps[0].control.retry.max_atempts",
        "has no effect",
        weight="W",
        also=("W-15",),
        form=C,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_a_name_that_is_no_agent_is_told_where_the_id_serves_instead():
    parts = good(C)
    a_step_by_its_id(parts)
    found = [one for one in parts.opened().problems if one.rule == "W-41"]
    assert [one.path for one in found] == ["workflow.steps[0].run"]
    assert "nobody is no agent; read works" in found[0].message


def test_names_of_ones_own_are_no_misspellings():
    parts = good(C)
    parts.step("read").update(owner="tides", x_note="for people")
    assert "W-40" not in rules_of(parts.opened().problems)


def test_every_rule_is_broken_by_some_case():
    told = {case.rule for case in CASES} | {"W-41"}
    assert told == {"W-40", "W-41"}
    assert_every_rule_has_a_case(step_names, [*CASES, Case("W-41", a_step_by_its_id, "", "")])
