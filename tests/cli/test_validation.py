"""What `blueprint validate` says about bundles good and bad."""

import io
import json

import pytest

from mnedge.cli.screen import Screen
from mnedge.cli.validation import tell
from mnedge.cli.verbs import Asked


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "mine"
    (folder / "payloads").mkdir(parents=True)
    (folder / "config").mkdir()
    (folder / "config" / "default.json").write_text("{}")
    manifest = {
        "manifest_version": "1.0",
        "graph_id": "mine",
        "job_name": "mine",
        "nodes": [{"node_id": "a", "agent_type": "aggregator", "config": {"complete_after": 1}}],
        "edges": [],
        "entrypoints": ["a"],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def told(folder, profile="default", **asked):
    stream = io.StringIO()
    code = tell(Screen(Asked(**asked), stream), folder, profile)
    return code, stream.getvalue()


def test_a_good_bundle_is_valid_and_its_warnings_are_short(bundle):
    code, text = told(bundle)
    assert code == 0
    assert text.startswith(f"✓ Job bundle at '{bundle}' is valid.\n\nwarnings\n")
    assert text.rstrip().splitlines()[-1].startswith("  generation A, 1 agent, 0 edges, sha256:")
    _, everything = told(bundle, verbose=True)
    assert everything.count("\n") > text.count("\n")


def test_a_bad_bundle_lists_every_error(bundle):
    text = (bundle / "manifest.json").read_text()
    (bundle / "manifest.json").write_text(text.replace('["a"]', '["b", "c"]'))
    code, text = told(bundle)
    assert code == 1
    assert "is not valid: 2 errors" in text.splitlines()[0]
    assert "entrypoints[0]" in text
    assert "entrypoints[1]" in text
    assert "generation" not in text


def test_strict_is_stricter(bundle):
    assert told(bundle, "strict")[0] == 1


def test_a_file_that_is_no_json_has_line_and_column(bundle):
    (bundle / "manifest.json").write_text('{\n  "a": 1,\n}')
    code, text = told(bundle)
    assert code == 1
    assert "line 3, column 1" in text


def test_a_program_gets_problems_with_their_place(bundle):
    code, text = told(bundle, output="json")
    document = json.loads(text)
    assert (code, document["valid"], document["generation"]) == (0, True, "A")
    assert {"rule", "severity", "message", "help", "location"} <= set(document["problems"][0])
    _, lines = told(bundle, output="ndjson")
    assert [json.loads(line) for line in lines.splitlines()] == document["problems"]


def test_modules_that_define_steps_are_only_loaded_where_that_is_wanted(bundle):
    manifest = {
        "apiVersion": "mn.workflow.source/v2",
        "identity": {"id": "mine", "name": "Mine"},
        "workflow": {"steps": [{"id": "a", "needs": [], "run": {"definition": "steps.a"}}]},
    }
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    (bundle / "payloads" / "steps").mkdir()
    (bundle / "payloads" / "steps" / "a.py").write_text("raise ValueError('ran')")
    stream = io.StringIO()
    assert tell(Screen(Asked(), stream), bundle, "default") == 1
    assert "ValueError: ran" in stream.getvalue()
    stream = io.StringIO()
    assert tell(Screen(Asked(), stream), bundle, "default", run_code=False) == 0
    assert "not checked: its code was not run" in stream.getvalue()
