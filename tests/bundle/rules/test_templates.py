"""Template references that cannot be followed."""

import pytest

from mnedge.bundle.rules import templates
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check


def unrendered(uses, **with_):
    def edit(p: Parts):
        p.agent("reader").pop("agent_type")
        p.agent("reader").update(uses=uses)
        p.agent("reader")["with"] = with_

    return edit


def provenance(uses):
    return lambda p: p.agent("reader").update(uses=uses)


CASES = [
    Case(
        "T-01",
        provenance("mn-agents.data_python_executor@latest"),
        "nodes[1].uses",
        "must pin",
        "<template>@<version>",
    ),
    Case("T-01", provenance("mn-agents.data_python_executor"), "nodes[1].uses", "must pin"),
    Case("T-01", provenance(3), "nodes[1].uses", "must pin"),
    Case("T-02", unrendered("somebody.else@2"), "nodes[1].uses", "somebody.else@2 is not known"),
    Case(
        "T-03",
        unrendered("mn-agents.data_observer@1.0.0"),
        "nodes[1].uses",
        "needs observation_source in `with`",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(templates, CASES)


def test_an_agent_that_a_built_in_template_completes_is_right():
    parts = Parts()
    unrendered("mn-agents.data_python_executor@1", upload_path="reader", script="read.py")(parts)
    assert parts.opened("strict").problems == []
