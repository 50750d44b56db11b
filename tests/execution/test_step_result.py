"""A step of the SDK hands its result over in a file."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from mnedge.execution import step_result
from mnedge.execution.step_result import NotReadyError, result_file
from mnedge.model.states import OutcomeStatus
from tests.execution.node import ScriptedRunner, ended

COMMAND = ["python3", "-m", "mn_sdk.step_runtime"]


def sdk(root, **more):
    return {"command": COMMAND, "environment": {"MN_JOB_SHARED_STORAGE_ROOT": str(root)}, **more}


@pytest.fixture
def found(bench, tmp_path):
    node = bench(ScriptedRunner(ended())).open()
    return result_file(sdk(tmp_path), "job", node.order(attempt="s[1]:attempt:2").command, 3)


def test_only_steps_of_the_sdk_in_a_shared_storage_have_one(bench, tmp_path):
    command = bench(ScriptedRunner(ended())).open().order().command
    assert result_file({**sdk(tmp_path), "command": ["x"]}, "j", command, 1) is None
    assert result_file({"command": COMMAND}, "j", command, 1) is None
    text = {**sdk(tmp_path), "command": " ".join(COMMAND)}
    assert result_file(text, "j", command, 1) is not None


def test_each_run_has_its_own(found, tmp_path):
    path = Path(found.path)
    assert path.parent == tmp_path / "outputs/runs/job/artifacts/results/w"
    assert path.name.endswith("-1-3.json")


def test_an_object_in_it_is_the_result_without_secrets(found):
    found.prepare()
    Path(found.path).write_text(json.dumps({"outputs": {"x": "hunter22"}}))
    assert found.read(("hunter22",)) == {"outputs": {"x": "[REDACTED]"}}


def test_it_may_say_where_the_result_lies(found, tmp_path):
    found.prepare()
    content = json.dumps({"outputs": {"n": 1}}).encode()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/r.json").write_bytes(content)
    reference = {
        "relative_path": "deep/r.json",
        "sha256": sha256(content).hexdigest(),
        "size_bytes": len(content),
    }
    Path(found.path).write_text(json.dumps({"result_ref": reference}))
    assert found.read(()) == {"outputs": {"n": 1}}
    (tmp_path / "deep/r.json").write_bytes(content + b" ")
    with pytest.raises(NotReadyError, match="is not what"):
        found.read(())


@pytest.mark.parametrize(
    "content, says",
    [
        (None, "No such file"),
        ("[1]", "holds no JSON object"),
        ('{"result_ref": {"relative_path": 7}}', "relative_path"),
        (
            '{"result_ref": {"relative_path": "../x", "sha256": "", "size_bytes": 0}}',
            "leads out of the shared storage",
        ),
    ],
)
def test_what_is_no_result_is_not_ready(found, content, says):
    found.prepare()
    if content is not None:
        Path(found.path).write_text(content)
    with pytest.raises(NotReadyError, match=says):
        found.read(())


def test_a_result_that_nobody_can_hold_is_refused(found, monkeypatch):
    monkeypatch.setattr(step_result, "LIMIT_BYTES", 10)
    found.prepare()
    Path(found.path).write_text("{" + " " * 20 + "}")
    with pytest.raises(NotReadyError, match="larger than"):
        found.read(())


def with_sdk(node):
    """Have the payload bring an SDK, so that none is looked for."""
    node.write("mn_sdk/__init__.py")
    return node


def upload(root, **more):
    return sdk(root, upload_path="mn_sdk", **more)


@pytest.mark.live
async def test_the_file_counts_and_not_what_is_printed(bench, tmp_path):
    result = {"outputs": {"n": 1}, "artifacts": [], "metrics": {}, "status": "completed"}

    def writes(launch, on_line):
        Path(launch.environment["MN_STEP_RESULT_FILE"]).write_text(json.dumps(result))
        return ended(b'{"complete_run": true}')

    outcome = await with_sdk(bench(ScriptedRunner(writes))).run(upload(tmp_path))
    assert outcome.status is OutcomeStatus.SUCCEEDED
    assert outcome.structured is None
    assert outcome.sdk_result == result


@pytest.mark.live
async def test_a_run_that_owes_its_result_is_run_again(bench, tmp_path):
    def writes(launch, on_line):
        Path(launch.environment["MN_STEP_RESULT_FILE"]).write_text('{"complete_step": 5}')
        return ended()

    node = with_sdk(bench(ScriptedRunner(ended(b"no result"), writes)))
    outcome = await node.run(upload(tmp_path, max_attempts=2, retry_backoff_ms=0))
    assert outcome.result["attempts"] == 2
    assert outcome.structured.completions[0].value == 5


@pytest.mark.live
async def test_a_result_that_never_comes_is_a_failure(bench, tmp_path):
    failed = await with_sdk(bench(ScriptedRunner(ended(b"no result")))).run(upload(tmp_path))
    assert failed.status is OutcomeStatus.FAILED
    assert failed.error["error"].startswith("artifact_not_ready")
