import os

import pytest

from mnedge.execution.refusal import RefusedError
from mnedge.execution.run import Run
from mnedge.execution.selection import Chosen
from mnedge.execution.staging import Documents
from tests.execution.node import JOB, ScriptedRunner, ended

DOCUMENTS = Documents(b"{}", b"{}", b"body", b"{}", b"{}")


@pytest.fixture
def make(bench, tmp_path):
    def make(config, *answers, doubled=False, **environ):
        runner = ScriptedRunner(*(answers or [ended()]))
        node = bench(runner, environ=environ)
        node.write("app/main.py", "print()")
        node.open(config)
        agent = node.job.agents["w"]
        chosen = Chosen(runner, braces_doubled=doubled)
        run = Run(node.executor.equipment, node.order(), agent, chosen, 1, lambda *_: None)
        workspace = tmp_path / "workspace"
        workspace.mkdir()
        return run, str(workspace)

    return make


async def test_staging_fills_the_workspace_and_says_what_to_start(make):
    run, workspace = make(
        {
            "command": ["x", "{body_file}"],
            "upload_path": "app",
            "workdir": "/sandbox/job/app",
            "name_prefix": "mine",
            "timeout_seconds": 3,
        }
    )
    launch = await run.stage(workspace, DOCUMENTS)
    assert sorted(os.listdir(workspace)) == [
        "app",
        "mirror_neuron_body.bin",
        "mirror_neuron_context.json",
        "mirror_neuron_input.json",
        "mirror_neuron_message.json",
    ]
    assert launch.command == ("x", f"{workspace}/mirror_neuron_body.bin")
    assert launch.workdir == f"{workspace}/app"
    assert (launch.name, launch.token) == (f"mine-{JOB}-w", f"{JOB}/w:m1/1")
    assert (launch.timeout_s, launch.max_output_bytes) == (3.0, 1 << 20)
    assert launch.config["name_prefix"] == "mine"


async def test_what_openshell_has_more_is_there_for_its_stand_in(make):
    run, workspace = make({"command": ["x", "{{job_id}}"]}, doubled=True)
    launch = await run.stage(workspace, DOCUMENTS)
    assert launch.command == ("x", JOB)
    assert "mirror_neuron_body_meta.json" in os.listdir(workspace)


async def test_a_command_has_a_longest_length(make):
    run, workspace = make({"command": ["x" * 50]}, MN_MAX_COMMAND_LENGTH="40")
    with pytest.raises(RefusedError, match="MN_MAX_COMMAND_LENGTH"):
        await run.stage(workspace, DOCUMENTS)


async def test_what_comes_back_is_clean(make):
    run, workspace = make(
        {"command": ["x"], "environment": {"MY_TOKEN": "s3cr3t-value"}},
        ended(b"the s3cr3t-value", code=1),
    )
    launch = await run.stage(workspace, DOCUMENTS)
    published = []
    finished = await run.carry(launch, published.append)
    assert run.result(launch, finished)["stdout"] == "the [REDACTED]"
