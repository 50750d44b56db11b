import pytest

from mnedge.execution.actions import actions_in
from mnedge.execution.module_host import Context
from mnedge.model.facts import (
    Checkpoint,
    Complete,
    Completion,
    DeliverLater,
    Emission,
    Emit,
    NamedEvent,
    Tell,
)

FACTS = dict.fromkeys(
    [
        "job_id",
        "agent_id",
        "node",
        "outbound_edges",
        "inbound_edges",
        "payloads_path",
        "bundle_root",
        "manifest_path",
        "template_type",
    ]
)


@pytest.fixture
def context():
    return Context(FACTS)


def test_whatever_a_context_makes_is_an_action(context):
    made = [
        context.emit("t", {"a": 1}, class_="stream", headers={"h": 1}, stream={"seq": 1}),
        context.emit_to("x", "t", 5),
        context.event("e", {"b": 2}),
        context.event("e"),
        context.deliver_later(1.5, "tick", {"c": 3}),
        context.deliver_later(-1, "tick"),
        context.complete_step(),
        context.complete_step({"d": 4}),
        context.complete_run(False),
        context.checkpoint({"e": 5}),
    ]
    assert actions_in(made) == [
        Emit(
            emission=Emission(
                type="t", body={"a": 1}, class_="stream", headers={"h": 1}, stream={"seq": 1}
            )
        ),
        Emit(emission=Emission(type="t", to="x", body=5)),
        Tell(event=NamedEvent(type="e", payload={"b": 2})),
        Tell(event=NamedEvent(type="e", payload={})),
        DeliverLater(delay_s=1.5, type="tick", body={"c": 3}),
        DeliverLater(delay_s=0.0, type="tick"),
        Complete(completion=Completion(scope="step", default=True)),
        Complete(completion=Completion(scope="step", value={"d": 4})),
        Complete(completion=Completion(scope="run", value=False)),
        Checkpoint(snapshot={"e": 5}),
    ]


def test_a_ready_made_message_goes_where_its_envelope_says(context):
    message = {
        "envelope": {"to": "x", "type": "t", "class": "event", "correlation_id": "c"},
        "body": [1],
        "headers": {"h": 1},
        "artifacts": [],
        "stream": None,
    }
    (emit,) = actions_in([context.emit_message(message)])
    assert emit.emission == Emission(
        type="t", to="x", body=[1], class_="event", correlation_id="c", headers={"h": 1},
        artifacts=[],
    )  # fmt: skip


@pytest.mark.parametrize(
    "item",
    [
        None,
        "emit",
        {},
        {"action": "fly"},
        {"action": "emit"},
        {"action": "emit", "type": ""},
        {"action": "event", "type": "e", "payload": []},
        {"action": "deliver_later", "delay_s": "1", "type": "t"},
        {"action": "deliver_later", "delay_s": float("inf"), "type": "t"},
        {"action": "deliver_later", "delay_s": True, "type": "t"},
        {"action": "deliver_later", "delay_s": 1, "type": ""},
        {"action": "checkpoint", "snapshot": 1},
    ],
)
def test_anything_else_is_none_and_named_by_its_place(item):
    with pytest.raises(ValueError, match="action 2"):
        actions_in([{"action": "event", "type": "e", "payload": {}}, item])


def test_actions_are_a_list():
    with pytest.raises(ValueError, match="must be a list"):
        actions_in({"action": "emit"})
