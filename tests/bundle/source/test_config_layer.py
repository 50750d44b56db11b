"""The default config of a source: rules S-05 and S-06."""

import pytest

from mnedge.bundle.files import ListedFiles
from mnedge.bundle.source.config_layer import config_of
from tests.bundle.source.making import source

FILES = ListedFiles(
    ["config/away.json"],
    {
        "config/default.json": b'{"a": 1, "llm": {"mode": "fake"}}',
        "config/other.json": b'{"b": 2}',
        "config/list.json": b"[]",
    },
)


def told(config, files=FILES, default=None, **members):
    problems = []
    found = config_of(source(config=config, **members), files, default, problems)
    return found, [(p.rule, p.severity, ".".join(map(str, p.at)), p.message) for p in problems]


@pytest.mark.parametrize(
    "config, expected",
    [
        ({}, {"a": 1, "llm": {"mode": "fake"}}),
        ({"default": "config/default.json"}, {"a": 1, "llm": {"mode": "fake"}}),
        ({"default_file": "@/config/other.json"}, {"b": 2}),
        ({"default": {"c": 3}}, {"c": 3}),
        ({"data": {"d": 4}, "default": "config/other.json"}, {"d": 4}),
    ],
)
def test_the_default_comes_from_a_file_or_from_the_source(config, expected):
    assert told(config) == (expected, [])


def test_what_the_caller_has_read_is_taken_for_the_usual_file():
    assert told({}, default={"x": 1})[0] == {"x": 1}
    assert told({"default": "config/other.json"}, default={"x": 1})[0] == {"b": 2}


def test_what_the_manifest_lends_lies_below_the_default():
    config = {"manifest_defaults": ["llm", {"from": "identity.id", "to": "identity.blueprint_id"}]}
    found, problems = told(config, llm={"mode": "live", "model": "small"})
    assert problems == []
    assert found == {
        "llm": {"mode": "fake", "model": "small"},
        "identity": {"blueprint_id": "night_watch"},
        "a": 1,
    }


def test_an_entry_that_names_nothing_is_only_a_warning():
    found, problems = told({"manifest_defaults": ["identity.id", "no.where"]}, ListedFiles([]))
    assert found == {"identity": {"id": "night_watch"}}
    assert problems == [
        ("S-05", "W", "config.manifest_defaults.1", "the manifest says nothing at no.where")
    ]


def test_without_any_file_there_is_no_config():
    assert told({}, ListedFiles([])) == (None, [])
    assert told({}, ListedFiles(["config/default.json"])) == (None, [])


@pytest.mark.parametrize(
    "config, place, says",
    [
        ({"default": "../x.json"}, "config.default", "contains `..`"),
        ({"default_file": "config/none.json"}, "config.default_file", "none.json is not there"),
        ({"default": "config/away.json"}, "config.default", "away.json is not there"),
        ({"default": "config/list.json"}, "config.default", "or is no JSON object"),
        ({"default": 3}, "config.default", "is not a string"),
    ],
)
def test_a_default_file_that_is_none_is_told(config, place, says):
    found, problems = told(config, default={"x": 1})
    assert found == {"x": 1}
    ((rule, severity, at, message),) = problems
    assert (rule, severity, at) == ("S-06", "E", place)
    assert says in message
