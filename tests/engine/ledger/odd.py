"""Whatever a worker may say, and a workflow in which it can be said."""

from typing import Any

from hypothesis import strategies as st

from mnedge.model.body import BlobRef
from mnedge.model.events import STEP_REPORTS
from mnedge.model.facts import (
    Complete,
    Completion,
    Emission,
    Emit,
    HumanSaid,
    MessageArrived,
    NamedEvent,
    Note,
    Noted,
    Structured,
    Tell,
    WorkerSaid,
)
from mnedge.model.manifest import Dynamic, HumanControl
from mnedge.model.message import normalise
from mnedge.model.states import Verb
from tests.engine.jobs import agent, edge, failed, succeeded
from tests.engine.ledger.dynamic import fan, fanned
from tests.engine.ledger.flows import SINK, Run, after, flow, step

_NAMES = ["a", "b", "c", "decide", "dig", "i1", "b[0]", "p-1", "fan", "done", "decide:attempt:1"]
_KEYS = [
    "accepts",
    "allowed_decisions",
    "attempt",
    "attempt_id",
    "base_revision",
    "branches",
    "child_plan",
    "code",
    "confidence",
    "decision",
    "default_action",
    "details",
    "error",
    "exit_code",
    "from",
    "id",
    "idempotency_key",
    "items",
    "label",
    "max_items",
    "message",
    "message_id",
    "op",
    "operations",
    "output",
    "outputs",
    "patch_id",
    "reason",
    "region_id",
    "request_id",
    "required",
    "schema_version",
    "skip_downstream",
    "status",
    "step_id",
    "target",
    "targets",
    "template",
    "timeout_ms",
    "timeout_seconds",
    "to",
    "with",
]
_HUMAN = ["human_input_requested", "human_input_received", "human_notice", "human_input_timeout"]

names = st.sampled_from(_NAMES)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.floats(allow_nan=False),
    st.sampled_from([2**64 - 1, -(2**63), 10**40, 10**400]),
    names,
    st.text(max_size=5),
    st.binary(max_size=3),
    st.builds(lambda: BlobRef("sha256:1", 70_000, values={"decision": "stop"})),
)
keys = st.one_of(st.sampled_from(_KEYS), st.text(max_size=3))
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=5)),
    max_leaves=12,
)
payloads = st.dictionaries(keys, trees, max_size=7)
operations = st.one_of(
    payloads,
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add_step", "add_edge", "remove_step", "remove_edge"])},
        optional={
            "id": st.one_of(names, trees),
            "template": st.one_of(st.just("dig"), trees),
            "from": st.one_of(names, trees),
            "to": st.one_of(names, trees),
            "with": trees,
            "accepts": trees,
        },
    ),
)
patches = st.fixed_dictionaries(
    {
        "patch_id": st.one_of(st.just("p-1"), trees),
        "base_revision": st.one_of(st.integers(0, 2), trees),
        "operations": st.one_of(trees, st.lists(operations, max_size=5), st.just(fanned("i1"))),
    },
    optional={"region_id": st.one_of(st.just("fan"), trees)},
)
scatters = st.fixed_dictionaries(
    {"items": st.one_of(trees, st.lists(trees, max_size=4)), "target": st.one_of(names, trees)},
    optional={"targets": trees, "max_items": trees},
)


def _named(kind: str, given: Any) -> Any:
    return st.builds(lambda payload: NamedEvent(type=kind, payload=payload), given)


events = st.one_of(
    *(_named(kind, payloads) for kind in [*sorted(STEP_REPORTS), *_HUMAN]),
    _named("workflow_graph_patch", patches),
    _named("workflow_step_scatter", scatters),
)
headers = st.dictionaries(
    st.sampled_from([f"mn.workflow.{name}" for name in ("step_id", "attempt_id", "run_id")]),
    trees,
    max_size=3,
)
emissions = st.builds(
    lambda to, body, given: Emission(type="a_done", to=to, body=body, headers=given),
    st.one_of(st.none(), names),
    trees,
    headers,
)
completions = st.builds(
    lambda scope, value: Completion(scope=scope, value=value),
    st.sampled_from(["step", "run"]),
    trees,
)
outcomes = st.one_of(
    st.builds(
        lambda said, ended, sent, result: succeeded(
            structured=Structured(events=said, completions=ended, emissions=sent),
            sdk_result=result,
        ),
        st.lists(events, max_size=3),
        st.lists(completions, max_size=2),
        st.lists(emissions, max_size=2),
        st.one_of(st.none(), payloads),
    ),
    st.just(succeeded()),
    st.builds(failed, payloads),
)
actions = st.one_of(
    st.builds(lambda one: Emit(emission=one), emissions),
    st.builds(lambda one: Tell(event=one), events),
    st.builds(lambda one: Complete(completion=one), completions),
)
moves = st.one_of(
    st.tuples(st.just("end"), st.integers(0, 3), outcomes),
    st.tuples(st.just("say"), st.integers(0, 3), events),
    st.tuples(st.just("answer"), st.lists(actions, max_size=3), trees),
    st.tuples(st.just("beat"), st.integers(0, 3), payloads),
    st.tuples(st.just("write"), st.sampled_from(_HUMAN), payloads),
    st.tuples(st.just("ask"), st.sampled_from(Verb), payloads),
    st.tuples(st.just("send"), names, headers, trees),
    st.tuples(st.just("fire"), st.integers(0, 5)),
    st.tuples(st.just("crash")),
)


def workplace(limit: int | None) -> Run:
    """Return a workflow with every kind of agent and most trigger rules, some of it optional."""
    again: dict[str, Any] = {"max_attempts": 3, "retry_backoff_ms": 0}
    agents = [
        agent("decide", "executor", output_message_type="decide_done"),
        agent("a", "executor", output_message_type="a_done"),
        agent("tail", "executor"),
        agent("b", "executor"),
        agent("c", "module"),
        agent("g", "aggregator", completion_threshold=2, emit_type="x"),
        agent("report", "router", approval_mode="approval_required"),
        agent("dig", "executor"),
        SINK,
    ]
    steps = [
        step("decide", **again),
        step("a", agent_ids=["a", "tail"], **again),
        step("b", "one_success", "continue_partial"),
        step("c", "all_done", "skip", **again),
        step("g", "one_success"),
        step("report", "none_failed_min_one_success"),
    ]
    pairs = ["decide a", "a b", "a c", "decide g", "a g", "b report", "c report"]
    ways = [*pairs, "a tail", "report sink"]
    workflow = {
        "mode": "dynamic_dag",
        "dynamic": Dynamic(templates=[step("dig", **again)], regions=[fan()]),
        "max_parallel_steps": limit,
    }
    return Run(
        flow(
            steps,
            [after(*pair.split()) for pair in pairs],
            agents=agents,
            messages=[edge(*way.split()) for way in ways],
            seeds={"decide": [{}], "a": [1], "c": ["m"]},
            sink=None,
            workflow=workflow,
            human=HumanControl(mode="approval_required", timeout_s=5),
        )
    )


def happen(run: Run, move: Any) -> None:
    """Let it happen, as far as somebody is there to do it."""
    match move:
        case ("end", number, outcome) if run.out:
            run.ended(run.out[number % len(run.out)], outcome)
        case ("say", number, event) if run.out:
            one = run.out[number % len(run.out)]
            about = {"work_id": one.attempt_id, "launch": one.launch}
            run.give(WorkerSaid(at=run.at, event=event, **about))
        case ("answer", given, state) if run.calls:
            run.answered(actions=given, state=state)
        case ("beat", number, payload) if run.out:
            one = run.out[number % len(run.out)]
            about = {"work_id": one.attempt_id, "launch": one.launch}
            note = Note(at=run.at, type="agent_beacon", payload=payload, **about)
            run.give(Noted(at=run.at, notes=[note]))
        case ("write", kind, payload):
            line = str(len(run.records))
            run.give(HumanSaid(at=run.at, line_id=line, type=kind, payload=payload))
        case ("ask", verb, payload) if verb is not Verb.CANCEL:
            run.asked(verb, details=payload)
        case ("send", to, given, body):
            value = {"envelope": {"to": to}, "headers": given, "body": body}
            seed = f"outside:{len(run.records)}"
            message = normalise(value, at=run.at, seed=seed, sender="external", class_="command")
            run.give(MessageArrived(at=run.at, message=message))
        case ("fire", number) if run.timers:
            due = sorted(run.timers, key=lambda name: (run.timers[name], name))
            run.fired(due[number % len(due)])
        case ("crash",):
            run.crashed()
        case _:
            pass
    run.drained()
