"""A manifest made ready: routes, defaults of each kind, refusals."""

import pytest

from mnedge.engine.compile import (
    CURRENT_REVISION,
    MAX_STATE_BYTES,
    AgentUnsupportedError,
    EngineTooOldError,
    GraphInvalidError,
    compile_job,
)
from mnedge.engine.route import edge_id_of
from mnedge.model.ids import derived_id
from tests.engine.jobs import agent, edge, spec_of


def targets(job, sender, message_type):
    route = job.agents[job.index_of[sender]].route(message_type)
    return [(link.target_id, link.edge_id) for link in route.links]


def test_edges_of_a_type_and_stars_come_in_manifest_order():
    job = compile_job(
        spec_of(
            [agent("a"), agent("b"), agent("c")],
            [
                edge("a", "b", "*", edge_id="1"),
                edge("a", "c", "x", edge_id="2"),
                edge("b", "c", "x", edge_id="other"),
                edge("a", "a", "*", edge_id="3"),
                edge("a", "b", "y", edge_id="4"),
            ],
        )
    )
    assert targets(job, "a", "x") == [("b", "1"), ("c", "2"), ("a", "3")]
    assert targets(job, "a", "y") == [("b", "1"), ("a", "3"), ("b", "4")]
    assert targets(job, "a", "never named") == [("b", "1"), ("a", "3")]
    assert targets(job, "a", "") == [("b", "1"), ("a", "3")]
    assert targets(job, "c", "x") == []


def test_the_prepared_part_of_an_id_gives_the_documented_id():
    job = compile_job(spec_of([agent("a"), agent("b")], [edge("a", "b", "x", edge_id="e 1")]))
    (link,) = job.agents[0].route("x").links
    assert edge_id_of("parent", link.suffix) == derived_id("parent:a:b:0:e 1")


@pytest.mark.parametrize(
    "more,plain",
    [
        ({}, True),
        ({"conditions": {"any": []}}, False),
        ({"routing_mode": "first_match"}, False),
        ({"routing_mode": "all_match"}, False),
    ],
)
def test_a_route_is_plain_without_conditions_and_modes(more, plain):
    job = compile_job(spec_of([agent("a"), agent("b")], [edge("a", "b", "x", **more)]))
    assert job.agents[0].route("x").plain is plain
    assert job.agents[0].is_plain_router is plain


def test_a_router_with_a_target_is_not_plain():
    job = compile_job(spec_of([agent("a", target_node="b"), agent("b")]))
    assert not job.agents[0].is_plain_router


@pytest.mark.parametrize(
    "kind,config,emits",
    [
        ("router", {}, None),
        ("router", {"emit_type": "x"}, "x"),
        ("sensor", {}, "sensor_ready"),
        ("sensor", {"output_message_type": "x"}, "x"),
        ("executor", {}, "executor_result"),
        ("executor", {"output_message_type": None}, None),
        ("executor", {"output_message_type": "x"}, "x"),
        ("aggregator", {}, None),
        ("aggregator", {"output_message_type": ""}, None),
        ("aggregator", {"output_message_type": "x"}, "x"),
    ],
)
def test_what_each_kind_emits(kind, config, emits):
    assert compile_job(spec_of([agent("a", kind, **config)])).agents[0].emits == emits


@pytest.mark.parametrize(
    "kind,config,completes",
    [
        ("aggregator", {}, True),
        ("aggregator", {"output_message_type": None}, False),
        ("aggregator", {"output_message_type": "x"}, False),
        ("aggregator", {"output_message_type": "x", "complete_job": True}, True),
        ("aggregator", {"complete_job": False}, False),
        ("aggregator", {"terminal_sink": True}, False),
        ("aggregator", {"terminal_sink": True, "complete_run": True}, True),
        ("aggregator", {"complete_run": False}, False),
        ("aggregator", {"complete_run": False, "complete_job": True}, True),
        ("executor", {}, False),
        ("executor", {"complete_job": True}, True),
        ("executor", {"terminal_sink": True, "complete_run": True}, True),
        ("sensor", {}, False),
        ("sensor", {"complete_job": "yes"}, True),
    ],
)
def test_who_completes_the_job(kind, config, completes):
    assert compile_job(spec_of([agent("a", kind, **config)])).agents[0].completes is completes


@pytest.mark.parametrize(
    "kind,value,threshold",
    [
        ("aggregator", None, None),
        ("aggregator", 3, 3),
        ("aggregator", "3", 3),
        ("aggregator", " 3 ", 3),
        ("aggregator", "three", None),
        ("aggregator", 0, None),
        ("aggregator", "9" * 5000, 10**18 - 1),
        ("sensor", None, 1),
        ("sensor", 2, 2),
    ],
)
def test_thresholds(kind, value, threshold):
    job = compile_job(spec_of([agent("a", kind, complete_after=value)]))
    assert job.agents[0].threshold == threshold


@pytest.mark.parametrize(
    "config,mode,review",
    [
        ({}, "local_restart", False),
        ({}, "manual_recover", True),
        ({"side_effect": "write"}, "local_restart", True),
        ({"side_effect": "read"}, "local_restart", False),
        ({"side_effect": "none"}, "local_restart", False),
        ({"side_effect": "write", "idempotent": True}, "local_restart", False),
        ({"side_effect": "write", "safe_to_retry": True}, "cluster_recover", False),
        ({"side_effect": "write", "idempotency_key": "k"}, "local_restart", False),
        ({"side_effect": "write", "recovery_idempotency_key": "k"}, "local_restart", False),
    ],
)
def test_whose_lost_launch_a_person_looks_at(config, mode, review):
    spec = spec_of([agent("a", "executor", **config)], policies={"recovery_mode": mode})
    assert compile_job(spec).agents[0].needs_review is review


def test_kinds_that_no_message_moves_are_refused_by_name():
    kind = "service"
    with pytest.raises(AgentUnsupportedError, match=rf"odd \({kind}\)") as caught:
        compile_job(spec_of([agent("a"), agent("odd", kind)]))
    assert caught.value.details == {"agents": ["odd"]}


@pytest.mark.parametrize(
    "spec",
    [
        spec_of([agent("a")], [edge("a", "ghost")]),
        spec_of([agent("a")], [edge("ghost", "a")]),
        spec_of([agent("a")], entrypoints=["ghost"]),
    ],
)
def test_a_graph_with_ghosts_is_refused(spec):
    with pytest.raises(GraphInvalidError, match="there is no agent 'ghost'"):
        compile_job(spec)


def test_a_job_of_a_newer_engine_is_refused():
    with pytest.raises(EngineTooOldError):
        compile_job(spec_of([agent("a")]), revision=CURRENT_REVISION + 1)


def test_a_job_keeps_its_revision():
    assert compile_job(spec_of([agent("a")]), revision=1).revision == 1


def test_references_keep_every_ending_of_every_path_that_is_asked_for():
    condition = {"path": "payload.outputs.score"}
    job = compile_job(spec_of([agent("a")], [edge("a", "a", conditions=condition)]))
    assert job.body_paths == ("agent_id", "outputs.score", "score")


@pytest.mark.parametrize(
    "policies,limit",
    [
        ({}, MAX_STATE_BYTES),
        ({"max_state_bytes": 5}, 5),
        ({"max_state_bytes": "x"}, MAX_STATE_BYTES),
    ],
)
def test_the_limit_of_the_state(policies, limit):
    assert compile_job(spec_of([agent("a")], policies=policies)).max_state_bytes == limit


def test_an_entrypoint_named_twice_is_one():
    job = compile_job(spec_of([agent("a"), agent("b")], entrypoints=["b", "a", "b"]))
    assert job.entrypoints == [1, 0]


@pytest.mark.parametrize(
    "job_type,generation,ends",
    [
        ("batch", "A", True),
        ("service", "A", True),
        ("service", "C", False),
        ("sysbatch", "C", True),
    ],
)
def test_whether_a_completing_agent_ends_the_job(job_type, generation, ends):
    spec = spec_of([agent("a")], job_type=job_type, generation=generation)
    assert compile_job(spec).completes_by_agent is ends
