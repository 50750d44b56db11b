"""What the published Python SDK makes of a Python workflow runs here as it is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GENERATE = """
import sys
sys.path.insert(0, sys.argv[1])
from mn_sdk import workflow
from tide_report import TideReport
workflow.to_bundle(TideReport, sys.argv[2], blueprint_id="tide_report")
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """The workflow, compiled by the SDK."""
    folder = tmp_path_factory.mktemp("sdk") / "tide_report"
    words = [sys.executable, "-c", GENERATE, str(HERE / "workflows"), str(folder)]
    subprocess.run(words, check=True, timeout=120)
    return folder


def mnedge(home: Path, *words: str, code: int = 0) -> str:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "MN_HOME": str(home / "mn"),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
    }
    done = subprocess.run(
        [sys.executable, "-m", "mnedge", *words],
        capture_output=True,
        text=True,
        timeout=120,
        env=environ,
        cwd=home,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_a_compiled_python_workflow_runs_to_completion(bundle, tmp_path):
    mnedge(tmp_path, "blueprint", "validate", str(bundle))
    mnedge(tmp_path, "blueprint", "run", str(bundle))
    shown = json.loads(mnedge(tmp_path, "job", "show", "last", "--output", "json"))
    steps = shown["workflow_state"]["steps"]
    assert {name: (step["status"], step["attempt_count"]) for name, step in steps.items()} == {
        "read_gauge": ("completed", 1),
        "summarise": ("completed", 1),
    }
    assert '"highest": 1.9' in mnedge(tmp_path, "job", "result", "last", "--output", "json")


def test_it_is_the_compiler_of_the_sdk_that_made_it(bundle):
    metadata = json.loads((bundle / "manifest.json").read_text())["metadata"]
    assert metadata["generated_by"] == "mn-python-sdk"
    assert (bundle / "payloads" / "mn_python_workflow" / "mn_worker.py").is_file()


def test_the_strict_profile_still_says_what_the_sdk_leaves_out(bundle, tmp_path):
    words = ("blueprint", "validate", str(bundle), "--profile", "strict", "--json")
    found = {
        problem["rule"] for problem in json.loads(mnedge(tmp_path, *words, code=1))["problems"]
    }
    assert {"B-04", "K-06", "W-09"} <= found
