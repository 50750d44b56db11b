"""The agents that start, join and end a step of many agents."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnedge.engine.compile import compile_job
from mnedge.engine.inspect import agent_views
from mnedge.engine.state import GlueMemory
from mnedge.model.body import BlobRef
from mnedge.model.facts import Emission, Structured
from mnedge.model.states import JobStatus
from tests.engine.jobs import Play, agent, edge, failed, spec_of, succeeded
from tests.engine.ledger.flows import Run, after, flow, said, step
from tests.engine.replayed import replays


def ref(source, *path, **more):
    return {"$ref": source, "path": list(path), **more}


def sdk(**outputs):
    """What a handler of the SDK answers."""
    result = {"outputs": outputs, "artifacts": [], "metrics": {}, "status": "completed"}
    return succeeded(sdk_result=result)


def source(name, *upstreams, fields=None, **config):
    return agent(
        f"{name}__start",
        "step_source",
        step_id=name,
        required_upstreams=list(upstreams),
        fields=fields or {},
        output_message_type=f"{name}__start_completed",
        **config,
    )


def sink(name, fields=None, **config):
    return agent(
        f"{name}__end",
        "step_sink",
        step_id=name,
        fields=fields or {},
        output_message_type=f"{name}_completed",
        **config,
    )


def worker(name, **config):
    config.setdefault("output_message_type", f"{name}_completed")
    return agent(name, "executor", workflow_complete_step=False, **config)


def one_step(*, fields=None, outputs=None, schema=None, seed=None, sink_schema=None, **more):
    """One step of a start, a worker and an end."""
    agents = [
        source("s", fields=fields, schema=schema or {}),
        worker("s__a"),
        sink("s", outputs, schema=sink_schema or {}),
    ]
    messages = [edge("s__start", "s__a"), edge("s__a", "s__end")]
    names = [one.agent_id for one in agents]
    seed = {"args": [], "kwargs": {"zip": "1010", "n": 2}} if seed is None else seed
    return Run(
        flow(
            [step("s", agent_ids=names, **more)],
            [],
            agents=agents,
            messages=messages,
            seeds={"s__start": [seed]},
            sink=None,
        )
    )


# ---- the start ----


def test_a_start_hands_on_what_its_fields_name():
    fields = {
        "zip": ref("run_input", "zip"),
        "deep": {"list": [ref("run_input", "n"), 7, ref("run_input", "nowhere")]},
        "all": ref("run_input"),
        "odd": ref("elsewhere", "zip"),
    }
    run = one_step(fields=fields)
    (body,) = run.received("s__a")
    assert body["outputs"] == {
        "zip": "1010",
        "deep": {"list": [2, 7, None]},
        "all": {"zip": "1010", "n": 2},
        "odd": None,
    }
    assert body["artifacts"] == []
    assert body["_mn_step"] == {
        "step_id": "s",
        "attempt_id": "s:attempt:1",
        "upstream_steps": [],
        "run_inputs": {"zip": "1010", "n": 2},
        "run_inputs_ref": None,
    }
    assert run.told("step_source_dispatched") == [
        {"step_id": "s", "received_upstream_count": 0, "dispatched": True}
    ]
    replays(run)


@pytest.mark.parametrize(
    "seed,inputs",
    [
        ({"kwargs": {"payload": {"a": 1}}}, {"a": 1}),
        ({"body": {"data": {"content": {"input": {"a": 2}}}}}, {"a": 2}),
        ({"a": 3}, {"a": 3}),
        ({"data": {"a": 4}, "kwargs": "text"}, {"a": 4}),
        ({"kwargs": {"a": 5}, "_mn_step": {"run_inputs": {"a": 6}}}, {"a": 6}),
        ({"kwargs": {"a": 5}, "_mn_step": {"run_inputs_ref": {"a": 7}}}, {"a": 7}),
    ],
)
def test_run_inputs_come_from_metadata_or_from_the_innermost_object(seed, inputs):
    run = one_step(fields={"all": ref("run_input")}, seed={"envelope": {}, "body": seed})
    assert run.received("s__a")[0]["outputs"] == {"all": inputs}


def test_a_start_misses_what_its_contract_requires():
    schema = {"type": "object", "required": ["zip", "gone", "more"]}
    run = one_step(fields={"zip": ref("run_input", "zip"), "gone": ref("run_input", "x")},
                   schema=schema)  # fmt: skip
    (failure,) = run.told("job_failed")
    assert failure["reason"] == "step contract is missing required fields: gone, more"
    assert failure["step_id"] == "s"
    assert run.received("s__a") == []
    replays(run)


def test_another_type_than_object_is_not_checked():
    run = one_step(schema={"type": "array", "required": ["x"]})
    assert len(run.received("s__a")) == 1


TWO_STEPS = {"notes": ref("upstream", "text", step_id="a"), "n": ref("upstream", "n", step_id="b")}


def gathering(rule="all_success", fields=TWO_STEPS, **more):
    """Two plain steps, and one behind them that gathers what both have brought."""
    agents = [
        agent("fork"),
        agent("a", "executor", output_message_type="a_done"),
        agent("b", "executor", output_message_type="b_done"),
        source("s", "a", "b", fields=fields),
        worker("s__x"),
        sink("s", {"out": ref("flow_output", "x")}),
    ]
    messages = [
        edge("fork", "a"),
        edge("fork", "b"),
        edge("a", "s__start", "a_done"),
        edge("b", "s__start", "b_done"),
        edge("s__start", "s__x"),
        edge("s__x", "s__end"),
    ]
    names = ["s__start", "s__x", "s__end"]
    steps = [
        step("a", **more.pop("a", {})),
        step("b", **more.pop("b", {})),
        step("s", rule, agent_ids=names, **more),
    ]
    edges = [after("a", "s", "done", "partial", "skipped"),
             after("b", "s", "done", "partial", "skipped")]  # fmt: skip
    return Run(
        flow(steps, edges, agents=agents, messages=messages, seeds={"fork": [{}]}, sink=None,
             inputs={"zip": "1"})
    )  # fmt: skip


def test_a_start_waits_until_every_upstream_has_delivered():
    run = gathering()
    run.finish("b", sdk(n=4))
    assert run.received("s__start") == []
    run.finish("a", sdk(text="hello"))
    assert run.told("step_source_waiting") == [
        {"step_id": "s", "received_upstream_count": 1, "dispatched": False}
    ]
    (body,) = run.received("s__x")
    assert body["outputs"] == {"notes": "hello", "n": 4}
    assert body["_mn_step"]["upstream_steps"] == ["b", "a"]
    assert body["_mn_step"]["run_inputs"] == {"zip": "1"}
    replays(run)


def test_an_upstream_without_outputs_gives_its_body():
    run = gathering(fields={"who": ref("upstream", "agent_id", step_id="a")})
    run.finish("a")
    run.finish("b")
    assert run.received("s__x")[0]["outputs"] == {"who": "a"}


def test_an_upstream_that_ended_without_sending_is_not_waited_for():
    run = gathering(b={"policy": "skip"})
    run.finish("a", sdk(text="hello"))
    run.fail("b")
    (body,) = run.received("s__x")
    assert body["outputs"] == {"notes": "hello", "n": None}
    replays(run)


@pytest.mark.parametrize("items", [[], ["x", "y"]])
def test_a_start_behind_a_scatter_waits_for_an_instance_if_there_is_one(items):
    fields = {
        "plan": ref("upstream", "agent_id", step_id="plan"),
        "w": ref("upstream", step_id="w"),
    }
    agents = [
        agent("plan", "executor", output_message_type="planned"),
        agent("w", "executor", output_message_type="w_done"),
        source("s", "plan", "w", fields=fields),
        worker("s__x"),
    ]
    messages = [edge("plan", "s__start"), edge("w", "s__start"), edge("s__start", "s__x")]
    steps = [step("plan"), step("w"), step("s", agent_ids=["s__start", "s__x"])]
    edges = [
        after("plan", "w"),
        after("plan", "s"),
        after("w", "s", "done", "skipped"),
    ]
    run = Run(flow(steps, edges, agents=agents, messages=messages, sink=None))
    run.finish("plan", said(("workflow_step_scatter", {"target": "w", "items": items})))
    for number in range(len(items)):
        assert run.received("s__x") == []
        run.finish(f"w[{number}]", sdk(n=number))
    (body,) = run.received("s__x")
    assert body["outputs"] == {"plan": "plan", "w": {"n": 0} if items else None}
    replays(run)


def test_a_start_whose_rule_asks_for_one_does_not_wait_for_the_others():
    run = gathering("one_success")
    run.finish("a", sdk(text="hello"))
    assert run.received("s__x")[0]["outputs"] == {"notes": "hello", "n": None}
    run.finish("b", sdk(n=4))
    assert run.told("step_source_already_dispatched") == [
        {"step_id": "s", "received_upstream_count": 1, "dispatched": True}
    ]
    assert len(run.received("s__x")) == 1


def test_a_trigger_of_the_ledger_brings_what_the_parents_came_to():
    run = gathering("all_done", a={"policy": "continue_partial"}, b={"policy": "continue_partial"})
    run.fail("a")
    run.fail("b")
    assert run.received("s__start")[0]["trigger_rule"] == "all_done"
    assert run.received("s__x")[0]["outputs"] == {"notes": None, "n": None}
    replays(run)


def test_the_same_message_counts_once():
    """Outside of steps nothing else keeps a start from taking a message twice."""
    agents = [agent("one"), agent("two"), source("s", "a", "b"), agent("x")]
    play = Play(spec_of(agents, [edge("s__start", "x")], seeds={"one": [{}]}))
    for _ in range(2):
        play.sent("s__start", {"step_id": "a"}, message_id="m1")
    assert play.told("step_source_waiting") == [
        {"step_id": "s", "received_upstream_count": 1, "dispatched": False}
    ]
    assert play.told("step_source_duplicate_ignored") == []  # the receipt of the first was there
    play.at += 3601
    play.sent("s__start", {"step_id": "a"}, message_id="m1")
    assert len(play.told("step_source_duplicate_ignored")) == 1
    play.sent("s__start", {"step_id": "b"}, message_id="m2")
    play.sent("s__start", {"step_id": "b"}, message_id="m3")
    assert len(play.told("step_source_dispatched")) == 1
    assert len(play.told("step_source_already_dispatched")) == 1
    replays(play)


def test_a_new_attempt_starts_from_nothing():
    run = gathering(max_attempts=2, retry_backoff_ms=0)
    run.finish("a", sdk(text="hello"))
    run.finish("b", sdk(n=4))
    run.fail("s")
    assert run.step("s").attempt_count == 2
    first, second = run.received("s__x")
    assert first["outputs"] == second["outputs"] == {"notes": "hello", "n": 4}
    assert second["_mn_step"]["attempt_id"] == "s:attempt:2"
    assert run.types.count("step_source_dispatched") == 2
    run.crashed()
    run.finish("s", sdk(x=9))
    run.drained()
    assert run.step("s").output["outputs"] == {"out": 9}
    replays(run)


# ---- the end ----


def test_an_end_completes_the_step_and_then_emits():
    run = one_step(outputs={"x": ref("flow_output", "x"), "run": ref("run_input", "zip")})
    agents = [*run.job.spec.agents, agent("after", "aggregator", complete_on_message=True)]
    spec = flow(
        run.job.spec.workflow.steps,
        [],
        agents=agents,
        messages=[*run.job.spec.edges, edge("s__end", "after", "s_completed")],
        seeds=run.job.spec.seeds,
        sink=None,
    )
    run = Run(spec)
    run.finish("s", sdk(x=5))
    expected = {
        "step_id": "s",
        "outputs": {"x": 5, "run": "1010"},
        "artifacts": [],
        "_mn_step": run.received("s__a")[0]["_mn_step"],
    }
    assert run.step("s").output == expected
    assert run.received("after") == [expected]
    order = [
        name
        for name in run.types
        if name in ("step_sink_completed", "workflow_step_completed", "aggregator_received")
    ]
    assert order == ["step_sink_completed", "workflow_step_completed", "aggregator_received"]
    assert run.told("step_sink_completed") == [{"step_id": "s"}]
    replays(run)


def test_an_end_that_misses_what_its_contract_requires_fails_the_attempt():
    run = one_step(
        outputs={"x": ref("flow_output", "x")},
        sink_schema={"required": ["x", "y"]},
        max_attempts=2,
        retry_backoff_ms=0,
    )
    run.finish("s", sdk(x=None))
    (again,) = run.told("workflow_step_attempt_retry_scheduled")
    assert again["reason"] == "step contract is missing required fields: x, y"
    assert run.step("s").attempt_count == 2
    replays(run)


def test_an_end_that_ends_the_run_is_no_step():
    end = sink("s", {"n": ref("flow_output", "n")}, terminal_sink=True, complete_run=True)
    agents = [agent("a"), end]
    play = Play(spec_of(agents, [edge("a", "s__end")], seeds={"a": [{"n": 3}]}))
    assert play.state.status is JobStatus.COMPLETED
    assert play.state.result["output"]["outputs"] == {"n": 3}


def test_an_end_of_no_step_acts_once():
    agents = [agent("a"), sink("s"), agent("x")]
    play = Play(spec_of(agents, [edge("a", "s__end"), edge("s__end", "x")], seeds={"a": [{}, {}]}))
    assert play.types.count("step_sink_completed") == 1
    assert play.told("step_sink_duplicate_ignored") == [{"step_id": "s"}]
    assert len(play.received("x")) == 1
    replays(play)


# ---- joins ----


def parallel(**config):
    """A step whose work forks into two and meets in a join."""
    names = ["s__start", "s__fork", "s__a", "s__b", "s__join", "s__end"]
    agents = [
        source("s"),
        agent("s__fork", emit_type="forked"),
        worker("s__a"),
        worker("s__b"),
        agent(
            "s__join",
            "step_join",
            output_message_type="joined",
            **{"expected_sources": ["s__a", "s__b"], "output_keys": {"s__a": "a", "s__b": "b"},
               **config},
        ),
        sink("s", {"all": ref("flow_output")}),
    ]  # fmt: skip
    messages = [
        edge("s__start", "s__fork"),
        edge("s__fork", "s__a", "forked"),
        edge("s__fork", "s__b", "forked"),
        edge("s__a", "s__join"),
        edge("s__b", "s__join"),
        edge("s__join", "s__end", "joined"),
    ]
    return Run(
        flow(
            [step("s", agent_ids=names, **config.pop("step", {}))],
            [],
            agents=agents,
            messages=messages,
            seeds={"s__start": [{"kwargs": {"q": 1}}]},
            sink=None,
        )
    )


def finish_agent(run, agent_id, outcome=None):
    run.ended(next(one for one in run.out if one.agent_id == agent_id), outcome)


@pytest.mark.parametrize("order", [("s__a", "s__b"), ("s__b", "s__a")])
def test_a_join_hands_on_what_all_have_brought(order):
    run = parallel()
    finish_agent(run, order[0], sdk(who=order[0]))
    assert run.told("step_join_waiting") == [
        {"expected_count": 2, "received_count": 1, "emitted": False}
    ]
    run.crashed()
    finish_agent(run, order[1], sdk(who=order[1]))
    (body,) = run.received("s__end")
    assert body["agent_id"] == "s__join"
    assert body["outputs"] == {"a": {"who": "s__a"}, "b": {"who": "s__b"}}
    assert body["_mn_step"]["attempt_id"] == "s:attempt:1"
    assert run.told("step_join_completed") == [
        {"expected_count": 2, "received_count": 2, "emitted": True}
    ]
    assert run.step("s").output["outputs"] == {"all": body["outputs"]}
    replays(run)


def test_artifacts_of_all_go_on_together():
    run = parallel()
    for name in ("s__a", "s__b"):
        result = {"outputs": {}, "artifacts": [{"id": name}], "metrics": {}, "status": "completed"}
        finish_agent(run, name, succeeded(sdk_result=result))
    both = [{"id": "s__a"}, {"id": "s__b"}]
    assert run.received("s__end")[0]["artifacts"] == both
    assert run.step("s").output["artifacts"] == both


def test_a_join_may_take_the_first_as_it_is():
    run = parallel(completion_mode="first", passthrough=True)
    finish_agent(run, "s__b", sdk(who="b"))
    (body,) = run.received("s__end")
    assert body["agent_id"] == "s__b"
    assert body["outputs"] == {"who": "b"}
    assert run.step("s").output["outputs"] == {"all": {"who": "b"}}
    assert run.out == []  # the step is over, and so is the other's work
    replays(run)


def test_a_join_takes_one_body_of_each_sender():
    agents = [agent("a"), agent("b"), agent("j", "step_join", expected_sources=["a", "b"],
                                            output_message_type="joined"), agent("x")]  # fmt: skip
    edges = [edge("a", "j"), edge("b", "j"), edge("j", "x")]
    play = Play(spec_of(agents, edges, seeds={"a": [{"n": 1}, {"n": 2}]}))
    assert play.told("step_join_duplicate_ignored") == [
        {"expected_count": 2, "received_count": 1, "emitted": False}
    ]
    play.sent("b", {"n": 3})
    (body,) = play.received("x")
    assert body["outputs"] == {"a": {"n": 1}, "b": {"n": 3}}
    play.sent("b", {"n": 4})
    assert play.told("step_join_duplicate_ignored")[-1]["emitted"] is True
    assert len(play.received("x")) == 1
    replays(play)


def test_after_the_first_the_others_are_late():
    agents = [
        agent("a"),
        agent("b"),
        agent("j", "step_join", completion_mode="first", output_message_type="t"),
        agent("x"),
    ]
    edges = [edge("a", "j"), edge("b", "j"), edge("j", "x")]
    play = Play(spec_of(agents, edges, seeds={"a": [{"n": 1}]}))
    play.sent("b", {"n": 2})
    assert [body["outputs"] for body in play.received("x")] == [{"a": {"n": 1}}]
    assert play.told("step_join_duplicate_ignored") == [
        {"expected_count": 0, "received_count": 1, "emitted": True}
    ]
    replays(play)


def test_whom_a_join_does_not_expect_it_does_not_count():
    agents = [agent("a"), agent("b"), agent("j", "step_join", expected_sources=["b"])]
    play = Play(spec_of(agents, [edge("a", "j"), edge("b", "j")], seeds={"a": [{}]}))
    assert play.told("step_join_waiting") == [
        {"expected_count": 1, "received_count": 0, "emitted": False}
    ]


def test_a_join_that_must_not_be_reached_fails_the_attempt():
    run = parallel(fail_on_message=True, failure_reason="bounded loop exhausted")
    finish_agent(run, "s__a", sdk())
    (failure,) = run.told("job_failed")
    assert (failure["reason"], failure["step_id"]) == ("bounded loop exhausted", "s")
    replays(run)


def test_a_join_of_no_step_that_must_not_be_reached_fails_the_job():
    agents = [agent("a"), agent("j", "step_join", fail_on_message=True)]
    play = Play(spec_of(agents, [edge("a", "j")]))
    (failure,) = play.told("job_failed")
    assert (failure["reason"], failure["agent_id"]) == ("step join got a message", "j")


def test_a_lone_join_completes_its_step():
    agents = [agent("a"), agent("b"), agent("j", "step_join", expected_sources=["a", "b"])]
    spec = flow(
        [step("j")],
        [],
        agents=agents,
        messages=[edge("a", "j"), edge("b", "j")],
        seeds={"a": [{"n": 1}], "b": [{"n": 2}]},
        sink=None,
        entrypoints=["a", "b"],
    )
    run = Run(spec)
    assert run.step("j").output["outputs"] == {"a": {"n": 1}, "b": {"n": 2}}


# ---- instances, sizes, views ----


def test_instances_of_one_step_do_not_meet():
    agents = [
        agent("plan", "executor", output_message_type=None),
        source("s", "plan"),
        agent("s__fork"),
        worker("s__a"),
        worker("s__b"),
        agent("s__join", "step_join", expected_sources=["s__a", "s__b"], output_message_type="j"),
        sink("s", {"sum": ref("flow_output")}),
    ]
    messages = [
        edge("s__start", "s__fork"),
        edge("s__fork", "s__a"),
        edge("s__fork", "s__b"),
        edge("s__a", "s__join"),
        edge("s__b", "s__join"),
        edge("s__join", "s__end"),
    ]
    names = [one.agent_id for one in agents[1:]]
    run = Run(
        flow(
            [step("plan"), step("s", agent_ids=names)],
            [after("plan", "s")],
            agents=agents,
            messages=messages,
            sink=None,
        )
    )

    run.finish("plan", said(("workflow_step_scatter", {"target": "s", "items": [1, 2, 3]})))
    count = 0
    while run.out:
        # Now the one, now the other worker: instances pass each other.
        launch = run.out[count % len(run.out)]
        run.ended(launch, sdk(of=launch.workflow["step_id"], by=launch.agent_id))
        count += 1
    assert count == 6
    for number in range(3):
        name = f"s[{number}]"
        outputs = run.step(name).output["outputs"]["sum"]
        assert {key: value["of"] for key, value in outputs.items()} == {"s__a": name, "s__b": name}
    replays(run)


def test_what_large_bodies_keep_is_what_references_ask_for():
    spec = spec_of([source("s", "a", fields={"x": ref("upstream", "deep", "x", step_id="a")}),
                    agent("y")], [edge("s__start", "y")], seeds={"y": [{}]})  # fmt: skip
    job = compile_job(spec)
    assert {"outputs.deep.x", "deep.x", "x", "step_id", "_mn_step", "artifacts"} <= set(
        job.body_paths
    )
    play = Play(spec)
    values = {"step_id": "a", "outputs.deep.x": 6}
    play.sent("s__start", BlobRef("sha256:ab", 99_999, values=values))
    assert play.received("y")[-1]["outputs"] == {"x": 6}
    play = Play(spec)
    large = BlobRef("sha256:ab", 99_999, values={"x": 7, "deep.x": 8})
    play.sent("s__start", {"step_id": "a", "outputs": large})
    assert play.received("y")[-1]["outputs"] == {"x": 8}


def test_what_was_handed_on_weighs_no_more():
    agents = [agent("a"), agent("b"), agent("j", "step_join", expected_sources=["a", "b"])]
    play = Play(spec_of(agents, [edge("a", "j"), edge("b", "j")], seeds={"a": [{"t": "x" * 999}]}))
    assert play.state.kept_bytes > 999
    play.sent("b", {"t": "y" * 999})
    assert 0 < play.state.kept_bytes < 99


def test_run_inputs_that_were_handed_on_weigh_no_more():
    play = Play(spec_of([source("s"), agent("x")], [], seeds={"s__start": [{"t": "x" * 999}]}))
    assert play.types.count("step_source_dispatched") == 1
    assert play.state.kept_bytes < 99
    replays(play)


def test_people_see_what_such_an_agent_has():
    run = parallel()
    finish_agent(run, "s__a", sdk(who="a"))
    views = {view.agent_id: view for view in agent_views(run.job, run.state)}
    (attempt,) = views["s__join"].current_state["attempts"]
    assert attempt["attempt_id"] == "s:attempt:1"
    assert list(attempt["received"]) == ["s__a"]
    assert attempt["done"] is False


def test_steps_that_are_over_are_forgotten_now_and_then():
    agents = [
        agent("plan", "executor", output_message_type=None),
        sink("s"),
    ]
    run = Run(
        flow(
            [step("plan"), step("s", agent_ids=["s__end"])],
            [after("plan", "s")],
            agents=agents,
            messages=[],
            sink=None,
        )
    )

    items = list(range(600))
    run.finish("plan", said(("workflow_step_scatter", {"target": "s", "items": items})))
    run.drained()
    memory = run.memory("s__end")
    assert isinstance(memory, GlueMemory)
    assert len(memory.assemblies) <= 256
    assert memory.weight_bytes == sum(one.weight_bytes for one in memory.assemblies.values())
    assert run.view["complete"]


# ---- whatever comes ----

BODIES = st.recursive(
    st.none() | st.integers(0, 3) | st.text("ab", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["step_id", "outputs", "artifacts", "_mn_step", "input", "kwargs", "attempt_id",
                 "run_inputs", "a", "b"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)  # fmt: skip
FIELDS = st.dictionaries(
    st.sampled_from(["p", "q"]),
    st.builds(
        lambda source, step_id, path: {"$ref": source, "step_id": step_id, "path": path},
        st.sampled_from(["run_input", "upstream", "flow_output", None, 4]),
        st.sampled_from(["a", "b", None]),
        st.lists(st.sampled_from(["a", "outputs", 0]), max_size=2) | st.none(),
    ),
    max_size=2,
)


@given(st.data())
@settings(max_examples=60)
def test_no_body_and_no_config_harms_them(data):
    config = {
        "fields": data.draw(FIELDS),
        "schema": data.draw(st.sampled_from([{}, None, {"required": ["p"]}, 3])),
        "output_message_type": data.draw(st.sampled_from(["out", None])),
    }
    upstreams = data.draw(st.sampled_from([[], ["a"], ["a", "b"], None, [1]]))
    join = {
        "expected_sources": data.draw(st.sampled_from([[], ["a", "b"], None])),
        "completion_mode": data.draw(st.sampled_from(["all", "first", None])),
        "passthrough": data.draw(st.booleans()),
        "output_keys": {"a": data.draw(st.sampled_from(["k", None, 1]))},
        "output_message_type": "out",
    }
    agents = [
        agent("a"),
        agent("b"),
        agent("src", "step_source", step_id="s", required_upstreams=upstreams, **config),
        agent("join", "step_join", **join),
        agent("end", "step_sink", step_id="s", **config),
        agent("x", "aggregator", complete_job=False),
    ]
    edges = [edge(one, two) for one in "ab" for two in ("src", "join", "end")]
    edges += [edge(one, "x") for one in ("src", "join", "end")]
    play = Play(spec_of(agents, edges, seeds={"x": [{}]}))
    for _ in range(data.draw(st.integers(1, 6))):
        play.sent(data.draw(st.sampled_from("ab")), data.draw(BODIES))
    replays(play)


def test_an_emission_inside_the_step_keeps_the_attempt():
    """A worker may send straight to the end; that is the step's message all the same."""
    run = one_step(outputs={"n": ref("flow_output", "n")})
    emissions = [Emission(type="x", to="s__end", body={"n": 1})]
    run.finish("s", succeeded(structured=Structured(emissions=emissions)))
    assert run.step("s").output["outputs"] == {"n": None}
    assert run.told("workflow_step_duplicate_message_ignored")[0]["message_type"] == "x"


def test_a_failed_worker_takes_its_attempt_along():
    run = one_step(max_attempts=2, retry_backoff_ms=0)
    run.finish("s", failed())
    assert [one["attempt"] for one in run.told("workflow_step_attempt_started")] == [1, 2]
    assert len(run.received("s__a")) == 2
