"""Real authoring sources: each is expanded into a workflow manifest."""

import json

import pytest

from mnedge.bundle.files import ListedFiles
from mnedge.bundle.generation import Generation, detect
from mnedge.bundle.source.expand import expand
from tests.corpus.survey import CORPUS, folders

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus beside the repository")

SOURCES = [
    folder
    for folder in folders()
    if "mn.workflow.source/" in (folder / "manifest.json").read_text(encoding="utf-8")
]


def expanded(folder):
    names = (folder / "files.txt").read_text(encoding="utf-8").split("\n")[:-1]
    contents = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
    manifest = json.loads(contents["manifest.json"])
    return manifest, expand(manifest, ListedFiles(names, contents))


def test_there_are_two_of_them():
    assert len(SOURCES) == 2


@pytest.mark.parametrize("folder", SOURCES, ids=lambda folder: folder.name)
def test_a_real_source_becomes_a_workflow_manifest(folder):
    source, found = expanded(folder)
    assert detect(found.manifest) is Generation.C
    assert found.manifest["id"] == folder.name
    assert {(problem.rule, problem.severity) for problem in found.problems} == {("S-09", "W")}
    listed = [step["id"] for step in source["workflow"]["steps"]]
    assert [step["id"] for step in found.manifest["workflow"]["steps"]] == listed
    agents = {node["node_id"] for node in found.manifest["agents"]["nodes"]}
    assert {"mcp_collaboration_server", "workflow__terminal"} <= agents
    for edge in found.manifest["agents"]["edges"]:
        assert {edge["from_node"], edge["to_node"]} <= agents
    assert found.config["identity"]["blueprint_id"] == folder.name
    assert found.config["human_control"]["mode"] == "approval_required"
    assert expanded(folder)[1] == found
