import errno
import json
import os
from pathlib import Path

import pytest
import trio

from mnedge.errors import UnavailableError
from mnedge.execution import staging
from mnedge.execution.attempt import Executor
from mnedge.execution.inventory import Changed
from mnedge.execution.procfs import running_tokens
from mnedge.model.body import INLINE_LIMIT_BYTES, BlobRef
from mnedge.model.facts import Completion, Emission, NamedEvent, Note, WorkerSaid
from mnedge.model.states import OutcomeStatus
from tests.execution.node import JOB, ScriptedRunner, ended

LOCAL = "MirrorNeuron.Runner.HostLocal"


def left_behind(bench):
    return list(Path(bench.config.data_dir).glob("work/*/*"))


async def test_an_attempt_goes_from_lease_to_outcome(bench):
    runner = ScriptedRunner(ended(b"hello\n", stderr=b"warned\n"))
    node = bench(runner)
    node.write("app/main.py", "print()")
    outcome = await node.run(
        {
            "command": ["python3", "{input_file}", "{{body_file}}"],
            "upload_path": "app",
            "workdir": "/sandbox/job/app",
            "environment": {"A": 1},
        },
        body={"x": 1},
    )
    assert outcome.status is OutcomeStatus.SUCCEEDED
    lease = outcome.result.pop("lease")
    usage = outcome.result.pop("usage")
    (launch,) = runner.launches
    assert outcome.result == {
        "sandbox_name": f"host-local-{JOB}-w",
        "remote_dir": launch.workdir,
        "exit_code": 0,
        "runner_exit_code": 0,
        "stdout": "hello\n",
        "stderr": "warned\n",
        "logs": "warned\n",
        "runner": "host_local",
        "node_name": node.config.node,
        "attempts": 1,
    }
    assert lease["metadata"] == {"job_id": JOB, "agent_id": "w", "node": node.config.node}
    assert usage
    assert launch.token == f"{JOB}/w:m1/1"
    assert launch.workdir == f"{launch.workspace}/app"
    assert launch.environment["A"] == "1"
    assert launch.environment["MN_WORKDIR"] == launch.workdir
    assert launch.command[1:] == (
        f"{launch.workspace}/mirror_neuron_input.json",
        f"{{{launch.workspace}/mirror_neuron_body.bin}}",
    )
    (files,) = runner.seen
    assert json.loads(files["mirror_neuron_input.json"]) == {"x": 1}
    assert files["mirror_neuron_body.bin"] == b'{"x":1}'
    assert json.loads(files["mirror_neuron_context.json"])["attempt_id"] == "w:m1"
    assert sorted(files) == [
        "mirror_neuron_body.bin",
        "mirror_neuron_context.json",
        "mirror_neuron_input.json",
        "mirror_neuron_message.json",
    ]
    assert node.types == [
        "executor_lease_requested",
        "executor_lease_acquired",
        "executor_lease_released",
    ]
    assert [note.at for note in node.notes] == sorted(note.at for note in node.notes)
    assert {note.agent_id for note in node.notes} == {"w"}
    assert not os.path.exists(launch.workspace)


async def test_a_workspace_is_kept_if_the_node_says_so(bench):
    node = bench(ScriptedRunner(ended()), keep_workspaces=True)
    await node.run({"command": ["x"]})
    assert os.path.isdir(node.runners["host_local"].launches[0].workspace)


async def test_what_the_worker_says_is_understood(bench):
    said = {
        "next_state": {"n": 1},
        "events": [{"type": "e", "payload": {"a": 1}}],
        "emit_messages": [{"type": "t", "body": 5}],
        "complete_run": True,
    }
    node = bench(ScriptedRunner(ended(json.dumps(said).encode())))
    outcome = await node.run({"command": ["x"]})
    structured = outcome.structured
    assert structured.next_state == {"n": 1}
    assert structured.events == [NamedEvent(type="e", payload={"a": 1})]
    assert structured.emissions == [Emission(type="t", body=5)]
    assert structured.completions == [Completion(scope="run", default=True)]


async def test_a_step_result_of_the_sdk_is_recognised(bench):
    result = {
        "outputs": {"big": "x" * 100_000, "n": 1},
        "artifacts": [],
        "metrics": {},
        "status": "s",
    }
    node = bench(ScriptedRunner(ended(json.dumps(result).encode())))
    outcome = await node.run({"command": ["x"]}, paths=("n", "outputs.n"))
    assert outcome.structured is None
    assert outcome.sdk_result["status"] == "s"
    assert type(outcome.sdk_result["outputs"]) is BlobRef
    assert outcome.sdk_result["outputs"].values == {"n": 1}


async def test_large_output_is_kept_as_a_reference(bench):
    node = bench(ScriptedRunner(ended(b"x" * (INLINE_LIMIT_BYTES + 1))))
    outcome = await node.run({"command": ["x"]})
    assert type(outcome.result["stdout"]) is BlobRef
    assert outcome.result["exit_code"] == 0


async def test_an_answer_waits_for_a_full_disk(bench, autojump_clock):
    node = bench(ScriptedRunner(ended(b"x" * (INLINE_LIMIT_BYTES + 1))))
    node.blobs.failures = [UnavailableError("full")] * 5
    outcome = await node.run({"command": ["x"]})
    assert outcome.status is OutcomeStatus.SUCCEEDED
    assert trio.current_time() >= 5


async def test_a_body_from_the_blob_store_is_loaded(bench):
    runner = ScriptedRunner(ended())
    node = bench(runner)
    digest = await node.blobs.put(b'{"n":1}')
    body = {"ref": BlobRef(digest, 7), "text": "t"}
    state = {"kept": BlobRef(digest, 7)}
    await node.run({"command": ["x"]}, body=body, state=state)
    (files,) = runner.seen
    assert json.loads(files["mirror_neuron_input.json"]) == {"ref": {"n": 1}, "text": "t"}
    context = json.loads(files["mirror_neuron_context.json"])
    assert context["agent_state"] == {"kept": {"n": 1}}


@pytest.mark.live
async def test_a_body_of_fifty_megabytes_is_staged(bench):
    runner = ScriptedRunner(ended())
    node = bench(runner)
    text = "x" * (50 << 20)
    digest = await node.blobs.put(text.encode())
    outcome = await node.run({"command": ["x"]}, body=BlobRef(digest, len(text), encoding="text"))
    assert outcome.status is OutcomeStatus.SUCCEEDED
    assert len(runner.seen[0]["mirror_neuron_input.json"]) == len(text) + 2


async def test_an_exit_code_is_a_failure_with_the_whole_result(bench):
    node = bench(ScriptedRunner(ended(b"out", code=23, stderr=b"err")))
    outcome = await node.run({"command": ["x"], "max_attempts": 5})
    assert outcome.status is OutcomeStatus.FAILED
    assert outcome.error["exit_code"] == 23
    assert outcome.error["stdout"] == "out"
    assert outcome.error["attempts"] == 1
    assert outcome.error["lease"]["pool"] == "default"
    assert len(node.runners["host_local"].launches) == 1, "a quiet exit code is not retried"


async def test_transient_failures_are_run_again_in_fresh_workspaces(bench, autojump_clock):
    runner = ScriptedRunner(
        ended(error="host local command timed out"),
        ended(b"service unavailable", code=1),
        ended(b"done"),
    )
    node = bench(runner)
    outcome = await node.run({"command": ["x"], "max_attempts": 3, "retry_backoff_ms": 1000})
    assert outcome.status is OutcomeStatus.SUCCEEDED
    assert outcome.result["attempts"] == 3
    assert trio.current_time() >= 3.0
    assert len({launch.workspace for launch in runner.launches}) == 3
    assert len({launch.token for launch in runner.launches}) == 1
    assert node.types.count("executor_lease_acquired") == 1, "the lease is held all the time"


async def test_runs_are_used_up(bench, autojump_clock):
    node = bench(ScriptedRunner(ended(error="connection refused")))
    outcome = await node.run({"command": ["x"], "max_attempts": 3})
    assert outcome.error["error"] == "connection refused"
    assert outcome.error["attempts"] == 3


async def test_a_failed_start_is_not_retried(bench):
    node = bench(ScriptedRunner(ended(error="failed to invoke nope: No such file or directory")))
    outcome = await node.run({"command": ["nope"], "max_attempts": 3})
    assert outcome.error == {
        "error": "failed to invoke nope: No such file or directory",
        "attempts": 1,
        "lease": outcome.error["lease"],
    }


@pytest.mark.parametrize(
    "config,text",
    [
        ({"pool": "gpu"}, 'unknown executor pool "gpu"'),
        ({"pool_slots": 25}, "requested 25 executor slots but pool capacity is 4"),
        ({"upload_path": "absent"}, "upload source does not exist: "),
        ({"upload_path": "../x"}, "upload source must stay inside blueprint payloads: ../x"),
        ({"workdir": "/sandbox/job/../.."}, "workdir must stay inside sandbox workspace"),
        ({"command": ["x" * 40_000]}, "command exceeds MN_MAX_COMMAND_LENGTH"),
        ({"runner_module": "Moon"}, 'runner "Moon" of agent w cannot be used'),
        ({"python_environment": 5}, "python_environment must be an object"),
    ],
)
async def test_what_cannot_be_done_is_a_failed_outcome_with_its_text(bench, config, text):
    node = bench(ScriptedRunner(ended()))
    outcome = await node.run({"command": ["x"], **config})
    assert outcome.status is OutcomeStatus.FAILED
    assert outcome.error["error"].startswith(text)
    assert outcome.error["attempts"] == 1
    assert left_behind(node) == []
    assert node.executor.stats()["default"].in_use == 0


async def test_an_unknown_encoding_fails_the_attempt(bench):
    node = bench(ScriptedRunner(ended()))
    outcome = await node.run({"command": ["x"]}, envelope={"content_encoding": "brotli"})
    assert outcome.error["error"].startswith("unsupported content_encoding")


async def test_a_runner_that_breaks_fails_the_attempt(bench):
    node = bench(ScriptedRunner(RuntimeError("oops")))
    outcome = await node.run({"command": ["x"]})
    assert outcome.error["error"] == "runner host_local broke: RuntimeError: oops"


async def test_a_full_disk_while_staging_is_told_once_and_waited_for(
    bench, monkeypatch, autojump_clock
):
    write_file, tries = staging.write_file, []

    def full(path, content):
        tries.append(path)
        if len(tries) <= 5:
            raise OSError(errno.ENOSPC, "No space left on device", "/some/file")
        write_file(path, content)

    monkeypatch.setattr("mnedge.execution.staging.write_file", full)
    node = bench(ScriptedRunner(ended()))
    outcome = await node.run({"command": ["x"]})
    assert outcome.status is OutcomeStatus.SUCCEEDED
    assert trio.current_time() >= 5
    told = [payload for event, payload in node.told if event == "executor_waits_for_disk"]
    assert [payload["reason"] for payload in told] == ["No space left on device: /some/file"]
    assert left_behind(node) == []


async def test_any_other_trouble_while_staging_fails_the_attempt(bench, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EIO, "Input/output error", "/some/file")

    monkeypatch.setattr("mnedge.execution.staging.write_file", refused)
    node = bench(ScriptedRunner(ended()))
    outcome = await node.run({"command": ["x"]})
    assert outcome.error["error"] == (
        "the workspace could not be staged: Input/output error: /some/file"
    )
    assert left_behind(node) == []


async def test_an_agent_that_is_not_in_the_job_is_the_executors_mistake(bench):
    node = bench(ScriptedRunner(ended())).open({"command": ["x"]})
    node.job.agents.clear()
    outcome = await node.executor.run(node.order(), node.notes.append)
    assert outcome.error["error"] == "the executor broke: KeyError: 'w'"
    assert "Traceback" in outcome.error["traceback"]


async def test_a_stand_in_runner_is_announced_once(bench):
    node = bench(ScriptedRunner(ended()))
    node.open({"command": ["x", "{{job_id}}"], "runner_module": None})
    for number in range(3):
        await node.executor.run(node.order(attempt=f"w:{number}"), node.notes.append)
    told = [payload for event, payload in node.told if event == "sandbox_fallback"]
    assert told == [{"requested": "openshell", "used": "host_local"}]
    runner = node.runners["host_local"]
    assert runner.launches[0].command == ("x", JOB)
    assert "mirror_neuron_body_meta.json" in runner.seen[0]


async def test_a_stand_in_can_be_forbidden(bench):
    node = bench(ScriptedRunner(ended()), openshell_fallback=False)
    outcome = await node.run({"command": ["x"], "runner_module": None})
    assert outcome.error["error"].startswith("openshell cannot be used")
    assert node.notes == []


async def test_slots_bound_what_runs_at_once(bench, autojump_clock):
    running = peak = 0

    async def slow(launch, on_line):
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await trio.sleep(1)
        running -= 1
        return ended()

    node = bench(ScriptedRunner(slow), environ={"MN_EXECUTOR_MAX_CONCURRENCY": "3"})
    node.open({"command": ["x"]})
    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(
                node.executor.run, node.order(attempt=f"w:{number}"), node.notes.append
            )
    assert peak == 3
    assert node.types.count("executor_lease_released") == 10


async def test_the_queue_can_be_bounded_in_time_and_length(bench, autojump_clock):
    async def slow(launch, on_line):
        await trio.sleep(100)
        return ended()

    environ = {"MN_EXECUTOR_MAX_CONCURRENCY": "1", "MN_LEASE_QUEUE_TIMEOUT_MS": "5000"}
    node = bench(ScriptedRunner(slow), environ=environ)
    node.open({"command": ["x"], "lease_max_queue_length": 1})
    outcomes = {}

    async def run(number):
        order = node.order(attempt=f"w:{number}")
        outcomes[number] = await node.executor.run(order, node.notes.append)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(run, number)
            await trio.testing.wait_all_tasks_blocked()
    assert outcomes[0].status is OutcomeStatus.SUCCEEDED
    assert outcomes[1].error["reason"] == "executor_pool_queue_timeout"
    assert outcomes[2].error["reason"] == "executor_pool_queue_full"
    assert node.types.count("executor_lease_rejected") == 2


async def test_a_cancelled_attempt_gives_back_its_slots_and_its_folder(bench, autojump_clock):
    async def slow(launch, on_line):
        await trio.sleep_forever()

    node = bench(ScriptedRunner(slow))
    node.open({"command": ["x"]})
    with trio.move_on_after(1) as scope:
        await node.executor.run(node.order(), node.notes.append)
    assert scope.cancelled_caught
    assert node.runners["host_local"].cancelled == 1
    assert left_behind(node) == []
    assert node.executor.stats()["default"].in_use == 0


async def test_a_new_launch_is_not_mistaken_for_the_old_one(bench, autojump_clock):
    async def slow(launch, on_line):
        await trio.sleep(10)
        return ended(launch.token.encode())

    node = bench(ScriptedRunner(slow))
    node.open({"command": ["x"]})
    outcomes = []

    async def run(launch):
        outcomes.append(await node.executor.run(node.order(launch=launch), node.notes.append))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, 1)
        await trio.sleep(1)
        nursery.start_soon(run, 2)
        await trio.sleep(12)
        assert [outcome.result["stdout"] for outcome in outcomes] == [
            f"{JOB}/w:m1/1",
            f"{JOB}/w:m1/2",
        ]


async def test_beacons_of_a_run_become_notes(bench, autojump_clock):
    async def slow(launch, on_line):
        on_line(b'__MN_EVENT__ {"type": "progress", "payload": {"n": 1}}')
        await trio.sleep(2)
        return ended()

    node = bench(ScriptedRunner(slow))
    await node.run({"command": ["x"], "beacon_enabled": True, "beacon_interval_ms": 1000})
    assert node.types == [
        "executor_lease_requested",
        "executor_lease_acquired",
        "agent_beacon",
        "progress",
        "agent_beacon",
        "agent_beacon",
        "executor_lease_released",
    ]
    launch = node.runners["host_local"].launches[0]
    assert launch.environment["MN_AGENT_BEACON_STDOUT_PREFIX"] == "__MN_AGENT_BEACON__"


async def test_limits_reach_the_runner(bench):
    runner = ScriptedRunner(ended())
    node = bench(runner, environ={"MN_MAX_ARTIFACT_BYTES": "5000"})
    await node.run({"command": ["x"]})
    await node.run({"command": ["x"], "timeout_seconds": 2.5, "max_output_bytes": 10})
    assert [(one.timeout_s, one.max_output_bytes) for one in runner.launches] == [
        (None, 5000),
        (2.5, 10),
    ]


async def test_a_large_config_is_a_file_in_the_workspace(bench):
    runner = ScriptedRunner(ended())
    node = bench(runner)
    await node.run({"command": ["x"]}, job={"config": {"big": "x" * 200_000}})
    assert json.loads(runner.seen[0]["mirror_neuron_config.json"]) == {"big": "x" * 200_000}


async def test_secrets_of_the_host_and_the_manifest_do_not_come_back(bench):
    said = json.dumps({"next_state": {"k": "s3cr3t-host", "p": "s3cr3t-manifest"}}).encode()
    node = bench(ScriptedRunner(ended(said)), environ={"AWS_SECRET": "s3cr3t-host"})
    outcome = await node.run({"command": ["x"], "environment": {"DB_PASSWORD": "s3cr3t-manifest"}})
    assert outcome.structured.next_state == {"k": "[REDACTED]", "p": "[REDACTED]"}
    assert "s3cr3t" not in outcome.result["stdout"]
    assert "s3cr3t-host" not in str(node.runners["host_local"].launches[0].environment)


def test_malformed_capacities_are_reported(bench):
    node = bench(ScriptedRunner(ended()), environ={"MN_EXECUTOR_POOL_CAPACITIES": "gpu=none"})
    assert isinstance(node.executor, Executor)
    assert "gpu=none" in node.executor.problems[0]


@pytest.mark.live
async def test_sweeping_a_job_asks_every_runner_and_clears_its_workspaces(bench):
    local = ScriptedRunner(ended())
    absent = ScriptedRunner(ended(), name="openshell", why="not installed")
    node = bench(local, absent)
    folder = Path(node.executor.workspaces_of(JOB))
    (folder / "old-1").mkdir(parents=True)
    assert await node.executor.sweep(JOB) == 1
    assert local.swept == [{f"{JOB}/": JOB}]
    assert absent.swept == []
    assert not folder.exists()


@pytest.mark.live
class TestWithRealProcesses:
    async def test_a_worker_does_its_work(self, bench):
        node = bench()
        node.write(
            "app/main.py",
            "import json, os, sys\n"
            "body = json.load(open(os.environ['MN_INPUT_FILE']))\n"
            "print('a warning', file=sys.stderr)\n"
            "json.dump({'next_state': body['n'] + 1, 'events': []}, sys.stdout)\n",
        )
        config = {
            "command": ["python3", "main.py"],
            "upload_path": "app",
            "workdir": "/sandbox/job/app",
        }
        outcome = await node.run(config, body={"n": 4})
        assert outcome.status is OutcomeStatus.SUCCEEDED, outcome.error
        assert outcome.structured.next_state == 5
        assert outcome.result["stderr"] == "a warning\n"
        assert left_behind(node) == []

    async def test_a_shell_line_runs_in_the_workdir(self, bench):
        node = bench()
        outcome = await node.run({"command": "echo $MN_AGENT_ID > made; cat made; exit 4"})
        assert outcome.error["exit_code"] == 4
        assert outcome.error["stdout"] == "w\n"

    async def test_no_command_says_so(self, bench):
        outcome = await bench().run({})
        assert outcome.result["stdout"] == "No command configured for host-local worker\n"

    async def test_a_worker_sees_no_secret_of_the_host(self, bench):
        node = bench(environ={"AWS_SECRET": "hide", "SHOWN": "passed", "MNEDGE_FAULT": ""})
        outcome = await node.run({"command": ["env"], "pass_env": ["SHOWN"]})
        names = {line.partition("=")[0] for line in outcome.result["stdout"].splitlines()}
        assert "SHOWN" in names
        assert "MNEDGE_LAUNCH" in names
        assert not names & {"AWS_SECRET", "MNEDGE_FAULT"}

    async def test_an_absent_interpreter_is_replaced_by_another(self, bench, tmp_path):
        programs = tmp_path / "bin"
        programs.mkdir()
        for number, name in enumerate(["python3.12", "python3"]):
            script = programs / name
            version = ["Python 3.9.2", "Python 3.13.1"][number]
            script.write_text(
                f"#!/bin/sh\ncase $1 in -I) echo {version};; *) echo I am {name};; esac\n"
            )
            script.chmod(0o755)
        node = bench(environ={"PATH": f"{programs}:/bin"})
        outcome = await node.run({"command": ["python3.99", "x.py"]})
        assert outcome.error is None
        assert outcome.result["stdout"] == "I am python3\n"
        outcome = await node.run({"command": "python3.99 x.py && echo also"})
        assert outcome.result["stdout"] == "I am python3\nalso\n"
        outcome = await node.run({"command": ["python3.12"]})
        assert outcome.result["stdout"] == "I am python3.12\n"

    async def test_being_cancelled_leaves_no_process_and_no_workspace(self, bench):
        node = bench()
        with trio.move_on_after(0.3) as scope:
            await node.run({"command": "setsid sleep 300 & trap 'exit 0' TERM; sleep 300 & wait"})
        assert scope.cancelled_caught
        assert [token for _, token in running_tokens() if token.startswith(f"{JOB}/")] == []
        assert left_behind(node) == []

    async def test_a_payload_is_never_changed_by_a_worker(self, bench):
        node = bench()
        payload = node.write("app/data.txt", "original")
        config = {"command": "echo changed > app/data.txt; rm -r app", "upload_path": "app"}
        outcome = await node.run(config)
        assert outcome.status is OutcomeStatus.SUCCEEDED
        assert payload.read_text() == "original"

    async def test_many_files_are_staged_and_removed(self, bench):
        node = bench()
        for number in range(300):
            node.write(f"app/{number % 10}/{number}.txt", "x")
        config = {"command": "find app -type f | wc -l; mkdir many; touch many/{1..500}",
                  "upload_path": "app"}  # fmt: skip
        outcome = await node.run(config)
        assert outcome.result["stdout"].strip() == "300"
        assert left_behind(node) == []

    async def test_a_worker_that_is_not_executable_is_a_failed_outcome(self, bench):
        node = bench()
        node.write("app/run.sh", "#!/bin/sh\n", 0o644)
        config = {"command": ["./run.sh"], "upload_path": "app", "workdir": "/sandbox/job/app"}
        outcome = await node.run(config)
        assert outcome.error["error"].startswith("failed to invoke ./run.sh: Permission denied")
        outcome = await node.run({"command": ["true"], "workdir": "/sandbox/job/none"})
        assert outcome.error["error"].startswith("failed to invoke true: No such file or directory")


async def test_outputs_of_parents_are_loaded_when_the_workspace_is_staged(bench):
    runner = ScriptedRunner(ended())
    node = bench(runner)
    digest = await node.blobs.put(b'{"n":7}')
    parent = {"step_id": "a", "status": "completed", "output": BlobRef(digest, 7)}
    workflow = {"step_id": "b", "deadline_at": 5.5, "parents": [parent]}
    outcome = await node.run({"command": ["x"]}, workflow=workflow)
    assert outcome.status is OutcomeStatus.SUCCEEDED
    context = json.loads(runner.seen[0]["mirror_neuron_context.json"])
    assert context["workflow"] == {
        "step_id": "b",
        "deadline_at": "1970-01-01T00:00:05.500Z",
        "parents": [{"step_id": "a", "status": "completed", "output": {"n": 7}}],
    }


async def test_what_a_worker_says_of_its_step_is_a_fact_of_its_launch(bench):
    def says(launch, on_line):
        assert on_line(b'__MN_EVENT__ {"type": "workflow_step_partial", "payload": {"n": 1}}')
        assert on_line(b'__MN_EVENT__ {"type": "news", "payload": {}}')
        return ended()

    node = bench(ScriptedRunner(says))
    await node.run({"command": ["x"]}, attempt="b:attempt:1", launch=2)
    [said] = [told for told in node.notes if isinstance(told, WorkerSaid)]
    assert (said.work_id, said.launch) == ("b:attempt:1", 2)
    assert said.event == NamedEvent(type="workflow_step_partial", payload={"n": 1})
    [news] = [told for told in node.notes if isinstance(told, Note) and told.type == "news"]
    assert (news.work_id, news.launch) == ("b:attempt:1", 2)


async def test_output_over_the_cap_is_told_before_the_lease_is_given_back(bench):
    node = bench()
    outcome = await node.run(
        {"command": ["printf", '{"next_state": 12345}'], "max_output_bytes": 9}
    )
    assert outcome.status is OutcomeStatus.SUCCEEDED
    assert outcome.structured is None
    assert node.types[1:] == [
        "executor_lease_acquired",
        "executor_output_truncated",
        "executor_lease_released",
    ]
    [told] = [payload for event, payload in node.told if event == "executor_output_truncated"]
    assert (told["stream"], told["kept_bytes"], told["dropped_bytes"]) == ("stdout", 9, 12)
    assert told["instruction_lost"]


# ---- devices ----

HARDWARE = '{"devices": [{"id": "cam", "kind": "camera", "path": "/dev/video9"}]}'
CAMERA = {"devices": [{"kind": "camera"}]}


async def test_a_worker_is_lent_what_its_agent_asks_for_and_told_of_it(bench):
    runner = ScriptedRunner(ended())
    node = bench(runner, environ={"MN_NODE_HARDWARE_JSON": HARDWARE})
    outcome = await node.run({"command": ["x"], "resources": CAMERA})
    told = runner.launches[0].environment
    assert told["MN_ALLOCATED_DEVICE_IDS"] == told["MIRROR_NEURON_ALLOCATED_DEVICE_IDS"] == "cam"
    assert told["MNEDGE_DEVICE_CAMERA_PATHS"] == "/dev/video9"
    assert [one["id"] for one in outcome.result["lease"]["devices"]] == ["cam"]


async def test_a_worker_whose_agent_asks_for_none_is_told_of_none(bench):
    runner = ScriptedRunner(ended())
    node = bench(runner, environ={"MN_NODE_HARDWARE_JSON": HARDWARE})
    outcome = await node.run({"command": ["x"]})
    assert not [name for name in runner.launches[0].environment if "DEVICE" in name]
    assert "devices" not in outcome.result["lease"]


async def test_the_manifest_may_say_otherwise_in_the_environment_of_its_agent(bench):
    runner = ScriptedRunner(ended())
    node = bench(runner, environ={"MN_NODE_HARDWARE_JSON": HARDWARE})
    mine = {"MNEDGE_DEVICE_CAMERA_PATHS": "/dev/null"}
    await node.run({"command": ["x"], "resources": CAMERA, "environment": mine})
    assert runner.launches[0].environment["MNEDGE_DEVICE_CAMERA_PATHS"] == "/dev/null"


@pytest.mark.parametrize(
    "resources,code,text",
    [
        ({"gpus": 1}, "device.unavailable", "1 gpu: this machine has none"),
        ({"gpus": "two"}, "device.ask_invalid", "config.resources.gpus is 'two'"),
    ],
)
async def test_what_cannot_be_lent_or_read_is_a_failed_outcome_with_the_reason(
    bench, resources, code, text
):
    runner = ScriptedRunner(ended())
    node = bench(runner, environ={"MN_NODE_HARDWARE_JSON": HARDWARE})
    outcome = await node.run({"command": ["x"], "resources": resources})
    assert outcome.status is OutcomeStatus.FAILED
    assert outcome.error["code"] == code
    assert text in outcome.error["error"]
    assert runner.launches == []


async def test_a_device_that_is_lost_while_it_is_lent_fails_the_attempt(bench, autojump_clock):
    async def works_for_ever(launch, on_line):
        await trio.sleep_forever()

    runner = ScriptedRunner(works_for_ever)
    node = bench(runner, environ={"MN_NODE_HARDWARE_JSON": HARDWARE})
    async with trio.open_nursery() as nursery:

        async def carry():
            outcome = await node.run({"command": ["x"], "resources": CAMERA, "max_attempts": 3})
            assert outcome.status is OutcomeStatus.FAILED
            assert outcome.error["code"] == "device_lost"
            assert outcome.error["devices"] == ["cam"]

        nursery.start_soon(carry)
        await trio.sleep(1)
        node.executor.leases.have(Changed(devices=(), gone=frozenset({"cam"})))
    assert runner.cancelled == 1
    assert "device_lost" in node.types
    assert left_behind(node) == []
