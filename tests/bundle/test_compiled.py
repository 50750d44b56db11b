"""A lowered job, written down and read again."""

import json

from hypothesis import given
from msgspec import structs

from mnedge.bundle.compiled import ir_document
from mnedge.bundle.generation import Generation, detect
from mnedge.bundle.lower import job_spec
from mnedge.model.codec import encode_spec
from tests.bundle.making import good
from tests.bundle.manifests import as_flow, as_root, workflows
from tests.bundle.rules.test_dynamic import children


def lowered(manifest, **more):
    given = {"blueprint_id": "river_gauge", "config": {}, "inputs": {"gauge": "G-17"}, **more}
    return job_spec(manifest, detect(manifest), **given)


def again(spec):
    document = json.loads(json.dumps(ir_document(spec)))
    return lowered(
        document,
        blueprint_id=spec.blueprint_id,
        config=spec.config,
        inputs=spec.inputs,
        fingerprint=spec.fingerprint,
        scenario=spec.scenario,
    )


def test_every_form_of_the_bundle_is_written_and_read_again():
    for form in ("", "as_workflow", "as_steps", "as_old_steps", "as_dynamic"):
        spec = good(form).opened().spec
        assert spec is not None
        assert again(spec) == spec


def test_child_workflows_are_written_and_read_again():
    parts = good("as_workflow")
    children()(parts)
    spec = parts.opened().spec
    assert spec is not None
    assert spec.workflow is not None
    assert spec.workflow.child_workflows
    assert again(spec) == spec


def test_how_people_take_part_is_written_and_read_again():
    parts = good("as_workflow")
    del parts.config["human_control"], parts.manifest["metadata"]["human_control"]
    human = {"mode": "approval_required", "timeout_seconds": 5, "prompt": "Go on?"}
    parts.workflow["policy"] = {"human": human}
    spec = parts.opened().spec
    assert spec is not None
    assert spec.human.timeout_s == 5
    assert again(spec) == spec


def test_what_is_written_is_a_manifest_without_errors():
    for form in ("", "as_workflow", "as_dynamic"):
        parts = good(form)
        parts.manifest = ir_document(parts.opened().spec)
        bundle = parts.opened()
        assert bundle.errors == []
        assert bundle.generation is Generation.B_F


def test_what_lowering_filled_in_is_said():
    parts = good("as_workflow")
    del parts.step("check")["control"]
    document = ir_document(parts.opened().spec)
    step = document["flow"]["steps"][1]
    assert step["control"] == {
        "required": True,
        "failure_policy": "fail_workflow",
        "timeout_seconds": 300.0,
        "beacon_timeout_ms": 5000.0,
        "retry": {"max_attempts": 1, "backoff_multiplier": 2.0},
        "retry_backoff_ms": 1000.0,
    }
    assert step["trigger_rule"] == "all_success"
    assert step["agent_ids"] == ["checker"]
    assert document["source_generation"] == "C"
    assert document["flow"]["graph"]["edges"][0]["accepts"] == ["done"]
    assert document["flow"]["policy"]["human"]["mode"] == "disabled"


def test_a_lowered_manifest_only_remembers_a_generation_that_there_is():
    spec = good("as_workflow").opened().spec
    document = ir_document(spec)
    assert lowered({**document, "source_generation": "Z"}).generation == "B-f"
    assert lowered({**document, "source_generation": "?"}).generation == "B-f"
    assert lowered({**document, "source_generation": ["C"]}).generation == "B-f"
    assert lowered(document).generation == "C"


@given(manifest=workflows())
def test_lowering_is_a_function_of_the_manifest(manifest):
    copy = json.loads(json.dumps(manifest))
    first, second = lowered(manifest), lowered(copy)
    assert encode_spec(first) == encode_spec(second)
    assert manifest == copy


@given(manifest=workflows())
def test_any_workflow_is_written_and_read_again(manifest):
    spec = lowered(manifest)
    assert again(spec) == spec
    assert encode_spec(again(spec)) == encode_spec(spec)
    assert ir_document(again(spec)) == ir_document(spec)


@given(manifest=workflows())
def test_one_workflow_means_the_same_in_every_generation(manifest):
    spec = lowered(manifest)
    for other, name in ((as_flow(manifest), "B-f"), (as_root(manifest), "B-r")):
        assert lowered(other) == structs.replace(spec, generation=name)


@given(manifest=workflows())
def test_a_workflow_that_rules_find_no_fault_in_is_lowered(manifest):
    parts = good()
    for form in (manifest, as_flow(manifest), as_root(manifest)):
        parts.manifest = form
        bundle = parts.opened()
        assert bundle.errors == []
        assert bundle.spec is not None
        assert bundle.spec.workflow is not None
        names = {agent.agent_id for agent in bundle.spec.agents}
        for step in bundle.spec.workflow.steps:
            assert set(step.agent_ids) <= names
            assert step.max_attempts >= 1
            assert step.timeout_s is None or step.timeout_s > 0
            assert (step.quorum is not None) == (step.rule == "quorum_success")
        assert bundle.spec.workflow.controlling
