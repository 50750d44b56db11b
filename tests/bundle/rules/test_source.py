"""Authoring sources that cannot be expanded, or not into what can run."""

import pytest

from mnedge.bundle.rules import source
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check, good, rules_of

S = "as_source"


def root(**changes):
    return lambda p: p.manifest.update(changes)


def step(name, **changes):
    return lambda p: p.step(name).update(changes)


def dynamic(**template):
    def edit(p: Parts):
        p.workflow.update(
            mode="dynamic_dag",
            dynamic={
                "enabled": True,
                "apply_at": "between_steps",
                "templates": {"dig": template},
                "regions": [
                    {
                        "id": "deeper",
                        "strategy": "replace_path",
                        "controller": "read",
                        "exit": "check",
                        "templates": ["dig"],
                        "mutable_edges": ["read_to_check"],
                    }
                ],
            },
        )

    return edit


def defined(text=None, name="steps.look"):
    def edit(p: Parts):
        p.step("read")["run"] = {"definition": name}
        if text is not None:
            p.files["payloads/steps/look.py"] = text.encode()

    return edit


def first_version(p: Parts):
    p.manifest["apiVersion"] = "mn.workflow.source/v1"
    p.workflow["steps"] = [
        {"id": "read", "run": "reader", "provides": ["level"], "requires": []},
        {"id": "check", "run": "checker", "requires": ["level", "luck"], "emits": "checked"},
    ]
    p.workflow["steps"][0]["emits"] = "reading"


CASES = [
    Case("S-01", root(identity=3), "identity", "identity", form=S, also=()),
    Case("S-02", root(workflow={"steps": []}), "workflow.steps", "step", form=S),
    Case("S-03", step("check", needs=["gone"]), "workflow.steps[1].needs[0]", "gone", form=S),
    Case("S-04", step("check", run={}), "workflow.steps[1].run", "", form=S),
    Case(
        "S-05", root(config={"manifest_defaults": [3]}), "config.manifest_defaults[0]", "", form=S
    ),
    Case(
        "S-05",
        root(config={"manifest_defaults": ["gone.path"]}),
        "config.manifest_defaults[0]",
        "gone.path",
        weight="W",
        form=S,
    ),
    Case("S-06", root(intent={"$file": "gone.md"}), "intent.$file", "gone.md", form=S),
    Case("S-07", dynamic(run={}), "workflow.dynamic.templates.dig.run", "", form=S),
    Case(
        "S-08",
        root(contract={"inputs": {}, "live_inputs": {"level": {"entrypoint": "gone"}}}),
        "contract.live_inputs.level.entrypoint",
        "",
        form=S,
    ),
    Case("S-09", defined(), "workflow.steps[0].run.definition", "steps.look", form=S),
    Case("S-20", first_version, "workflow.steps[1].requires[1]", "luck", weight="W", form=S),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(source, CASES)


def test_a_source_in_which_everything_is_right_only_lacks_what_it_cannot_say():
    bundle = good(S).opened("strict")
    assert bundle.errors == []
    assert rules_of(bundle.warnings) == ["MD-20", "W-34"]


def test_rules_about_steps_look_at_the_expansion_and_say_so():
    parts = good(S)
    parts.manifest["agents"]["extra_nodes"].pop()
    problems = parts.opened("strict").errors
    assert {p.rule for p in problems} >= {"E-03", "K-06"}
    assert {p.file for p in problems} == {"manifest.json (expanded)"}


def test_a_source_that_cannot_be_expanded_is_not_also_told_to_lack_agents():
    parts = good(S)
    parts.manifest["workflow"] = {"steps": []}
    assert rules_of(parts.opened("strict").errors) == ["S-02"]
    assert parts.opened().spec is None


def test_a_definition_that_was_not_loaded_is_a_warning_until_the_bundle_runs():
    parts = good(S)
    defined("raise SystemExit")(parts)
    bundle = parts.opened("strict", run_code=False)
    assert rules_of(bundle.errors) == []
    assert "S-09" in rules_of(bundle.warnings)
