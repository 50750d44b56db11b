"""Requests that cannot be answered."""

import pytest

from mnedge.bundle.rules import dispatch
from tests.bundle.making import Case, assert_every_rule_has_a_case, check, root


def response(**changes):
    return root(response_service={"enabled": True, **changes})


CASES = [
    Case("R-09", root(triggers={}), "triggers", "must be a list"),
    Case("R-09", root(triggers=["x"]), "triggers[0]", "must be an object"),
    Case("R-09", root(triggers=[{"name": "x"}]), "triggers[0].event_type", "is required"),
    Case(
        "R-09",
        root(triggers=[{"event_type": "x", "filters": []}]),
        "triggers[0].filters",
        "must be an object",
    ),
    Case("R-10", root(parameterized=[]), "parameterized", "must be an object"),
    Case(
        "R-10",
        root(parameterized={"payload": "maybe"}),
        "parameterized.payload",
        "optional",
        ["optional", "required", "forbidden"],
    ),
    Case(
        "R-10",
        root(parameterized={"meta_required": "a"}),
        "parameterized.meta_required",
        "list of texts",
    ),
    Case("R-11", root(response_service=True), "response_service", "must be an object"),
    Case("R-11", response(enabled=False), "response_service.enabled", "must be true", True),
    Case("R-11", response(port=80), "response_service.port", "is not allowed"),
    Case("R-11", response(agent=[]), "response_service.agent", "must be an object"),
    Case("R-11", response(agent={"kind": "free"}), "response_service.agent.kind", "bounded_mcp"),
    Case(
        "R-11",
        response(agent={"kind": "bounded_mcp", "memory": {"max_active_records": 501}}),
        "response_service.agent.memory.max_active_records",
        "1 to 500",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(dispatch, CASES)
