"""What `blueprint compile` says about bundles with steps, without them, and about broken ones."""

import json
import xml.etree.ElementTree as ET

import pytest

from mnedge.cli.drawn import Wanted, caption, graphs_of, tell
from mnedge.cli.verbs import Asked
from tests.bundle.source.making import source


@pytest.fixture
def bundle(tmp_path):
    """An authoring source with a runner that is here."""
    folder = tmp_path / "night_watch"
    (folder / "payloads" / "steps").mkdir(parents=True)
    (folder / "config").mkdir()
    (folder / "config" / "default.json").write_text("{}")
    worker = {"uses": "mn-agents.worker.python_host@1", "with": {"upload_path": "steps"}}
    made = source(defaults={"worker": worker})
    config = {"emit_type": "warn_completed"}
    siren = {"node_id": "siren", "agent_type": "router", "type": "map", "config": config}
    board = made["agents"]["extra_nodes"][0] | {"node_id": "board"}
    edge = {"from_node": "siren", "to_node": "board", "message_type": "warn_completed"}
    made["agents"] = {
        "extra_nodes": [siren, board],
        "extra_edges": [{"edge_id": "warned", **edge}],
    }
    (folder / "manifest.json").write_text(json.dumps(made))
    return folder


def told(capsys, folder, *, wanted=Wanted(), code=0, **asked):  # noqa: B008
    assert tell(Asked(**asked), folder, wanted) == code
    return capsys.readouterr()


def test_a_person_reads_facts_then_both_graphs(capsys, bundle):
    lines = told(capsys, bundle).out.splitlines()
    assert lines[0] == "night_watch_v1  generation S2, batch, 4 agents, 3 edges, 3 steps"
    steps, agents = lines.index("steps"), lines.index("agents")
    assert steps < agents
    assert [line.strip() for line in lines[steps + 2 : steps + 9]] == [
        "read_gauge",
        "│",
        "▼",
        "judge",
        "│",
        "▼",
        "warn",
    ]
    assert "  4  board       aggregator, ends the run" in lines


def test_one_graph_may_be_enough(capsys, bundle):
    steps = told(capsys, bundle, wanted=Wanted(graph="steps")).out
    assert "agents\n" not in steps
    agents = told(capsys, bundle, wanted=Wanted(graph="agents")).out
    assert "\nsteps\n" not in agents


def test_a_program_reads_the_lowered_manifest_and_the_graphs(capsys, bundle):
    document = json.loads(told(capsys, bundle, output="json").out)
    assert document["graph_id"] == "night_watch_v1"
    assert [step["id"] for step in document["flow"]["steps"]] == ["read_gauge", "judge", "warn"]
    graphs = document["graphs"]
    assert [node["id"] for node in graphs["steps"]["nodes"]] == ["read_gauge", "judge", "warn"]
    assert graphs["steps"]["edges"][0]["accepts"] == ["done"]
    assert graphs["agents"]["edges"][1]["message_type"] == "judge_completed"
    only = told(capsys, bundle, output="ndjson", wanted=Wanted(graph="steps")).out
    assert list(json.loads(only)["graphs"]) == ["steps"]


def test_drawings_hold_both_graphs_or_one(capsys, bundle):
    svg = told(capsys, bundle, output="svg").out
    captions = [one.text for one in ET.fromstring(svg).iter() if one.get("class") == "caption"]
    assert captions == ["night_watch_v1: 3 steps", "night_watch_v1: 4 agents"]
    dot = told(capsys, bundle, output="dot", wanted=Wanted(graph="steps")).out
    assert '"read_gauge" -> "judge";' in dot
    assert "cluster" not in dot


def test_text_may_go_to_a_file_too(capsys, bundle, tmp_path):
    target = tmp_path / "graphs.txt"
    said = told(capsys, bundle, wanted=Wanted(out=target), color=True).out
    assert "written to" in said
    assert target.read_text() == told(capsys, bundle).out


def test_steps_of_a_job_without_steps_are_told_to_be_none(capsys, bundle):
    manifest = {
        "manifest_version": "1.0",
        "graph_id": "g",
        "nodes": [{"node_id": "a", "agent_type": "aggregator", "config": {"complete_after": 1}}],
        "edges": [],
        "entrypoints": ["a"],
    }
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    said = told(capsys, bundle, wanted=Wanted(graph="steps")).out
    assert "no steps: messages alone move this job" in said
    assert "steps" not in told(capsys, bundle).out
    assert "g: no steps" in told(capsys, bundle, output="svg", wanted=Wanted(graph="steps")).out


@pytest.mark.parametrize("output", ["human", "json", "dot", "svg"])
def test_a_broken_bundle_is_told_as_validation_tells_it(capsys, bundle, output):
    text = (bundle / "manifest.json").read_text()
    (bundle / "manifest.json").write_text(text.replace('["read_gauge"]', '["nothing"]'))
    said = told(capsys, bundle, output=output, code=1)
    problems = said.err if output in ("dot", "svg") else said.out
    assert "S-03" in problems
    assert (said.out if output in ("dot", "svg") else said.err) == ""
    if output == "json":
        assert json.loads(problems)["valid"] is False


def test_modules_that_define_steps_are_only_loaded_where_that_is_wanted(capsys, bundle):
    text = (bundle / "manifest.json").read_text()
    defined = text.replace('"handler": "steps.read_gauge"', '"definition": "steps.read_gauge"')
    (bundle / "manifest.json").write_text(defined)
    (bundle / "payloads" / "steps" / "read_gauge.py").write_text("raise ValueError('ran')")
    assert "ValueError: ran" in told(capsys, bundle, code=1).out
    said = told(capsys, bundle, wanted=Wanted(run_code=False)).out
    assert "read_gauge__start" in said


def test_captions_count_what_was_folded_and_what_may_be_made(bundle):
    del bundle
    from mnedge.bundle.drawing.graph import Box, Graph
    from mnedge.model.manifest import JobSpec

    spec = JobSpec(
        blueprint_id="b",
        graph_id="b_v1",
        job_name="b",
        agents=[],
        edges=[],
        entrypoints=[],
        seeds={},
    )
    boxes = [
        Box(box_id="a", name="a", kind="step", count=9),
        Box(box_id="t", name="t", kind="step", marks=["maybe"]),
    ]
    assert caption(spec, Graph(name="steps", boxes=boxes)) == "b_v1: 9 steps, 1 template"
    assert graphs_of(spec, "both") == []
    assert [graph.name for graph in graphs_of(spec, "steps")] == ["steps"]
