"""Names in unusual forms."""

import pytest

from mnedge.bundle.rules import spelling
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check, root


def workflow_version(version):
    def edit(p: Parts):
        p.as_workflow()
        p.manifest["version"] = version

    return edit


CASES = [
    Case("M-30", root(daemon=True), "daemon", "old spelling", '"type": "service"', weight="W"),
    Case("M-31", root(requirments={}), "requirments", "should be requirements", weight="W"),
    Case(
        "M-32",
        lambda p: p.as_steps(),
        "",
        "generation B-f are deprecated",
        weight="W",
    ),
    Case("M-33", workflow_version("1.0.0"), "version", "not 1", 1, weight="W"),
    Case("M-34", root(job_name="River Gauge"), "job_name", "not kebab-case", weight="W"),
    Case(
        "M-34",
        root(graph_id="other_v1"),
        "graph_id",
        "<blueprint_id>_v",
        "river_gauge_v1",
        weight="W",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(spelling, CASES)


def test_a_daemon_that_is_off_is_no_daemon():
    parts = Parts()
    parts.manifest["daemon"] = False
    assert parts.opened("strict").problems == []
