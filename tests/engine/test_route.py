"""Emissions along edges, places in mailboxes, who waits for whom, dead letters."""

import pytest

from mnedge.engine.route import MAX_HOPS_OF_MESSAGE, edge_id_of
from mnedge.model.ids import derived_id
from tests.engine.jobs import Play, agent, edge, spec_of

ROUTES = ("route_evaluated", "route_selected", "route_not_matched")


def fan(*targets, **more):
    """A router `a` with one edge of type x to each target (a keyword gives the edge more)."""
    agents = [agent("a", emit_type="x"), *(agent(name) for name in targets)]
    edges = [edge("a", name, "x", edge_id=f"to_{name}", **more.get(name, {})) for name in targets]
    return spec_of(agents, edges, seeds={"a": [{"n": 1}]})


def test_an_emission_takes_every_matching_edge_in_manifest_order():
    play = Play(fan("d", "b", "c"))
    taken = [event.agent_id for event in play.events if event.type == "agent_message_received"]
    assert taken == ["a", "d", "b", "c"]
    assert not set(play.types) & set(ROUTES)


def test_no_matching_edge_is_silence():
    play = Play(spec_of([agent("a", emit_type="y"), agent("b")], [edge("a", "b", "x")]))
    assert play.received("b") == []
    assert "dead_letter" not in play.types


def test_a_derived_message_inherits_what_the_contract_says():
    seed = {
        "envelope": {
            "message_id": "m",
            "class": "stream",
            "correlation_id": "c",
            "content_type": "application/x-ndjson",
            "content_encoding": "gzip",
            "attempt": 4,
            "priority": 7,
            "ttl_ms": 9,
        },
        "headers": {"h": 1},
        "body": "text",
        "artifacts": [1],
        "stream": {"id": 2},
    }
    play = Play(
        spec_of([agent("a", emit_type="x"), agent("b")], [edge("a", "b")], seeds={"a": [seed]})
    )
    got = next(event.payload for event in play.events if event.agent_id == "b")
    assert got.message_id == derived_id("m:a:b:0:a__*__b") == edge_id_of("m", b":a:b:0:a__*__b")
    assert (got.sender, got.to, got.type, got.class_) == ("a", "b", "x", "stream")
    assert (got.correlation_id, got.causation_id) == ("c", "m")
    assert (got.content_type, got.content_encoding) == ("application/x-ndjson", "gzip")
    assert (got.headers, got.artifacts, got.stream, got.body) == ({"h": 1}, [1], {"id": 2}, "text")
    assert (got.attempt, got.priority, got.ttl_ms, got.hops) == (1, 100, None, 1)


# ---- conditions and modes ----

N_IS_1 = {"path": "payload.n", "value": 1}
NEVER = {"any": []}


@pytest.mark.parametrize(
    "b,c,d,taken",
    [
        ({"conditions": N_IS_1}, {"conditions": NEVER}, {}, ["b", "d"]),
        ({"conditions": NEVER}, {"conditions": NEVER}, {"conditions": NEVER}, []),
        ({"routing_mode": "first_match"}, {}, {}, ["b"]),
        ({"conditions": NEVER}, {"routing_mode": "first_match"}, {}, ["c"]),
        ({}, {"conditions": NEVER, "routing_mode": "first_match"}, {}, ["b"]),
        ({"routing_mode": "all_match"}, {}, {"conditions": N_IS_1}, ["b", "c", "d"]),
    ],
)
def test_modes_and_conditions(b, c, d, taken):
    play = Play(fan("b", "c", "d", b=b, c=c, d=d))
    assert [name for name in "bcd" if play.received(name)] == taken
    evaluated = play.told("route_evaluated")
    assert [one["to"] for one in evaluated] == ["b", "c", "d"]
    assert [one["to"] for one in play.told("route_selected")] == taken
    assert len(play.told("route_not_matched")) == (0 if taken else 1)


def test_route_events_say_what_was_asked():
    play = Play(fan("b", b={"conditions": NEVER}))
    assert play.told("route_evaluated") == [
        {
            "edge_id": "to_b",
            "from": "a",
            "to": "b",
            "message_type": "x",
            "routing_mode": "broadcast",
            "matched": False,
        }
    ]
    assert play.told("route_not_matched") == [
        {"from": "a", "message_type": "x", "candidate_count": 1}
    ]


def test_a_condition_may_ask_for_the_agents_state():
    counted = {"path": "agent_state.forwarded", "op": ">", "value": 1}
    play = Play(
        spec_of(
            [agent("a"), agent("b")],
            [edge("a", "b", conditions=counted)],
            seeds={"a": [{"n": n} for n in range(3)]},
        )
    )
    assert play.received("b") == [{"n": 1}, {"n": 2}]


# ---- dead letters ----


def test_a_message_for_nobody_is_a_dead_letter_at_once():
    play = Play(spec_of([agent("a", target_node="ghost")]))
    (letter,) = play.told("dead_letter")
    assert letter["agent_id"] == "ghost"
    assert letter["reason"] == "agent ghost is not part of the job"
    assert letter["message"]["envelope"]["to"] == "ghost"
    assert letter["message"]["envelope"]["message_id"] == letter["message_id"]


def test_a_message_from_outside_for_nobody_is_a_dead_letter():
    play = Play(spec_of([agent("a", "executor")]))
    play.sent("ghost")
    play.sent("")
    assert [one["agent_id"] for one in play.told("dead_letter")] == ["ghost", None]


@pytest.mark.parametrize("conditions", [{}, N_IS_1], ids=["plain", "conditional"])
def test_a_circle_of_routers_ends_in_a_dead_letter(conditions):
    agents = [agent("a", emit_type="x"), agent("b", emit_type="x")]
    edges = [edge("a", "b", "x", conditions=conditions), edge("b", "a", "x")]
    play = Play(spec_of(agents, edges, seeds={"a": [{"n": 1}]}))
    assert play.state.wants_more
    assert play.drained() == MAX_HOPS_OF_MESSAGE // 10_000
    (letter,) = play.told("dead_letter")
    assert letter["reason"] == "more than 100000 hops"
    assert play.types.count("agent_message_received") == MAX_HOPS_OF_MESSAGE + 1
    assert play.state.queued_bytes == 0


def test_a_worker_in_the_circle_begins_a_new_chain():
    play = Play(spec_of([agent("w", "executor"), agent("r")], [edge("w", "r"), edge("r", "w")]))
    for _ in range(5):
        play.ended()
    assert play.launches[-1].message.hops == 2


# ---- full mailboxes ----


def slow(bound=3, **more):
    """A source router that feeds a worker with a small mailbox."""
    worker = agent("w", "executor", max_queue_depth=bound, **more)
    return spec_of([agent("a", emit_type="x"), worker], [edge("a", "w", "x")])


def test_senders_hold_and_nothing_is_lost():
    spec = slow()
    play = Play(spec)
    for number in range(20):
        play.sent("a", {"n": number})
    target, source = play.state.agents[1], play.state.agents[0]
    assert target.depth == 3
    assert len(target.held) == 1
    assert target.outside is None
    assert source.holding == 1
    assert source.depth == 16
    while play.launches[-1].attempt_id != getattr(play.launches, "last", None):
        before = len(play.launches)
        play.ended()
        if len(play.launches) == before:
            break
    assert [one.message.body for one in play.launches] == [{}, *({"n": n} for n in range(20))]
    assert target.held is None
    assert source.holding == 0
    assert play.state.queued_bytes == 0


def test_pressure_is_told_only_when_it_changes():
    play = Play(slow())
    for number in range(8):
        play.sent("a", {"n": number})
    for _ in range(9):
        play.ended()
    states = [(one["status"], one["queue_depth"]) for one in play.told("backpressure_state")]
    assert states == [("pressured", 2), ("saturated", 3), ("pressured", 2), ("normal", 1)]
    assert play.told("backpressure_state")[0]["agent_id"] == "w"


def test_a_stream_message_is_dropped_with_a_signal():
    play = Play(slow(bound=1))
    for number in range(3):
        play.sent("a", {"n": number}, **{"class": "stream"})
    signals = play.told("backpressure_signal")
    assert len(signals) == 2
    assert signals[0]["reason"] == "backpressure"
    assert signals[0]["pressure"]["status"] == "saturated"
    assert (signals[0]["from"], signals[0]["to"], signals[0]["message_type"]) == ("a", "w", "x")
    assert signals[0]["retry_after_ms"] == 250
    assert signals[0]["dropped"] is True
    assert play.state.holds == 0


def test_blocking_holds_stream_messages_too():
    play = Play(slow(bound=1, drop_policy="block"))
    for number in range(3):
        play.sent("a", {"n": number}, **{"class": "stream"})
    for _ in range(4):
        play.ended()
    assert not play.told("backpressure_signal")
    assert [one.message.body for one in play.launches][1:] == [{"n": n} for n in range(3)]


def test_messages_from_outside_wait_outside():
    play = Play(spec_of([agent("w", "executor", max_queue_depth=2)]))
    for number in range(6):
        play.sent("w", {"n": number})
    assert play.state.agents[0].depth == 2
    assert play.state.holds == 0
    for _ in range(7):
        play.ended()
    assert [one.message.body for one in play.launches] == [{}, *({"n": n} for n in range(6))]


def test_seeds_wait_outside_and_come_before_later_messages():
    seeds = [{"n": n} for n in range(10)]
    play = Play(spec_of([agent("w", "executor", max_queue_depth=2)], seeds={"w": seeds}))
    play.sent("w", {"n": "late"})
    assert play.state.agents[0].seeds_left == 7
    for _ in range(11):
        play.ended()
    assert [one.message.body for one in play.launches] == [*seeds, {"n": "late"}]
    assert len({one.message.message_id for one in play.launches}) == 11


def test_a_holder_takes_nothing_until_its_message_has_a_place():
    agents = [
        agent("a", emit_type="x"),
        agent("w", "executor", max_queue_depth=1),
        agent("s", "aggregator", output_message_type=None),
    ]
    play = Play(spec_of(agents, [edge("a", "w", "x"), edge("a", "s", "x")]))
    for number in range(4):
        play.sent("a", {"n": number})
    assert play.received("s") == [{}, {"n": 0}, {"n": 1}]
    play.ended()
    assert play.received("s") == [{}, {"n": 0}, {"n": 1}, {"n": 2}]
    assert play.state.agents[0].holding == 1


def test_only_what_has_no_place_is_held():
    """The other targets of one emission get their message at once."""
    agents = [agent("a"), agent("w", "executor", max_queue_depth=1), agent("s", "aggregator")]
    agents[2] = agent("s", "aggregator", output_message_type=None)
    play = Play(spec_of(agents, [edge("a", "w"), edge("a", "s")], seeds={"a": [{}, {}, {}]}))
    assert len(play.received("s")) == 3
    assert play.state.agents[0].holding == 1
