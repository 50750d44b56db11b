"""Steps that nobody does, and bindings of nothing."""

import pytest

from mnedge.bundle.rules import bindings
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check, good, rules_of

C, B = "as_workflow", "as_steps"


def runtime(**changes):
    return lambda p: p.manifest["runtime"].update(changes)


def without(key):
    return lambda p: p.manifest["runtime"].pop(key)


def bound(**changes):
    return lambda p: p.manifest["runtime"]["bindings"].update(changes)


def controlled(**changes):
    return lambda p: p.manifest["runtime"]["workflow_control"].update(changes)


def adrift(p: Parts):
    p.step("check")["run"] = "nobody"


def decorative(p: Parts):
    adrift(p)
    p.step("read")["run"] = "somebody"


def only_a_worker(p: Parts):
    adrift(p)
    worker = {
        "id": "w",
        "uses": "mn-agents.worker.python_host@1",
        "with": {"script": "read.py", "upload_path": "reader", "output_message_type": None},
    }
    p.manifest["runtime"]["bindings"]["check"]["workers"] = [worker]
    p.step("check")["emits"] = []


CASES = [
    Case("W-19", without("bindings"), "runtime.bindings", "is required", weight="E/s", form=C),
    Case(
        "W-19",
        bound(gone={}),
        "runtime.bindings.gone",
        "unknown step gone",
        weight="E/s",
        form=B,
    ),
    Case(
        "W-20",
        only_a_worker,
        "runtime.bindings.check",
        "agent 'nobody' is made of",
        weight="W",
        form=C,
    ),
    Case(
        "W-21",
        without("workflow_control"),
        "runtime.workflow_control",
        "must be enabled",
        weight="E/s",
        form=C,
    ),
    Case(
        "W-21",
        controlled(enabled=False),
        "runtime.workflow_control",
        "must be enabled",
        weight="E/s",
        form=B,
    ),
    Case(
        "W-21",
        controlled(source_of_truth="the weather"),
        "runtime.workflow_control.source_of_truth",
        "must be enabled",
        ["workflow.steps", "flow.steps"],
        weight="E/s",
        form=C,
    ),
    Case("W-25", adrift, "workflow.steps[1]", "nobody is none", weight="E/s", form=C),
    Case("W-25", decorative, "flow.steps", "only decorate", weight="E/s", form=B),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(bindings, CASES)


def test_a_binding_may_name_the_agent_of_its_step():
    parts = good(C)
    adrift(parts)
    parts.manifest["runtime"]["bindings"]["check"]["workers"] = [{"id": "checker"}]
    assert rules_of(parts.opened("strict").problems) == []


def test_a_binding_may_be_of_a_template():
    parts = good("as_dynamic")
    bound(dig={})(parts)
    assert rules_of(parts.opened("strict").problems) == []
