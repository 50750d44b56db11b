"""Where a job starts, and what with."""

import pytest

from mnedge.bundle.agents import agent_entries
from mnedge.bundle.generation import Generation
from mnedge.bundle.seeds import entrypoint_lists, entrypoints_of, seeds_of


@pytest.mark.parametrize(
    "given, starts",
    [
        (["a", "b", "a"], ["a", "b"]),
        ("a", ["a"]),
        (None, ["root"]),
        ([], ["root"]),
        ([3, {}], ["root"]),
        ({"a": 1}, ["root"]),
    ],
)
def test_a_job_starts_where_the_manifest_or_a_root_role_says(given, starts):
    nodes = [{"node_id": "a"}, {"node_id": "root", "role": "root_coordinator"}]
    manifest = {"entrypoints": given, "nodes": nodes}
    assert entrypoints_of(manifest, agent_entries(manifest)) == starts


@pytest.mark.parametrize(
    "given, seeds",
    [
        ({"a": [1, 2], "x": [3]}, {"a": [1, 2], "b": [{}]}),
        ({"a": {"k": 1}, "b": []}, {"a": [{"k": 1}], "b": [{}]}),
        ({"a": None}, {"a": [None], "b": [{}]}),
        ([1, 2], {"a": [1, 2], "b": [1, 2]}),
        ([], {"a": [{}], "b": [{}]}),
        (None, {"a": [{}], "b": [{}]}),
    ],
)
def test_every_entrypoint_gets_at_least_one_seed(given, seeds):
    assert seeds_of({"initial_inputs": given}, ["a", "b"]) == seeds


def workflow(**more):
    return {"workflow": {}, "agents": {"entrypoints": ["a", "b"]}, **more}


C = Generation.C


def test_entrypoints_of_a_workflow_come_first_and_the_roots_are_added():
    manifest = workflow(entrypoints="c")
    assert entrypoints_of(manifest, [], C) == ["a", "b", "c"]
    assert entrypoints_of(manifest, [], Generation.A) == ["c"]
    assert [at for at, _ in entrypoint_lists(manifest, C)] == [
        ("agents", "entrypoints"),
        ("entrypoints",),
    ]


@pytest.mark.parametrize(
    "more, seeds",
    [
        ({"initial_inputs": {"a": [1]}, "runtime": {"initial_inputs": {"b": [2]}}}, [[1], [{}]]),
        ({"initial_inputs": {"x": [1]}, "runtime": {"initial_inputs": {"b": [2]}}}, [[{}], [2]]),
        ({"initial_inputs": [], "runtime": {"initial_inputs": [7]}}, [[7], [7]]),
        ({"initial_inputs": {}, "runtime": {"initial_inputs": {"b": 2}}}, [[{}], [2]]),
        (
            {
                "runtime": {
                    "initial_inputs": {"a": [1]},
                    "bindings": {
                        "s": {"seed_inputs": {"a": [8], "b": [9]}},
                        "t": {"initial_inputs": {"b": [10]}},
                    },
                }
            },
            [[1], [9]],
        ),
        ({}, [[{"args": [], "kwargs": {"gauge": 1}}], [{}]]),
        ({"initial_inputs": "go", "runtime": 3}, [[{"args": [], "kwargs": {"gauge": 1}}], [{}]]),
    ],
)
def test_seeds_of_a_workflow_come_from_the_first_place_that_has_some(more, seeds):
    found = seeds_of(workflow(**more), ["a", "b"], C, {"gauge": 1})
    assert found == {"a": seeds[0], "b": seeds[1]}


def test_a_workflow_without_inputs_starts_with_empty_arguments():
    assert seeds_of({}, ["a"], C) == {"a": [{"args": [], "kwargs": {}}]}
    assert seeds_of({}, [], C) == {}
