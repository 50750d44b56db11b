"""Workers whose interpreter lacks the SDK get a stand-in, and nobody else does."""

import json
import os
from pathlib import Path

import pytest

from mnedge.execution import sdk
from mnedge.model.states import OutcomeStatus

COMMAND = ["python3", "-m", "mn_sdk.step_runtime"]
HANDLER = """
def run(context, n):
    return {"outputs": {"n": n + 1}, "artifacts": [], "metrics": {}}
"""


def test_a_command_or_a_handler_calls_for_it():
    assert sdk.is_wanted({"command": COMMAND})
    assert sdk.is_wanted({"command": "exec python3 -m mn_sdk.step_runtime"})
    assert sdk.is_wanted({"command": ["x"], "environment": {"MN_WORKFLOW_STEP_HANDLER": "m:f"}})
    assert sdk.is_wanted({"command": ["x"], "environment": {"MN_PY_SOURCE_MODULE": "tides"}})
    assert not sdk.is_wanted({"command": ["python3", "main.py"], "environment": {"A": "b"}})
    assert not sdk.is_wanted({})


def test_a_payload_may_bring_its_own(tmp_path):
    assert not sdk.comes_along(str(tmp_path))
    (tmp_path / "mn_sdk").mkdir()
    assert sdk.comes_along(str(tmp_path))


def test_the_stand_in_is_made_once_and_whole(tmp_path):
    folder = Path(sdk.stand_in(tmp_path))
    assert {path.name for path in (folder / "mn_sdk").iterdir()} >= {
        "__init__.py",
        "step_runtime.py",
    }
    before = (folder / "mn_sdk/__init__.py").stat().st_ino
    assert Path(sdk.stand_in(tmp_path)) == folder
    assert (folder / "mn_sdk/__init__.py").stat().st_ino == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_it_comes_last_on_the_path():
    assert sdk.with_path({}, "/s") == "/s"
    assert sdk.with_path({"PYTHONPATH": "/a"}, "/s") == f"/a{os.pathsep}/s"


def steps(node, **more):
    node.write("app/steps.py", HANDLER)
    return {
        "command": COMMAND,
        "upload_path": "app",
        "workdir": "/sandbox/job/app",
        "environment": {
            "MN_WORKFLOW_STEP_HANDLER": "steps",
            "MN_WORKFLOW_STEP_WITH_JSON": '{"n": 4}',
            "PYTHONPATH": ".",
            **more,
        },
    }


@pytest.mark.live
async def test_a_step_runs_where_the_sdk_is_not_installed(bench):
    node = bench()
    outcome = await node.run(steps(node))
    assert outcome.status is OutcomeStatus.SUCCEEDED, outcome.error
    assert outcome.sdk_result["outputs"] == {"n": 5}
    assert list((node.config.data_dir / "sdk").iterdir())


@pytest.mark.live
async def test_an_interpreter_that_has_the_sdk_keeps_it(bench, tmp_path):
    installed = tmp_path / "installed" / "mn_sdk"
    installed.mkdir(parents=True)
    (installed / "__init__.py").touch()
    said = json.dumps({"complete_step": "the real one"})
    (installed / "step_runtime.py").write_text(f"print({said!r})")
    node = bench()
    outcome = await node.run(steps(node, PYTHONPATH=str(installed.parent)))
    assert outcome.structured.completions[0].value == "the real one"
    assert not (node.config.data_dir / "sdk").exists()
