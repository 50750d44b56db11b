"""Manifests that are wrong at their root."""

import pytest

from mnedge.bundle.rules import manifest
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check, root


def rootless(key):
    return lambda p: p.manifest.pop(key)


def workflow(**changes):
    def edit(p: Parts):
        p.as_workflow()
        p.manifest.update(changes)

    return edit


def workflow_without(key):
    def edit(p: Parts):
        p.as_workflow()
        del p.manifest[key]

    return edit


def nothing_left(p: Parts):
    p.manifest = {"manifest_version": "1.0", "entrypoint": "src/main.py"}


CASES = [
    Case(
        "M-01",
        lambda p: setattr(p, "manifest", b'{"nodes": [\n  {"node_id": "a"\n]}'),
        "",
        "not valid JSON at line 3, column 1",
    ),
    Case("M-01", lambda p: setattr(p, "manifest", b"[]"), "", "not a list", "an object"),
    Case("M-01", lambda p: setattr(p, "manifest", b'{"a": "\xff"}'), "", "column 8: not UTF-8"),
    Case("M-02", root(apiVersion="mn.workflow/v9"), "apiVersion", "unsupported apiVersion"),
    Case(
        "M-02",
        workflow_without("apiVersion"),
        "apiVersion",
        "apiVersion is required",
        "mn.workflow/v1",
    ),
    Case(
        "M-03",
        nothing_left,
        "",
        "no nodes, flow, workflow",
        also=("M-06", "E-01", "M-10", "M-11", "M-14", "M-15", "M-17", "M-19", "MD-02"),
    ),
    Case("M-04", workflow(kind="Job"), "kind", "must be Workflow", "Workflow"),
    Case("M-04", workflow_without("kind"), "kind", "must be Workflow"),
    Case("M-05", rootless("manifest_version"), "manifest_version", "is required"),
    Case("M-05", root(manifest_version=[]), "manifest_version", "is required"),
    Case("M-06", root(graph_id=7), "graph_id", "non-empty string", "a non-empty text"),
    Case("M-06", root(graph_id=""), "graph_id", "non-empty string"),
    Case("M-07", root(job_name=""), "job_name", "non-empty string"),
    Case("M-07", workflow_without("job_name"), "job_name", "non-empty string"),
    Case("M-08", workflow_without("id"), "id", "id is required"),
    Case("M-09", workflow(nodes=[]), "nodes", "nodes is not allowed", weight="E/s"),
    Case("M-10", rootless("license"), "license", "LICENSE.md", weight="E/s"),
    Case("M-10", root(license="../LICENSE.md"), "license", "LICENSE.md", weight="E/s"),
    Case("M-11", root(term="GONE.md"), "term", "TERM.md", weight="E/s"),
    Case("M-12", root(type="daemon"), "type", "must be service", ["service", "batch"]),
    Case("M-12", root(type=["service"]), "type", "must be service"),
    Case("M-13", root(requiredContextEngine="yes"), "requiredContextEngine", "must be a boolean"),
    Case("M-14", rootless("requirements"), "requirements", "minimum cpu", weight="E/s"),
    Case("M-14", root(requirements={"cpu": 1}), "requirements", "gpu, memory, disk", weight="E/s"),
    Case("M-15", rootless("input_validation"), "input_validation", "rules list", weight="E/s"),
    Case("M-16", root(policies=["local_restart"]), "policies", "must be an object", "an object"),
    Case("M-17", root(metadata="none"), "metadata", "must be an object", also=("MD-02", "M-19")),
    Case(
        "M-17",
        rootless("metadata"),
        "metadata",
        "metadata is required",
        weight="E/s",
        also=("MD-02", "M-19"),
    ),
    Case("M-18", workflow(contract=None), "contract", "contract is required"),
    Case(
        "M-18",
        workflow(contract={"inputs": []}),
        "contract.inputs",
        "must be an object",
    ),
    Case(
        "M-19",
        lambda p: p.manifest["metadata"].pop("standard"),
        "metadata.standard",
        "standard version 1.0",
        "1.0",
        weight="E/s",
        also=("MD-02",),
    ),
    Case(
        "M-19",
        lambda p: p.manifest["metadata"].update(standard="2.0"),
        "standard_version",
        "standard version 1.0",
        "1.0",
        weight="E/s",
    ),
    Case("M-40", root(daemon="true"), "daemon", "must be a boolean", "true or false"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(manifest, CASES)


def test_a_broken_manifest_is_not_also_told_to_lack_everything():
    parts = Parts()
    parts.manifest = b"{"
    assert [p.rule for p in parts.opened("strict").problems] == ["M-01"]


def test_a_broken_manifest_does_not_hide_what_is_wrong_beside_it():
    parts = Parts()
    parts.manifest = b"{"
    parts.config = b"[]"
    del parts.files["README.md"]
    assert {p.rule for p in parts.opened("strict").errors} == {"M-01", "B-03", "B-09"}


def test_a_manifest_version_may_be_a_number():
    parts = Parts()
    parts.manifest["manifest_version"] = 1.0
    assert parts.opened("strict").problems == []


def test_input_rules_are_found_under_every_name():
    parts = Parts()
    del parts.manifest["input_validation"]
    parts.manifest["metadata"]["inputValidation"] = {"rules": []}
    assert parts.opened("strict").problems == []


def test_a_graph_only_manifest_of_generation_b_may_leave_out_its_api_version():
    parts = Parts()
    parts.as_steps()
    del parts.manifest["apiVersion"], parts.manifest["flow"]["steps"]
    problem = next(p for p in parts.opened("strict").problems if p.rule == "M-02")
    assert problem.severity == "warning"
