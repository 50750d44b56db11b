import json
from pathlib import Path

import msgspec
import pytest
import trio

from mnedge.execution.module_worker import LINES_AT_ONCE
from mnedge.execution.procfs import running_tokens
from mnedge.model.body import INLINE_LIMIT_BYTES, BlobRef
from mnedge.model.facts import Emit, NamedEvent, Tell
from mnedge.model.states import AgentKind
from mnedge.model.tracing import launch_context
from tests.execution.node import JOB

pytestmark = pytest.mark.live

CLASS = """
import os, subprocess, sys, time

class Agent:
    def init(self, node):
        return {"n": 0, "pid": os.getpid()}

    def handle_message(self, message, state, context):
        body = message["body"]
        do = body.get("do") if isinstance(body, dict) else body
        if do == "env":
            return state, [context.event("env", dict(os.environ))]
        if do == "context":
            names = [name for name in vars(context) if not name.startswith("_")]
            told = {name: getattr(context, name) for name in names}
            return state, [context.event("context", told)]
        if do == "die":
            os._exit(7)
        if do == "raise":
            raise ValueError("a handler's mistake")
        if do == "error":
            return "error", "no more"
        if do == "hang":
            time.sleep(600)
        if do == "garbage":
            for fd in os.listdir("/proc/self/fd"):
                if int(fd) > 2:
                    try:
                        os.write(int(fd), b"garbage" * 1000)
                    except OSError:
                        pass
        if do == "print":
            print("to stdout"); print("to stderr", file=sys.stderr); os.system("echo from a child")
            print(sys.stdin.read(), "nothing on stdin")
        if do == "flood":
            for number in range(20_000):
                print("line", number)
        if do == "bad action":
            return state, [{"action": "fly"}]
        if do == "huge":
            return {"big": "x" * 100_000, "n": 5}, [context.emit("t", {"big": "y" * 100_000})]
        if do == "child":
            subprocess.Popen(["setsid", "sleep", "300"])
        if isinstance(do, bytes):
            return state, [context.emit("t", do[::-1])]
        state = {**state, "n": state["n"] + 1, "seen_pid": os.getpid()}
        return state, [context.emit("t", {"n": state["n"]})]

    def recover(self, state, context):
        return {**state, "recovered": True}, [context.event("recovered", {"n": state["n"]})]
"""
CONFIG = {"module": "python:agent:Agent", "module_source": "agent_code/agent.py"}


@pytest.fixture
def node(bench):
    def make(config=None, **more):
        made = bench(**more)
        made.write("agent_code/agent.py", CLASS)
        made.write("pkg/inner/deep.py", CLASS)
        return made.open({**CONFIG, **(config or {})}, kind=AgentKind.MODULE)

    return make


async def calls(node, *bodies):
    """Give each body in turn as the engine would: a failure does not move the state on."""
    answers, version, state = [], 0, None
    async with node.executor.module_workers(node.job) as workers:
        for number, body in enumerate(bodies, 1):
            with trio.fail_after(20):
                answer = await workers.call(
                    node.call(number, body, version=version, state=state), node.notes.append
                )
            if answer.error is None and answer.crash is None:
                version, state = version + 1, answer.state
            answers.append(answer)
    return answers


async def test_a_worker_keeps_its_state_between_calls(node):
    first, second, third = await calls(node(), "a", "b", "c")
    assert [answer.state["n"] for answer in (first, second, third)] == [1, 2, 3]
    assert first.state["seen_pid"] == third.state["seen_pid"]
    (emit,) = third.actions
    assert isinstance(emit, Emit)
    assert emit.emission.body == {"n": 3}


@pytest.mark.parametrize("what", ["die", "raise", "hang", "garbage", "bad action"])
async def test_a_worker_that_failed_goes_on_from_the_state_before(node, what):
    made = node({"timeout_seconds": 1})
    first, failed, after = await calls(made, "a", what, "b")
    assert failed.crash
    assert failed.actions == []
    assert failed.state is None
    assert after.state["n"] == 2
    if what != "garbage":
        assert after.state["seen_pid"] != first.state["seen_pid"]


async def test_a_crash_tells_why(node):
    made = node({"timeout_seconds": 1})
    died, raised, hung, wrong = await calls(made, "die", "raise", "hang", "bad action")
    assert died.crash.startswith("module worker ended (exit code 7)")
    assert raised.crash.startswith("ValueError: a handler's mistake\nTraceback")
    assert hung.crash.startswith("module worker timed out (signal 9)")
    assert wrong.crash.startswith("action 1, of kind 'fly', is not as `context` makes it")


async def test_an_error_is_fatal_and_told_as_such(node):
    (answer,) = await calls(node(), "error")
    assert (answer.error, answer.crash) == ("no more", None)


async def test_recovery_comes_with_the_state(node):
    made = node()
    async with made.executor.module_workers(made.job) as workers:
        call = made.call(1, None, version=4, state={"n": 9}, message=False)
        answer = await workers.call(call, made.notes.append)
    assert answer.state == {"n": 9, "recovered": True}
    assert answer.actions == [Tell(event=NamedEvent(type="recovered", payload={"n": 9}))]


async def test_a_state_of_another_version_is_sent_again(node):
    made = node()
    async with made.executor.module_workers(made.job) as workers:
        await workers.call(made.call(1, "a"), made.notes.append)
        # The answer was lost: the engine asks again from where it was.
        again = await workers.call(made.call(2, "a"), made.notes.append)
        assert again.state["n"] == 1
        far = await workers.call(made.call(3, "a", version=9, state={"n": 40}), made.notes.append)
        assert far.state["n"] == 41


async def test_large_states_and_bodies_go_through_the_blob_store(node):
    made = node()
    huge, after = await calls(made, "huge", "x")
    assert type(huge.state) is BlobRef
    (emit,) = huge.actions
    assert type(emit.emission.body) is BlobRef
    assert after.state.size_bytes > INLINE_LIMIT_BYTES
    assert json.loads(made.blobs.kept[after.state.digest])["n"] == 6


async def test_a_large_state_comes_back_to_a_new_worker(node):
    huge, _, after = await calls(node(), "huge", "die", "x")
    assert type(huge.state) is BlobRef
    assert type(after.state) is BlobRef


async def test_bodies_may_be_bytes(node):
    made = node().open(CONFIG, kind=AgentKind.MODULE)
    async with made.executor.module_workers(made.job) as workers:
        answer = await workers.call(made.call(1, b"\xff\x00ab"), made.notes.append)
    assert answer.actions[0].emission.body == b"ba\x00\xff"


async def test_what_it_prints_becomes_notes_and_harms_nothing(node):
    made = node()
    (answer,) = await calls(made, "print")
    assert answer.crash is None
    said = [note.payload for note in made.notes if note.type == "agent_activity"]
    assert {payload["message"] for payload in said} == {
        "to stdout",
        "to stderr",
        "from a child",
        " nothing on stdin",
    }
    assert {payload["category"] for payload in said} == {"log"}


async def test_a_flood_of_lines_is_thinned(node):
    made = node()
    (answer,) = await calls(made, "flood")
    assert answer.state["n"] == 1
    assert LINES_AT_ONCE <= len(made.notes) <= LINES_AT_ONCE * 2


async def test_the_context_and_environment_are_those_of_the_contract(node):
    made = node(environ={"AWS_SECRET_KEY": "hide me", "PASS_ME": "passed"})
    made.open({**CONFIG, "environment": {"A": 1}, "pass_env": ["PASS_ME"]}, kind=AgentKind.MODULE)
    context, environment = await calls(made, "context", "env")
    told = context.actions[0].event.payload
    assert told["job_id"] == JOB
    assert told["node"]["node_id"] == "w"
    assert told["node"]["config"]["module"] == "python:agent:Agent"
    assert [edge["edge_id"] for edge in told["outbound_edges"]] == ["e"]
    assert told["inbound_edges"] == []
    assert told["payloads_path"] == str(made.payloads)
    assert told["invocation"] == 1
    found = environment.actions[0].event.payload
    assert (found["A"], found["PASS_ME"], found["MN_JOB_ID"]) == ("1", "passed", JOB)
    assert found["MN_RUN_ID"] == found["MIRROR_NEURON_RUN_ID"] == JOB
    assert found["MNEDGE_LAUNCH"] == f"{JOB}/w:1/1"
    assert found["TRACEPARENT"] == str(launch_context(JOB, "w:1", 1))
    assert "AWS_SECRET_KEY" not in found


@pytest.mark.parametrize(
    "config,text",
    [
        ({"module": None}, "module agent requires config.module"),
        ({"module": "Elixir.Thing"}, 'module agent "Elixir.Thing" is not available'),
        ({"module": "python:agent"}, 'module agent "python:agent" is not available'),
        ({"module": "python:../agent:X"}, "is not available"),
        ({"module": "python:agent:Absent"}, "module agent:Absent cannot be loaded"),
        ({"module": "python:absent:Agent"}, "module absent:Agent cannot be loaded"),
        ({"module_source": "nowhere.py"}, "module source does not exist: "),
        ({"module_source": "../../x.py"}, "module source must stay inside blueprint payloads"),
    ],
)
async def test_a_module_that_cannot_be_had_is_an_error(node, config, text):
    (answer,) = await calls(node(config), "a")
    assert text in answer.error


@pytest.mark.parametrize(
    "config",
    [
        {"module": "python:agent_code.agent:Agent", "module_source": None},
        {"module": "python:agent:Agent", "module_source": "agent_code"},
        {"module": "python:inner.deep:Agent", "module_source": "pkg"},
    ],
)
async def test_modules_are_found_below_the_payloads(node, config):
    (answer,) = await calls(node(config), "a")
    assert answer.state["n"] == 1


async def test_without_a_bundle_there_is_no_module(node):
    made = node()
    made.job = msgspec.structs.replace(made.job, bundle_root=None)
    (answer,) = await calls(made, "a")
    assert "needs a bundle" in answer.error


async def test_nothing_is_left_when_the_job_is_closed(node):
    made = node()
    await calls(made, "child")
    assert [token for _, token in running_tokens() if token.startswith(f"{JOB}/")] == []
    assert not list(Path(made.payloads).rglob("__pycache__"))


async def test_a_cancelled_call_leaves_nothing_and_the_next_starts_anew(node):
    made = node()
    async with made.executor.module_workers(made.job) as workers:
        first = await workers.call(made.call(1, "a"), made.notes.append)
        with trio.move_on_after(0.2) as scope:
            await workers.call(made.call(2, "hang", version=1, state=first.state), print)
        assert scope.cancelled_caught
        assert [token for _, token in running_tokens() if token.startswith(f"{JOB}/")] == []
        after = await workers.call(made.call(3, "a", version=1, state=first.state), print)
        assert after.state["n"] == 2


async def test_secrets_are_hidden_in_what_goes_wrong(node):
    made = node(environ={"MY_TOKEN": "a handler's mistake"})
    (answer,) = await calls(made, "raise")
    assert "a handler's mistake" not in answer.crash
    assert "[REDACTED]" in answer.crash


async def test_an_interpreter_that_cannot_start_is_a_crash(node):
    made = node(environ={"PATH": "/nowhere"})
    (answer,) = await calls(made, "a")
    assert answer.crash.startswith("failed to invoke the module worker")


async def test_a_module_agent_that_asks_for_devices_is_refused_rather_than_deceived(bench):
    node = bench()
    node.open({"module": "python:a:B", "gpu_count": 1}, kind=AgentKind.MODULE)
    async with node.executor.module_workers(node.job) as workers:
        answer = await workers.call(node.call(1, {}), node.notes.append)
    assert "only executors are lent any" in answer.error
