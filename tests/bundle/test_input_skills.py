import pytest

from mnedge.bundle.input_skills import (
    InputSkill,
    VariableMissingError,
    event_of,
    event_problems,
    input_skills,
    is_event,
    is_mocked,
    resolved,
    skill_problem,
)
from mnedge.bundle.problem import Severity

ENTRY = {"skill": "file.read", "connector": "file", "path": "payloads/a.json"}


def skills(config, **environ):
    return {one.name: one for one in input_skills(config, environ)}


def test_both_homes_are_read_and_the_first_wins():
    found = skills(
        {
            "mode": "live",
            "input_skills": {"a": ENTRY, "enabled": False},
            "inputs": {"skills": {"a": {**ENTRY, "path": "other"}, "b": ENTRY}},
        }
    )
    assert found["a"].settings == {"path": "payloads/a.json"}
    assert found["a"].at == ("input_skills", "a")
    assert found["b"].at == ("inputs", "skills", "b")
    assert not found["a"].mock


def test_what_is_not_enabled_is_left_out():
    assert skills({"input_skills": {"a": {**ENTRY, "enabled": False}}}) == {}


def test_only_what_is_for_the_connector_is_a_setting():
    entry = {**ENTRY, "live": True, "events": ["file_added"], "runtime": {"driver": "x"}, "to": "a"}
    (found,) = skills({"input_skills": {"x": {**entry, "required": True}}}).values()
    assert found.settings == {"path": "payloads/a.json"}
    assert (found.live, found.required, found.to) == (True, True, ["a"])
    assert found.events == {"file_added": "file_added", "*": "file_added"}


@pytest.mark.parametrize(
    "config, environ, mocked",
    [
        ({"mode": "mock"}, {}, True),
        ({"mode": {"default": "mock"}}, {}, True),
        ({"mode": "live"}, {}, False),
        ({}, {}, False),
        ({"mode": "live"}, {"MN_BLUEPRINT_FAKE_SKILLS": "1"}, True),
        ({"mode": "live"}, {"MN_BLUEPRINT_QUICK_TEST": "true"}, True),
        ({"mode": "live"}, {"MN_BLUEPRINT_FAKE_SKILLS": "0"}, False),
    ],
)
def test_a_run_is_mocked_by_its_mode_or_the_environment(config, environ, mocked):
    assert is_mocked(config, environ) is mocked
    (found,) = skills({**config, "input_skills": {"a": ENTRY}}, **environ).values()
    assert found.mock is mocked


def test_one_skill_alone_can_be_mocked_and_bring_a_fixture():
    entry = {**ENTRY, "mock": True, "fixture": [1]}
    (found,) = skills({"mode": "live", "input_skills": {"a": entry}}).values()
    assert found.mock
    assert found.fixture == [1]


@pytest.mark.parametrize(
    "events, said, type_",
    [
        ({"on_change": "drop_changed"}, "folder_content_changed", "drop_changed"),
        ({"on_change": "drop_changed", "on_add": "added"}, "file_gone", "drop_changed"),
        ({"added": "drive_file_added", "x": "y"}, "added", "drive_file_added"),
        ({"x": "y", "z": "folder_content_changed"}, "folder_content_changed", None),
        ({"x": "y", "z": "w"}, "something_else", "something_else"),
        ({}, "something_else", "something_else"),
    ],
)
def test_the_events_say_what_an_item_is_called(events, said, type_):
    (found,) = skills({"input_skills": {"a": {**ENTRY, "events": events}}}).values()
    assert event_of(found.events, said) == (type_ or said)


@pytest.mark.parametrize("name", ["job_completed", "run_failed", "Not Snake", "", "a__b", "ü"])
def test_no_source_can_tell_events_that_are_ours(name):
    assert not is_event(name)
    skill = InputSkill(
        name="a", at=("x",), skill="s", connector="c", settings={}, events={"x": name}
    )
    assert event_problems(skill)


def test_a_good_event_is_none():
    assert is_event("drive_file_added")


def test_variables_come_into_the_settings_by_name_and_places_are_filled():
    found = resolved(
        {
            "url": "${config.site.url}/${env.ROOM}",
            "auth_env": "KEY",
            "headers": {"X-A": "1"},
            "headers_env": {"X-Key": "KEY"},
        },
        {"site": {"url": "https://x"}},
        {"KEY": "secret", "ROOM": "7"},
    )
    assert found == {
        "url": "https://x/7",
        "auth": "secret",
        "headers": {"X-A": "1", "X-Key": "secret"},
    }


@pytest.mark.parametrize("named", ["ABSENT", "", 3])
def test_a_variable_that_is_not_set_is_named(named):
    with pytest.raises(VariableMissingError, match="auth_env names the variable"):
        resolved({"auth_env": named}, {}, {})


def test_its_problem_says_where_it_stands():
    skill = InputSkill(
        name="a", at=("inputs", "skills", "a"), skill="s", connector="c", settings={}
    )
    problem = skill_problem(skill, "is away")
    assert problem.severity is Severity.ERROR
    assert problem.path == "inputs.skills.a"
    assert problem.message == "input skill a: is away"
    assert "inputs.skills.a" in problem.help
