"""A whole source, expanded."""

import copy
import json

from mnedge.bundle.files import ListedFiles
from mnedge.bundle.generation import Generation, detect
from tests.bundle.source.making import (
    SOURCE,
    edges,
    expanded,
    node,
    rules,
    source,
    steps,
    with_definition,
)


def test_a_source_becomes_a_workflow_manifest():
    found = expanded(source())
    assert rules(found) == []
    assert found.complete
    assert detect(found.manifest) is Generation.C
    assert found.manifest["apiVersion"] == "mn.workflow/v2"
    assert found.manifest["kind"] == "Workflow"
    workflow = found.manifest["workflow"]
    assert workflow["workflow_id"] == "night_watch_v1"
    assert (workflow["entrypoint"], workflow["source"], workflow["sink"]) == (
        "read_gauge",
        "read_gauge",
        "warn",
    )
    assert [step["id"] for step in workflow["steps"]] == ["read_gauge", "judge", "warn"]
    assert [(edge["id"], edge["accepts"]) for edge in workflow["edges"]] == [
        ("read_gauge_to_judge", ["done"]),
        ("judge_to_warn", ["done"]),
    ]
    assert edges(found) == [
        ("read_gauge", "judge", "read_gauge_completed"),
        ("judge", "siren", "judge_completed"),
    ]
    assert found.manifest["agents"]["entrypoints"] == ["read_gauge"]


def test_the_same_source_gives_the_same_manifest_and_is_left_as_it_was():
    made = source()
    first = json.dumps(expanded(made).manifest)
    assert json.dumps(expanded(copy.deepcopy(made)).manifest) == first
    assert made == SOURCE


def test_nothing_is_expanded_that_breaks_a_rule_of_its_shape():
    found = expanded({"apiVersion": "mn.workflow.source/v2"})
    assert rules(found) == ["S-01E", "S-02E"]
    assert found.manifest == {}
    assert not found.complete


def test_words_in_double_braces_are_those_of_the_manifest_or_of_the_step():
    made = source(
        note="{{name}} is {{id}} ({{unknown}})", defaults={"step": {"goal": "{{label}}!"}}
    )
    made["workflow"]["steps"][1]["label"] = "Judge {{step_id}} of {{blueprint_id}}"
    made["workflow"]["policy"] = {"why": "{{job_name}}"}
    found = expanded(made)
    assert found.manifest["note"] == "Night watch is night_watch ({{unknown}})"
    assert found.manifest["workflow"]["policy"]["why"] == "night-watch"
    judge = found.manifest["workflow"]["steps"][1]
    assert judge["label"] == "Judge judge of night_watch"
    assert judge["goal"] == "Judge judge of night_watch!"


def test_templates_become_steps_that_can_be_made_and_have_agents_that_wait():
    made = source()
    made["workflow"] |= {
        "mode": "dynamic_dag",
        "dynamic": {
            "enabled": True,
            "apply_at": "between_steps",
            "templates": {
                "dig": {"run": {"handler": "steps.dig", "with": {"depth": 2}}},
                "rest": {"run": {"agent": "siren"}, "label": "A rest"},
            },
            "regions": [
                {
                    "id": "deeper",
                    "strategy": "replace_path",
                    "controller": "judge",
                    "exit": "warn",
                    "templates": ["dig"],
                    "mutable_edges": ["judge_to_warn"],
                }
            ],
        },
    }
    found = expanded(made)
    assert rules(found) == []
    templates = found.manifest["workflow"]["dynamic"]["templates"]
    assert templates["dig"]["agent_id"] == "dig"
    assert templates["dig"]["run"] == "dig"
    assert templates["dig"]["implementation"] == {"handler": "steps.dig", "with": {"depth": 2}}
    assert "on" not in templates["dig"]
    assert (templates["rest"]["agent_id"], templates["rest"]["label"]) == ("siren", "A rest")
    assert node(found, "dig")["agent_type"] == "executor"
    assert edges(found) == [("read_gauge", "judge", "read_gauge_completed")]
    assert "dig" in found.manifest["runtime"]["bindings"]


def test_a_static_workflow_keeps_its_templates_as_they_are():
    made = source()
    made["workflow"]["dynamic"] = {"enabled": True, "templates": {"dig": {"run": {}}}}
    found = expanded(made)
    assert found.manifest["workflow"]["dynamic"] == made["workflow"]["dynamic"]


def test_a_step_with_a_definition_gets_agents_inside():
    found = expanded(*with_definition())
    assert rules(found) == []
    (step,) = found.manifest["workflow"]["steps"]
    assert step["agent_ids"] == ["look__start", "look__looker", "look__end"]
    assert (step["agent_id"], step["end_agent_id"]) == ("look__start", "look__end")
    assert step["implementation"]["definition"] == "steps.look"
    assert step["implementation"]["step_graph"]["flow"]["agent_id"] == "looker"
    assert edges(found) == [
        ("look__start", "look__looker", "look__start_completed"),
        ("look__looker", "look__end", "look__looker_completed"),
        ("look__end", "workflow__terminal", "look_completed"),
    ]


def test_a_definition_that_is_not_looked_at_is_told_and_leaves_the_step_hollow():
    found = expanded(*with_definition(), run_code=False)
    assert rules(found) == ["S-09W"]
    assert "not checked" in found.problems[0].message
    assert (found.unchecked, found.complete) == (["steps.look"], False)
    assert detect(found.manifest) is Generation.C
    assert edges(found)[0] == ("look__start", "look__end", "look__start_completed")


def test_a_definition_that_is_wrong_is_told_where_the_step_names_it():
    made, _ = with_definition()
    found = expanded(made)
    assert rules(found) == ["S-09E"]
    assert found.problems[0].at == ("workflow", "steps", 0, "run", "definition")
    assert "no such module" in found.problems[0].message
    made, files = with_definition({"type": "agent", "agent_id": "stranger"})
    found = expanded(made, files)
    assert rules(found) == ["S-09E"]
    assert "'stranger'" in found.problems[0].message


def test_files_stand_in_for_values():
    made = source(note={"$file": "@/docs/note.txt"}, rows={"$json_file": "payloads/rows.json"})
    files = ListedFiles([], {"docs/note.txt": b"for {{name}}", "payloads/rows.json": b"[1]"})
    found = expanded(made, files)
    assert rules(found) == []
    assert (found.manifest["note"], found.manifest["rows"]) == ("for Night watch", [1])


def test_a_source_of_the_first_version_is_a_chain_of_agents():
    made = steps("one", {"id": "two", "run": "worker_two"})
    made["apiVersion"] = "mn.workflow.source/v1"
    found = expanded(made)
    assert rules(found) == []
    assert [step["needs"] for step in found.manifest["workflow"]["steps"]] == [[], ["one"]]
    assert found.manifest["workflow"]["steps"][1]["agent_id"] == "worker_two"
    assert edges(found) == [("one", "two", "one_completed")]


def test_live_inputs_are_checked_against_the_graph_that_came_out():
    live = {"flood": {"entrypoint": "read_gauge", "message_type": "read_gauge_completed"}}
    made = source(contracts={"live_inputs": live})
    assert rules(expanded(made)) == ["S-08E"]
    live["flood"]["schema"] = {"type": "object"}
    assert rules(expanded(made)) == []
    live["flood"]["entrypoint"] = "siren"
    found = expanded(made)
    assert found.problems[0].at == ("contracts", "live_inputs", "flood", "entrypoint")
