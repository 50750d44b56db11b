"""Real manifests: what we find in them, and what they are lowered to."""

import json

import pytest

from mnedge.bundle.compiled import ir_document
from mnedge.bundle.generation import Generation, detect
from mnedge.bundle.load import runnable_problems
from mnedge.bundle.lower import job_spec
from mnedge.bundle.problem import BundleInvalidError
from mnedge.model.codec import encode_spec
from tests.corpus.survey import (
    CORPUS,
    COUNTED,
    SURVEY,
    expected,
    findings,
    folders,
    opened,
    unknown,
)
from tests.corpus.table import table

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus beside the repository")

FOLDERS = folders()
OLDEST = [folder for folder in FOLDERS if folder.parent.name == "mb-2026-05-15"]
LATER = [folder for folder in FOLDERS if folder not in OLDEST]
HERE = ("host_local", "MirrorNeuron.Runner.HostLocal")


def name(folder):
    return folder.name


def test_the_survey_and_the_corpus_hold_the_same_bundles():
    assert {(folder.parent.name, folder.name) for folder in FOLDERS} == set(SURVEY)
    assert (len(OLDEST), len(FOLDERS)) == (17, 60)


def test_no_rule_of_the_survey_is_missing():
    assert unknown() == frozenset()


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
def test_every_bundle_is_found_as_the_survey_found_it(folder):
    assert findings(opened(folder)).only(COUNTED) == expected(folder)


@pytest.mark.parametrize("folder", OLDEST, ids=name)
def test_every_bundle_of_generation_a_but_one_can_be_lowered(folder):
    bundle = opened(folder)
    valid = folder.name != "secuirty_rmf_user_activity"
    assert (bundle.errors == []) is valid
    assert (bundle.spec is not None) is valid
    assert bundle.generation is (Generation.A if valid else Generation.UNKNOWN)
    assert opened(folder, "strict").errors


@pytest.mark.parametrize("folder", LATER, ids=name)
def test_every_bundle_of_a_later_generation_can_be_lowered(folder):
    bundle = opened(folder)
    assert bundle.errors == []
    assert bundle.spec is not None
    assert bundle.spec.generation == str(bundle.generation)
    assert bundle.spec.workflow is not None
    assert {bundle.spec.generation} <= {"B-f", "C", "S2"}
    assert opened(folder, "strict").errors


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
def test_what_was_lowered_is_lowered_to_the_same_again(folder):
    spec = opened(folder).spec
    if spec is None:
        assert folder.name == "secuirty_rmf_user_activity"
        return
    document = json.loads(json.dumps(ir_document(spec)))
    again = job_spec(
        document,
        detect(document),
        blueprint_id=spec.blueprint_id,
        config=spec.config,
        inputs=spec.inputs,
        fingerprint=spec.fingerprint,
        scenario=spec.scenario,
    )
    assert again == spec
    assert encode_spec(again) == encode_spec(opened(folder).spec)


def test_only_steps_that_name_agents_control_a_run():
    controlling = {
        folder.name: spec.workflow.controlling
        for folder in LATER
        if (spec := opened(folder).spec) is not None and spec.workflow is not None
    }
    decorative = {name for name, controls in controlling.items() if not controls}
    of_june = {folder.name for folder in LATER if folder.parent.name == "mb-2026-06-13"}
    assert decorative == of_june | {"generic_customer_service_voice_coworker"}


def test_a_quorum_and_a_bound_of_parallel_steps_are_kept():
    spec = opened(next(f for f in LATER if f.name == "demo_dag_quorum")).spec
    assert spec is not None
    assert spec.workflow is not None
    approve = spec.workflow.steps[-1]
    assert (approve.rule, approve.quorum) == ("quorum_success", 2)
    assert spec.workflow.max_parallel_steps == 4
    assert spec.seeds["start"][0]["scenario"] == "demo_dag_quorum"


def test_a_template_of_the_bundle_may_be_known_by_name_only():
    spec = opened(next(f for f in LATER if f.name == "demo_air_gapped")).spec
    assert spec is not None
    analyze = spec.agents[0]
    assert (analyze.kind, analyze.config["command"]) == ("executor", ["python3", "worker.py"])
    assert analyze.config["timeout_seconds"] == 180


def test_definitions_that_are_not_at_hand_are_told_when_the_bundle_is_to_run():
    folder = next(f for f in LATER if f.name == "customer_lifecycle_coworker")
    bundle = opened(folder)
    told = [p for p in runnable_problems(bundle, HERE) if p.rule == "S-09"]
    assert len(told) == 2
    assert {p.severity for p in told} == {"error"}
    with pytest.raises(BundleInvalidError, match="was not loaded"):
        bundle.spec_for("run-1", "/runs")


def test_lowering_keeps_every_agent_edge_and_seed():
    folder = next(f for f in OLDEST if f.name == "general_parallel_worker_scale_benchmark")
    bundle = opened(folder)
    assert bundle.spec is not None
    assert (len(bundle.spec.agents), len(bundle.spec.edges)) == (103, 201)
    collector = next(a for a in bundle.spec.agents if a.agent_id == "collector")
    assert "complete_on_message" not in collector.config
    assert collector.config["complete_after"] == 100


def test_an_edge_without_an_id_gets_one_from_its_ends():
    folder = next(f for f in OLDEST if f.name == "general_context_memory_audit_pipeline")
    spec = opened(folder).spec
    assert spec is not None
    assert spec.edges[0].edge_id == "initializer__init_done__interpreter"
    assert spec.required_context_engine is True


def test_native_modules_are_named_when_their_bundle_is_to_run():
    folder = next(f for f in OLDEST if f.name == "general_live_telemetry_stream_pipeline")
    bundle = opened(folder)
    assert bundle.spec is not None
    assert bundle.spec.job_type == "service"
    told = [p.message for p in runnable_problems(bundle, HERE) if p.severity == "error"]
    assert any("MirrorNeuron.Examples.StreamBasicDaemon.Telemetry" in text for text in told)


@pytest.mark.parametrize("folder", OLDEST[:3], ids=name)
def test_the_config_of_a_run_carries_the_run(folder):
    spec = opened(folder).spec_for("run-1", "/runs")
    assert spec.config["identity"]["run_id"] == "run-1"
    assert spec.config["outputs"]["run_root"] == "/runs"


def test_bindings_put_the_run_into_the_agents():
    folder = next(f for f in OLDEST if f.name == "business_facility_safety_video_guardian")
    spec = opened(folder).spec_for("run-1", "/runs")
    detector = next(agent for agent in spec.agents if agent.agent_id == "person_detector")
    assert detector.config["environment"]["MN_RUN_ID"] == "run-1"
    assert detector.config["environment"]["MN_RUNS_ROOT"] == "/runs"


def test_the_table_has_a_row_for_every_bundle():
    text = table()
    assert len(text.splitlines()) == len(FOLDERS) + 2
    assert "| secuirty_rmf_user_activity | ? | no | E-01 M-03 M-06 |" in text
