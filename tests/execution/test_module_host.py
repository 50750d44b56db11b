import io
import json
import sys

import pytest

from mnedge.execution import module_host
from mnedge.execution.module_host import LENGTH, serve

CLASS = """
class Counter:
    def init(self, node):
        return {"n": node["config"]["start"], "seen": ()}

    def handle_message(self, message, state, context):
        body = message["body"]
        match body:
            case "tuple":
                return {**state, "t": (1, 2), 3: 4}, [context.event("e", {"n": state["n"]})]
            case "nothing":
                state["n"] += 1
                context.emit("made")
                return None
            case "two":
                return state, None
            case "nan":
                return {"x": float("nan"), "y": [float("inf"), 1.5]}, []
            case "bytes":
                return state, [context.emit("t", b"\\xff")]
            case "error":
                return "error", "because"
            case "error object":
                return ("error", {"why": 1})
            case "raise":
                raise ValueError("oops")
            case "exit":
                raise SystemExit(3)
            case "unserialisable":
                return {"x": object()}, []
            case "number":
                return 5
            case bytes():
                return state, [context.event("got", {"bytes": len(body)})]
        return {"n": state["n"] + 1}, [context.event("e", {"at": context.invocation})]

class Patient:
    async def handle_message(self, message, state, context):
        return {"was": state}, []
    async def recover(self, state, context):
        return state, [context.event("recovered")]

class Nested:
    class Inner:
        def handle_message(self, message, state, context):
            return state, []
"""

FACTS = dict.fromkeys(
    (
        "job_id", "agent_id", "node", "outbound_edges", "inbound_edges", "payloads_path",
        "bundle_root", "manifest_path", "template_type",
    )
)  # fmt: skip


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "counting_module.py").write_text(CLASS)
    (tmp_path / "broken_module.py").write_text("def (")
    (tmp_path / "raising_module.py").write_text("raise RuntimeError('at import')")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield str(tmp_path)
    for name in ("counting_module", "broken_module", "raising_module"):
        sys.modules.pop(name, None)


@pytest.fixture
def talk(module):
    def talk(*requests, name="counting_module:Counter"):
        opening = {
            "module": name,
            "paths": [module],
            "node": {"config": {"start": 10}},
            "context": FACTS,
        }
        said = io.BytesIO()
        for request in (opening, *requests):
            content = json.dumps(request).encode()
            said.write(LENGTH.pack(len(content)) + content)
        said.seek(0)
        answers = io.BytesIO()
        serve(said, answers)
        answers.seek(0)
        found = []
        while head := answers.read(4):
            found.append(json.loads(answers.read(*LENGTH.unpack(head))))
        return found[1:] if found and found[0] == {} else found

    return talk


def call(body, *, number=1, init=False, **more):
    return {"message": {"body": body}, "invocation": number, "init": init, **more}


def test_the_first_call_makes_the_state_the_next_finds_it(talk):
    first, second = talk(call("x", init=True), call("x", number=2))
    assert first == {
        "state": {"n": 11},
        "actions": [{"action": "event", "type": "e", "payload": {"at": 1}}],
    }
    assert second["state"] == {"n": 12}
    assert second["actions"][0]["payload"] == {"at": 2}


def test_a_state_that_is_sent_replaces_the_one_it_has(talk):
    _, second = talk(call("x", init=True), call("x", state={"n": 40}))
    assert second["state"] == {"n": 41}


def test_a_state_is_seen_as_json_has_it_also_without_a_restart(talk):
    first, second = talk(call("tuple", init=True), call("two"))
    assert first["state"] == second["state"] == {"n": 10, "seen": [], "t": [1, 2], "3": 4}


def test_returning_nothing_keeps_the_state_and_sends_what_was_made(talk):
    (answer,) = talk(call("nothing", init=True))
    assert answer["state"] == {"n": 11, "seen": []}
    assert [action["type"] for action in answer["actions"]] == ["made"]


def test_what_is_no_number_becomes_null(talk):
    (answer,) = talk(call("nan", init=True))
    assert answer["state"] == {"x": None, "y": [None, 1.5]}


def test_bytes_travel_as_base64_both_ways(talk):
    sent, got = talk(call("bytes", init=True), call("/w==", body_base64=True))
    assert sent["actions"][0]["body_base64"] == "/w=="
    assert got["actions"][0]["payload"] == {"bytes": 1}


def test_an_error_is_told_from_a_crash(talk):
    found = talk(
        call("error", init=True), call("error object"), call("raise"), call("exit"), call("number"),
        call("unserialisable"), call("x"),
    )  # fmt: skip
    assert found[0] == {"error": "because"}
    assert json.loads(found[1]["error"]) == {"why": 1}
    assert found[2]["crash"] == "ValueError: oops"
    assert 'raise ValueError("oops")' in found[2]["trace"]
    assert "module_host" not in found[2]["trace"]
    assert found[3]["crash"] == "SystemExit: 3"
    assert found[4]["crash"].startswith("TypeError: a callback returns (state, actions)")
    assert found[5]["crash"].startswith("TypeError")
    assert found[6]["state"] == {"n": 11}, "it can still be talked to"


def test_async_callbacks_are_waited_for_and_init_and_recover_may_be_absent(talk):
    first, recovered = talk(
        call("x", init=True),
        {"message": None, "invocation": 2, "init": False},
        name="counting_module:Patient",
    )
    assert first == {"state": {"was": {}}, "actions": []}
    assert recovered["state"] == {"was": {}}
    assert recovered["actions"][0]["type"] == "recovered"
    (none,) = talk({"message": None, "invocation": 1, "init": False, "state": 5})
    assert none == {"state": 5, "actions": []}


def test_a_class_may_be_nested(talk):
    (answer,) = talk(call("x", init=True), name="counting_module:Nested.Inner")
    assert answer == {"state": {}, "actions": []}


@pytest.mark.parametrize(
    "name,kind",
    [
        ("absent_module:X", "error"),
        ("counting_module:Absent", "error"),
        ("broken_module:X", "error"),
        ("raising_module:X", "crash"),
    ],
)
def test_a_class_that_cannot_be_loaded_is_an_error(talk, name, kind):
    (answer,) = talk(name=name)
    assert kind in answer


def test_a_torn_request_ends_it(talk):
    answers = io.BytesIO()
    serve(io.BytesIO(LENGTH.pack(100) + b"{"), answers)
    serve(io.BytesIO(b"\0\0"), answers)
    assert answers.getvalue() == b""


def test_it_needs_nothing_but_the_standard_library():
    imported = {name for name in vars(module_host) if name in sys.modules}
    assert imported <= sys.stdlib_module_names
