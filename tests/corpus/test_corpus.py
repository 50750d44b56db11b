"""Real manifests: what we find in them, and how much of them we can lower."""

import pytest

from mnedge.bundle.generation import Generation
from mnedge.bundle.load import runnable_problems
from tests.corpus.survey import (
    CORPUS,
    COUNTED,
    NOT_LOOKED_AT_YET,
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


def test_only_rules_about_steps_are_missing():
    assert unknown() == {"W-15", "W-19", "W-21", "W-25", "W-31"}


@pytest.mark.parametrize("folder", OLDEST, ids=name)
def test_generation_a_is_found_as_the_survey_found_it(folder):
    assert findings(opened(folder)).only(COUNTED) == expected(folder)


@pytest.mark.parametrize("folder", LATER, ids=name)
def test_later_generations_are_found_as_surveyed_where_rules_look_at_them(folder):
    found = findings(opened(folder)).only(COUNTED).without(NOT_LOOKED_AT_YET)
    assert found == expected(folder).without(NOT_LOOKED_AT_YET)


@pytest.mark.parametrize("folder", OLDEST, ids=name)
def test_every_bundle_of_generation_a_but_one_can_be_lowered(folder):
    bundle = opened(folder)
    valid = folder.name != "secuirty_rmf_user_activity"
    assert (bundle.errors == []) is valid
    assert (bundle.spec is not None) is valid
    assert bundle.generation is (Generation.A if valid else Generation.UNKNOWN)
    assert opened(folder, "strict").errors


@pytest.mark.parametrize("folder", LATER, ids=name)
def test_later_generations_are_refused_by_name(folder):
    bundle = opened(folder)
    assert [problem.rule for problem in bundle.errors] == ["M-50"]
    assert f"generation {str(bundle.generation)[0]}" in bundle.errors[0].message
    assert bundle.spec is None


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
