"""Sources of the first version: what becomes of their steps; rule S-20."""

from mnedge.bundle.source.migration import migrated
from tests.bundle.source.making import source


def first_version(*listed):
    return {"apiVersion": "mn.workflow.source/v1", "workflow": {"steps": list(listed)}}


def steps_of(made):
    return made["workflow"]["steps"]


def test_the_second_version_comes_back_as_it_is():
    made = source()
    found, problems = migrated(made)
    assert found is made
    assert problems == []


def test_names_become_steps_that_follow_each_other():
    found, problems = migrated(first_version("one", {"id": "two", "goal": "g"}, "three"))
    assert problems == []
    assert (found["apiVersion"], found["kind"]) == ("mn.workflow.source/v2", "WorkflowSource")
    assert steps_of(found) == [
        {"id": "one", "needs": [], "run": {"agent": "one"}},
        {"id": "two", "goal": "g", "needs": ["one"], "run": {"agent": "two"}},
        {"id": "three", "needs": ["two"], "run": {"agent": "three"}},
    ]


def test_what_runs_is_an_agent_unless_it_says_more():
    listed = [{"id": "a", "run": "worker"}, {"id": "b", "run": {"handler": "m"}}]
    found, _ = migrated(first_version(*listed))
    assert [step["run"] for step in steps_of(found)] == [{"agent": "worker"}, {"handler": "m"}]


def test_what_is_required_is_needed_from_the_first_who_provides_it():
    found, problems = migrated(
        first_version(
            {"id": "a", "provides": ["x"]},
            {"id": "b", "provides": ["x", "y"]},
            {"id": "c", "requires": ["y", "x", "x"]},
            {"id": "d"},
            {"id": "e", "requires": ["z"], "provides": ["z"]},
        )
    )
    assert problems == []
    assert [step["needs"] for step in steps_of(found)] == [[], [], ["b", "a"], [], []]
    assert not any({"requires", "provides"} & set(step) for step in steps_of(found))


def test_what_nobody_provides_is_dropped_with_a_warning():
    found, problems = migrated(first_version("a", {"id": "b", "requires": ["ghost", 3]}))
    assert steps_of(found)[1]["needs"] == []
    assert [(p.rule, p.severity, p.at) for p in problems] == [
        ("S-20", "W", ("workflow", "steps", 1, "requires", 0)),
        ("S-20", "W", ("workflow", "steps", 1, "requires", 1)),
    ]
    assert "'ghost'" in problems[0].message


def test_what_makes_no_sense_is_left_to_the_rules():
    assert migrated({"apiVersion": "mn.workflow.source/v1"})[0].get("workflow") is None
    found, _ = migrated(first_version(3, {"no": "id"}))
    assert steps_of(found)[0] == 3
    assert steps_of(found)[1]["run"] == {"agent": None}
