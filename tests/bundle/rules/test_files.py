"""Bundles whose files are wrong."""

import pytest

from mnedge.bundle.files import Unsafe
from mnedge.bundle.rules import files
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check


def without(name):
    return lambda p: p.files.pop(name)


def with_file(name, content=b"."):
    return lambda p: p.files.update({name: content})


CASES = [
    Case("B-02", lambda p: setattr(p, "manifest", None), "", "manifest.json is required"),
    Case("B-03", without("SPEC.md"), "", "SPEC.md is missing", file="SPEC.md", weight="E/s"),
    Case(
        "B-04",
        lambda p: setattr(p, "config", None),
        "",
        "config/default.json is required",
        file="config/default.json",
    ),
    Case(
        "B-05",
        without("payloads/reader/read.py"),
        "",
        "payloads directory",
        file="payloads",
        weight="E/s",
    ),
    Case(
        "B-06",
        lambda p: p.catalogue.clear(),
        "",
        "river_gauge is not listed",
        "river_gauge",
        file="index.json",
        weight="E/s",
    ),
    Case(
        "B-07",
        with_file("knowledge/notes/a.md"),
        "",
        "must contain exactly",
        ["custom", "init", "learned"],
        file="knowledge",
        weight="E/s",
    ),
    Case(
        "B-07",
        with_file("knowledge/init/a.md"),
        "",
        "must contain exactly",
        file="knowledge",
        weight="E/s",
    ),
    Case(
        "B-08",
        lambda p: p.unsafe.append(Unsafe("payloads/x", "is a symbolic link")),
        "",
        "payloads/x is a symbolic link",
        file="payloads/x",
    ),
    Case(
        "B-09",
        lambda p: setattr(p, "config", b'{\n  "mode": "mock",\n}'),
        "",
        "not valid JSON at line 3, column 1",
        file="config/default.json",
        weight="E",
    ),
    Case(
        "B-09",
        with_file("config/overwrite.json", b"[1]"),
        "",
        "must hold a JSON object, not a list",
        "an object",
        file="config/overwrite.json",
    ),
    Case(
        "B-09",
        with_file("scenario.json", b'{"a": 1, "b": 2, "a": 3}'),
        "",
        "ambiguous at line 1, column 18: key 'a' stands twice",
        file="scenario.json",
    ),
    Case(
        "B-20",
        with_file("requirements.txt"),
        "",
        "never installed",
        file="requirements.txt",
        weight="W",
    ),
    Case(
        "B-21",
        with_file("payloads/reader/__pycache__/read.pyc"),
        "",
        "payloads/reader/__pycache__ is a vendored",
        file="payloads/reader/__pycache__",
        weight="W",
    ),
    Case(
        "B-21",
        with_file("payloads/big", b"." * 300_000),
        "",
        "larger than 250 KB",
        file="payloads/big",
        weight="W",
    ),
    Case(
        "B-22",
        lambda p: p.catalogue[0].update(category="air"),
        "category",
        "another category",
        "water",
        file="index.json",
        weight="W",
    ),
    Case(
        "B-22",
        lambda p: p.catalogue[0].update(product=[]),
        "product.benefit",
        "no product.benefit",
        file="index.json",
        weight="W",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(files, CASES)


def test_payloads_that_are_a_file_are_an_error_everywhere():
    parts = Parts()
    parts.files = {"payloads": b"x"}
    problem = next(p for p in parts.opened().problems if p.rule == "B-05")
    assert (problem.severity, problem.message) == ("error", "payloads must be a directory")


def test_all_four_missing_documents_are_told_at_once():
    parts = Parts()
    parts.files = {"payloads/reader/read.py": b"."}
    told = [p.file for p in parts.opened().problems if p.rule == "B-03"]
    assert told == ["README.md", "SPEC.md", "LICENSE.md", "TERM.md"]


def test_a_bundle_outside_a_catalogue_is_not_held_to_one():
    parts = Parts()
    parts.catalogue = None
    assert parts.opened("strict").problems == []


@pytest.mark.parametrize(
    "index", [[{"id": "a"}], {"blueprints": [{"id": "a"}]}, {"items": [{"id": "a"}, 3]}]
)
def test_the_rows_of_an_index_are_found_in_every_shape(index):
    assert files.rows_of(index) == [{"id": "a"}]


@pytest.mark.parametrize("value", [None, 3, "x", {}, {"blueprints": 3}])
def test_an_index_without_rows_has_none(value):
    assert files.rows_of(value) == []


@pytest.mark.parametrize(
    "value, words",
    [
        (None, "null"),
        (True, "a boolean"),
        (1.5, "a number"),
        ("x", "a text"),
        ([], "a list"),
        ({}, "an object"),
    ],
)
def test_a_json_value_has_a_plain_name(value, words):
    assert files.kind_of(value) == words
