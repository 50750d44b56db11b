"""Metadata that says too little or something else."""

import pytest

from mnedge.bundle.rules import metadata
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check


def changed(**changes):
    return lambda p: p.manifest["metadata"].update(changes)


def without(key):
    return lambda p: p.manifest["metadata"].pop(key)


def no_status(p: Parts):
    p.as_workflow()
    del p.manifest["metadata"]["status_contract"]


CASES = [
    Case(
        "MD-01",
        changed(blueprint_id="lake_gauge"),
        "metadata.blueprint_id",
        "name of the bundle",
        "river_gauge",
    ),
    Case("MD-01", without("blueprint_id"), "metadata.blueprint_id", "is required", weight="E/s"),
    Case("MD-02", without("category"), "metadata.category", "category is required", weight="E/s"),
    Case(
        "MD-03",
        lambda p: p.config.update(llm={"enabled": True, "model": "m"}),
        "metadata.llm_agent_role",
        "language model",
        weight="E/s",
    ),
    Case(
        "MD-04",
        changed(quick_test={"enabled": False}),
        "metadata.quick_test",
        "explanation",
        weight="E/s",
    ),
    Case(
        "MD-05",
        no_status,
        "metadata.status_contract",
        "workflow state",
        weight="E/s",
    ),
    Case(
        "MD-06",
        changed(human_control={"mode": "notice_only"}),
        "metadata.human_control.mode",
        "that of the config",
        "disabled",
        weight="E/s",
    ),
    Case(
        "MD-20",
        without("input_contract"),
        "metadata.input_contract",
        "no input_contract",
        weight="W",
    ),
    Case(
        "MD-21",
        changed(output_contract={"artifacts": [{"path": "a.json"}]}),
        "metadata.output_contract.artifacts[0]",
        "lacks artifact_id",
        weight="W",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(metadata, CASES)


def test_both_spellings_of_user_and_problem_are_read():
    parts = Parts()
    metadata = parts.manifest["metadata"]
    metadata["target_users"] = metadata.pop("target_user")
    metadata["problem"] = metadata.pop("problem_solved")
    assert parts.opened("strict").problems == []


def test_a_folder_without_a_name_of_its_own_is_not_compared():
    parts = Parts()
    parts.expected_id = None
    parts.catalogue = None
    parts.manifest["metadata"]["blueprint_id"] = "lake_gauge"
    parts.config["identity"]["blueprint_id"] = "lake_gauge"
    parts.manifest["graph_id"] = "lake_gauge_v1"
    assert parts.opened("strict").problems == []
