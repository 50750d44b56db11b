"""Configs whose sections are wrong."""

import pytest

from mnedge.bundle.rules import config_sections
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check

FILE = "config/default.json"


def config(**changes):
    return lambda p: p.config.update(changes)


def without(key):
    return lambda p: p.config.pop(key)


def review(*fields):
    return lambda p: p.manifest["metadata"].update(init_config_review={"fields": list(fields)})


def bound(*entries):
    def edit(p: Parts):
        p.config["manifest_config_bindings"] = list(entries)
        p.config["interfaces"]["config_sections"] = [*p.config, "manifest_config_bindings"]

    return edit


CASES = [
    Case(
        "C-01",
        without("simulation"),
        "simulation",
        "missing config section simulation",
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-02",
        config(standard_version="mn.blueprint.config.v1"),
        "standard_version",
        '"1.0"',
        "1.0",
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-03",
        config(identity={"blueprint_id": "lake"}),
        "identity.blueprint_id",
        "name of the bundle",
        "river_gauge",
        file=FILE,
    ),
    Case(
        "C-03", config(identity={}), "identity.blueprint_id", "is required", file=FILE, weight="E/s"
    ),
    Case(
        "C-04", config(budgets=[]), "budgets", "budgets must be an object", "an object", file=FILE
    ),
    Case("C-04", config(mode=3), "mode", "must be a text or an object", file=FILE),
    Case(
        "C-04",
        config(execution_model=True),
        "execution_model",
        "a list or a text or an object",
        file=FILE,
    ),
    Case("C-30", config(tides={}), "tides", "section tides is not declared", file=FILE, weight="W"),
    Case(
        "C-35", without("schemas"), "", "are missing: schemas", ["schemas"], file=FILE, weight="W"
    ),
    Case(
        "C-36",
        config(execution_model=["load_inputs", "resolve_config"]),
        "execution_model",
        "not in the shared order",
        file=FILE,
        weight="W",
    ),
    Case(
        "C-36",
        config(execution_model="write_final_artifact -> emit_events"),
        "execution_model",
        "not in the shared order",
        file=FILE,
        weight="W",
    ),
    Case(
        "C-37",
        bound("x"),
        "manifest_config_bindings[0]",
        "must be an object",
        file=FILE,
        weight="W",
    ),
    Case(
        "C-37",
        bound({"config_path": "a", "manifest_path": "nodes.gone.config.x"}),
        "manifest_config_bindings[0].manifest_path",
        "is not in the manifest",
        file=FILE,
        weight="W",
    ),
    Case(
        "C-45",
        review({"path": "inputs.gone"}),
        "metadata.init_config_review.fields[0].path",
        "inputs.gone is not in",
        weight="W",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(config_sections, CASES)


def test_declared_sections_of_its_own_are_right():
    parts = Parts()
    parts.config["tides"] = {}
    parts.config["interfaces"]["config_sections"] = [*parts.config]
    assert parts.opened("strict").problems == []


def test_a_review_may_name_a_setting_that_is_null():
    parts = Parts()
    parts.config["inputs"]["path"] = None
    review({"path": "inputs.path"})(parts)
    assert parts.opened("strict").problems == []


def test_capabilities_may_be_a_list():
    parts = Parts()
    parts.config["capabilities"] = ["filesystem.write"]
    assert parts.opened("strict").problems == []
