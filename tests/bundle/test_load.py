"""A path to a bundle: opened, checked, lowered."""

import gzip
import json
import subprocess
import sys
import tarfile
import zipfile

import pytest

from mnedge.bundle.archive import ArchiveInvalidError, ArchiveUnsafeError
from mnedge.bundle.config import ConfigInvalidError
from mnedge.bundle.fingerprint import directory_digest
from mnedge.bundle.load import (
    BundleUnreadableError,
    open_bundle,
    require,
    runnable_problems,
    valid_text,
)
from mnedge.bundle.pack import packed
from mnedge.bundle.problem import BundleInvalidError
from mnedge.errors import NotFoundError, UsageError
from tests.bundle.making import Parts, good, rules_of

HERE = ("host_local", "MirrorNeuron.Runner.HostLocal")


@pytest.fixture
def root(tmp_path):
    return Parts().written(tmp_path)


def test_a_bundle_in_which_everything_is_right_has_no_problems(root):
    bundle = open_bundle(root, profile="strict", environ={})
    assert bundle.problems == []
    assert bundle.spec is not None
    assert require(bundle) is bundle
    assert valid_text(bundle) == f"Job bundle at '{root}' is valid."
    assert bundle.blueprint_id == "river_gauge"
    assert bundle.generation == "A"
    assert bundle.root == root
    assert bundle.manifest["graph_id"] == "river_gauge_v1"
    assert bundle.fingerprint == directory_digest(bundle.files) == bundle.spec.fingerprint
    assert bundle.config_sources == ["defaults", "config/default.json"]
    assert runnable_problems(bundle, HERE) == []


def test_every_problem_is_told_and_errors_come_first(tmp_path):
    parts = Parts()
    parts.manifest.pop("license")
    parts.manifest["edges"][0]["to_node"] = "gone"
    parts.manifest["nodes"][1]["agent_type"] = "wizard"
    parts.config["tides"] = {}
    bundle = open_bundle(parts.written(tmp_path), environ={})
    assert rules_of(bundle.errors) == ["E-03", "N-04"]
    assert rules_of(bundle.warnings) == ["C-30", "E-11", "M-10"]
    severities = [problem.severity for problem in bundle.problems]
    assert severities == sorted(severities)
    assert bundle.spec is None
    with pytest.raises(BundleInvalidError) as caught:
        require(bundle)
    assert len(caught.value.details["problems"]) == len(bundle.problems)
    with pytest.raises(BundleInvalidError):
        bundle.spec_for("r", "/runs")


def test_what_only_strict_refuses_can_be_lowered_all_the_same():
    parts = Parts()
    parts.manifest.pop("license")
    bundle = parts.opened("strict")
    assert rules_of(bundle.errors) == ["M-10"]
    assert bundle.spec is not None
    with pytest.raises(BundleInvalidError):
        require(bundle)


def test_a_profile_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match="no profile is called 'lenient'"):
        Parts().opened("lenient")


def test_nothing_at_the_path_is_told(tmp_path):
    with pytest.raises(NotFoundError, match="no bundle at"):
        open_bundle(tmp_path / "gone")


def test_a_name_that_no_file_can_have_is_not_found():
    for name in ("a" * 5000, "a\0b"):
        with pytest.raises(NotFoundError):
            open_bundle(name)


def test_a_folder_that_cannot_be_listed_is_told(root, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(BundleUnreadableError, match="cannot be read: Permission denied"):
        open_bundle(root)


def test_an_archive_that_cannot_be_unpacked_for_want_of_room_is_told(root, tmp_path, monkeypatch):
    archive = tmp_path / "x.tgz"
    archive.write_bytes(packed(root))

    def full(packed, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mnedge.bundle.load.unpack", full)
    with pytest.raises(BundleUnreadableError, match="No space left"):
        open_bundle(archive)


def test_a_file_that_is_no_archive_is_told(root):
    with pytest.raises(UsageError, match="expected a job folder, got file"):
        open_bundle(root / "README.md")


def test_an_empty_folder_lacks_everything(tmp_path):
    bundle = open_bundle(tmp_path, environ={})
    assert rules_of(bundle.errors) == ["B-02", "B-04"]


@pytest.mark.parametrize("suffix", [".tgz", ".tar.gz"])
def test_an_archive_gives_the_same_bundle_as_its_folder(root, tmp_path, suffix):
    archive = tmp_path / f"bundle{suffix}"
    archive.write_bytes(packed(root))
    with open_bundle(archive, profile="strict", environ={}) as bundle:
        assert bundle.problems == []
        assert bundle.fingerprint == open_bundle(root, environ={}).fingerprint
        assert (bundle.root / "manifest.json").is_file()
    assert not bundle.root.exists()
    bundle.close()


def test_an_archive_of_the_folder_itself_knows_the_folders_name(root, tmp_path):
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as packing:
        packing.writestr("__MACOSX/x", b"")
        for path in root.rglob("*"):
            packing.write(path, f"lake_gauge/{path.relative_to(root)}")
    with open_bundle(archive, environ={}) as bundle:
        assert rules_of(bundle.errors) == ["C-03", "MD-01"]
        assert bundle.errors[0].expected == "lake_gauge"


def test_an_archive_may_be_held_to_an_id(root, tmp_path):
    archive = tmp_path / "x.tgz"
    archive.write_bytes(packed(root))
    with open_bundle(archive, expected_id="other", environ={}) as bundle:
        assert rules_of(bundle.errors) == ["C-03", "MD-01"]


def test_a_hostile_archive_is_not_opened_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    archive = tmp_path / "x.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo("../../x"))
    with pytest.raises(ArchiveUnsafeError):
        open_bundle(archive)
    archive.write_bytes(gzip.compress(b"nothing"))
    with pytest.raises(ArchiveInvalidError):
        open_bundle(archive)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_an_unpacked_bundle_that_is_forgotten_is_removed(root, tmp_path):
    archive = tmp_path / "x.tgz"
    archive.write_bytes(packed(root))
    bundle = open_bundle(archive, environ={})
    place = bundle.root
    del bundle
    assert not place.exists()


def test_a_bad_setting_leaves_nothing_behind(root, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    archive = tmp_path / "x.tgz"
    archive.write_bytes(packed(root))
    with pytest.raises(ConfigInvalidError):
        open_bundle(archive, settings=["nonsense"])
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_catalogue_beside_the_folder_is_looked_at(root):
    (root.parent / "index.json").write_text('[{"id": "other"}]')
    assert rules_of(open_bundle(root, environ={}).problems) == ["B-06"]
    (root.parent / "index.json").write_text("{")
    assert rules_of(open_bundle(root, environ={}).problems) == ["B-06"]


def test_overwrite_overrides_settings_and_inputs_reach_the_job(root):
    (root / "config/overwrite.json").write_text('{"budgets": {"max_runtime_seconds": 5}}')
    bundle = open_bundle(
        root,
        overrides={"mode": "live"},
        settings=["metadata.note=hi"],
        inputs={"gauge": "G-18"},
        environ={"MN_RUN_ID": "r9"},
    )
    spec = require(bundle).spec
    assert spec is not None
    assert spec.config["budgets"] == {"max_runtime_seconds": 5}
    assert spec.config["mode"] == "live"
    assert spec.config["metadata"]["note"] == "hi"
    assert spec.config["identity"]["run_id"] == "r9"
    assert spec.inputs == {"gauge": "G-18"}


def test_bindings_reach_the_job_of_a_run():
    parts = Parts()
    parts.config["manifest_config_bindings"] = [
        {"config_path": "identity.run_id", "manifest_path": "nodes.reader.config.environment.RUN"},
        {"config_path": "inputs.payload", "manifest_path": "initial_inputs.intake.0"},
    ]
    bundle = parts.opened(settings=["inputs.payload.gauge=G-99"])
    spec = bundle.spec_for("run-1", "/runs")
    assert spec.agents[1].config["environment"] == {"RUN": "run-1"}
    assert spec.seeds == {"intake": [{"gauge": "G-99"}]}
    assert "environment" not in bundle.spec.agents[1].config


def test_a_scenario_is_kept_with_the_job():
    parts = Parts()
    parts.files["scenario.json"] = b'{"weather": "rain"}'
    parts.config["inputs"] = {"adapter": "mock", "payload": {}}
    spec = parts.opened().spec
    assert spec.scenario == spec.inputs == {"weather": "rain"}


def test_what_only_a_run_needs_is_refused_by_a_run_only():
    parts = Parts()
    parts.settings("reader")["upload_path"] = "gone"
    parts.config["inputs"].update(adapter="file", path="gone.json")
    parts.manifest["input_validation"]["rules"] = [
        {"type": "pattern", "path": "metadata.zip", "pattern": "x"}
    ]
    bundle = parts.opened(environ={"MN_BLUEPRINT_CONFIG_JSON": "[]"})
    assert bundle.errors == []
    told = runnable_problems(bundle, HERE)
    assert rules_of(told) == ["C-50", "I-05", "I-06", "N-33"]
    assert {problem.severity for problem in told} == {"error"}


def test_a_warning_stays_a_warning_when_running():
    parts = Parts()
    parts.settings("reader")["runner_module"] = "MirrorNeuron.Runner.OpenShell"
    bundle = parts.opened()
    assert [p.severity for p in runnable_problems(bundle, HERE)] == ["warning"]
    refused = runnable_problems(bundle, HERE, openshell_fallback=False)
    assert [p.severity for p in refused] == ["error"]


def test_a_module_of_another_runtime_is_named_when_running():
    parts = Parts()
    parts.agent("reader").update(
        agent_type="module",
        config={"module": "MirrorNeuron.Examples.Tick", "output_message_type": "reading"},
    )
    bundle = parts.opened()
    assert bundle.errors == []
    [problem] = runnable_problems(bundle, HERE)
    assert (problem.severity, problem.code) == ("error", "runner.unsupported")
    assert "MirrorNeuron.Examples.Tick" in problem.message


def test_the_blueprint_id_is_the_first_that_is_told():
    parts = Parts()
    assert parts.opened().blueprint_id == "river_gauge"
    del parts.manifest["metadata"]["blueprint_id"], parts.config["identity"]
    parts.expected_id = "folder"
    assert parts.opened().blueprint_id == "folder"
    parts.expected_id = None
    assert parts.opened().blueprint_id == "river_gauge_v1"
    parts.manifest = []
    assert parts.opened().blueprint_id == ""


def test_an_unreadable_file_is_told(root, monkeypatch):
    (root / "config/default.json").unlink()
    (root / "config/default.json").mkdir()
    assert rules_of(open_bundle(root, environ={}).errors) == ["B-04"]


def test_problems_can_be_written_as_json(tmp_path):
    parts = Parts()
    parts.manifest = {"nodes": 3, "edges": {}, "policies": []}
    records = [problem.record() for problem in parts.opened("strict").problems]
    assert json.loads(json.dumps(records)) == records


def test_opening_a_bundle_does_not_bring_in_trio():
    code = "import sys, mnedge.bundle.load; sys.exit('trio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


STEP = """
STEP = {
    "input": {"fields": {"gauge": {"$ref": "run_input", "path": ["gauge"]}}},
    "flow": {"type": "agent", "agent_id": "looker"},
    "output": {"fields": {"level": {"$ref": "flow_output", "path": ["level"]}}},
}
"""


def with_a_definition():
    parts = good("as_source")
    parts.step("read")["run"] = {"definition": "steps.look"}
    parts.manifest["agents"]["registry"] = {"looker": {"handler": "agents.looker", "role": "Look"}}
    parts.manifest["agents"]["entrypoints"] = ["read__start"]
    parts.manifest["runtime"]["initial_inputs"] = {"read__start": [{"gauge": "G-17"}]}
    edges = parts.manifest["agents"]["extra_edges"]
    edges[:] = [edge for edge in edges if edge["edge_id"] != "e1"]
    nodes = parts.manifest["agents"]["extra_nodes"]
    nodes[:] = [node for node in nodes if node["node_id"] not in ("intake", "reader")]
    parts.files["payloads/steps/look.py"] = STEP.encode()
    return parts


def test_an_authoring_source_is_opened_as_what_it_stands_for():
    bundle = good("as_source").opened()
    assert bundle.generation == "S2"
    assert bundle.blueprint_id == "river_gauge"
    assert bundle.spec.metadata["blueprint_id"] == "river_gauge"
    assert bundle.spec_for("run-1", "/runs").config["identity"]["run_id"] == "run-1"
    assert bundle.manifest["apiVersion"] == "mn.workflow.source/v2"


def test_a_source_lends_its_config_what_it_says_it_lends():
    parts = good("as_source")
    parts.manifest["config"] = {"manifest_defaults": [{"from": "identity.id", "to": "state.of"}]}
    spec = parts.opened().spec
    assert spec.config["state"] == {"of": "river_gauge", "resume_mode": "none"}


def test_step_definitions_are_loaded_where_code_may_run():
    bundle = with_a_definition().opened()
    assert bundle.errors == []
    assert bundle.subject.unchecked == []
    step = bundle.spec.workflow.steps[0]
    assert step.agent_ids == ["read__start", "read__looker", "read__end"]
    kinds = {agent.agent_id: agent.kind for agent in bundle.spec.agents}
    assert [kinds[name] for name in step.agent_ids] == ["step_source", "executor", "step_sink"]


def test_step_definitions_are_not_loaded_where_no_code_may_run():
    bundle = with_a_definition().opened(run_code=False)
    assert bundle.errors == []
    assert bundle.subject.unchecked == ["steps.look"]
    assert "S-09" in [p.rule for p in runnable_problems(bundle, HERE) if p.severity == "error"]
    with pytest.raises(BundleInvalidError, match="look was not loaded"):
        bundle.spec_for("run-1", "/runs")


def test_bindings_reach_the_agents_of_a_workflow():
    parts = good("as_workflow")
    path = "agents.nodes.reader.config.environment.RUN"
    parts.config["manifest_config_bindings"] = [
        {"config_path": "identity.run_id", "manifest_path": path}
    ]
    bundle = parts.opened("strict")
    assert rules_of(bundle.problems) == ["C-30"]
    spec = bundle.spec_for("run-1", "/runs")
    assert spec.agents[1].config["environment"] == {"RUN": "run-1"}
