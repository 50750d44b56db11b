"""Router, sensor, aggregator: every rule of theirs."""

import pytest

from mnedge.engine.state import AggregatorMemory, snapshot
from mnedge.model.body import BlobRef, Gathered, filled
from mnedge.model.facts import Continued
from mnedge.model.states import JobStatus
from tests.engine.jobs import JOB_ID, Play, agent, edge, spec_of


def gathering(*bodies, **config):
    """An aggregator that gets these bodies, with a sink that shows what it sends on."""
    agents = [agent("s", "aggregator", **config), agent("sink", "aggregator", complete_job=False)]
    seeds = {"s": [{"body": body} for body in bodies]}
    return Play(spec_of(agents, [edge("s", "sink")], seeds=seeds))


# ---- router ----


@pytest.mark.parametrize("config,emitted", [({}, "init"), ({"emit_type": "go"}, "go")])
def test_a_router_passes_on(config, emitted):
    play = Play(
        spec_of([agent("a", **config), agent("b")], [edge("a", "b")], seeds={"a": [{"n": 1}]})
    )
    (message,) = [event.payload for event in play.events if event.agent_id == "b"]
    assert (message.type, message.body) == (emitted, {"n": 1})


def test_a_router_may_name_its_target():
    play = Play(spec_of([agent("a", target_node="b"), agent("b"), agent("c")], [edge("a", "c")]))
    assert play.received("b") == [{}]
    assert play.received("c") == []


def test_the_fast_path_and_its_plain_twin_agree():
    """A condition that always holds sends a router the slow way: same messages, same order."""
    agents = [agent(name) for name in "abcd"]
    pairs = [("a", "b"), ("a", "c"), ("b", "d"), ("d", "a"), ("d", "c")]
    seeds = {"a": [{"n": n} for n in range(3)]}

    def messages(conditions):
        edges = [edge(one, two, conditions=conditions) for one, two in pairs]
        play = Play(spec_of(agents, edges, seeds=seeds))
        for _ in range(2):
            play.give(Continued(at=play.at))
        taken = [event for event in play.events if event.type == "agent_message_received"]
        return [event.payload for event in taken]

    fast, slow = messages({}), messages({"all": []})
    assert len(fast) == 30_000
    assert fast == slow


# ---- sensor ----


def test_a_sensor_counts_and_passes_on():
    agents = [agent("s", "sensor"), agent("b", "aggregator", complete_job=False)]
    seed = {"envelope": {"class": "stream"}, "body": None, "headers": {"h": 1}}
    play = Play(spec_of(agents, [edge("s", "b")], seeds={"s": [seed, {"body": 5}]}))
    assert [one["count"] for one in play.told("sensor_observed")] == [1, 2]
    first, second = [e.payload for e in play.events if e.agent_id == "b" and e.type[:6] == "agent_"]
    assert (first.type, first.class_, first.body, first.headers) == (
        "sensor_ready",
        "event",
        {},
        {"h": 1},
    )
    assert second.body == 5


@pytest.mark.parametrize(
    "config,count",
    [
        ({"complete_job": True}, 1),
        ({"complete_job": True, "complete_after": 3}, 3),
        ({"terminal_sink": True, "complete_run": True, "complete_after": 2}, 2),
    ],
)
def test_a_sensor_may_complete_the_job(config, count):
    seeds = {"s": [{"n": n} for n in range(5)]}
    play = Play(spec_of([agent("s", "sensor", **config)], seeds=seeds))
    output = {"count": count, "last_message": {"n": count - 1}}
    assert play.finished.result == {"agent_id": "s", "output": output}
    assert len(play.told("sensor_observed")) == count


def test_a_sensor_without_permission_completes_nothing():
    play = Play(spec_of([agent("s", "sensor")], seeds={"s": [{}, {}]}))
    assert play.finished is None


# ---- aggregator ----


@pytest.mark.parametrize(
    "config,fired",
    [
        ({"complete_on_message": True}, [1, 2, 3, 4]),
        ({"complete_after": 3}, [3, 4]),
        ({"complete_after": "2"}, [2, 3, 4]),
        ({"complete_after": 9}, []),
        ({}, []),
        ({"complete_on_message": True, "complete_after": 9}, [1, 2, 3, 4]),
    ],
)
def test_an_aggregator_fires_at_its_threshold_and_at_every_message_after(config, fired):
    play = gathering(1, 2, 3, 4, output_message_type="all", **config)
    assert [body["count"] for body in play.received("sink")] == fired
    assert [one["count"] for one in play.told("aggregator_received")][:4] == [1, 2, 3, 4] or fired
    for body in play.received("sink"):
        count = body["count"]
        assert filled(body, {}) == {
            "messages": [1, 2, 3, 4][:count],
            "count": count,
            "last_message": count,
        }


def test_an_aggregate_has_its_headers_and_class():
    play = gathering(1, complete_on_message=True, output_message_type="all")
    (message,) = [
        event.payload
        for event in play.events
        if event.agent_id == "sink" and event.type == "agent_message_received"
    ]
    assert (message.class_, message.type) == ("event", "all")
    assert message.headers == {
        "schema_ref": "com.mirrorneuron.aggregator.result",
        "schema_version": "1.0.0",
    }


def test_null_counts_as_an_empty_object():
    play = gathering(None, complete_on_message=True)
    assert play.finished.result["output"]["last_message"] == {}


def test_who_answered_once_is_not_heard_again():
    bodies = [{"agent_id": "w1"}, {"agent_id": "w2"}, {"agent_id": "w1", "n": 2}, {"agent_id": 5}]
    play = gathering(*bodies, {"agent_id": 5}, complete_job=False)
    assert play.told("aggregator_duplicate_ignored") == [{"agent_id": "w1"}]
    assert play.memory("s").messages == [bodies[0], bodies[1], bodies[3], bodies[3]]
    assert list(play.memory("s").seen) == ["w1", "w2"]


def test_duplicates_are_seen_through_references():
    play = Play(spec_of([agent("s", "aggregator", complete_job=False), agent("x", "executor")]))
    for number in range(2):
        play.sent("s", BlobRef(f"sha256:{number}", 70_000, values={"agent_id": "w1"}))
    assert play.told("aggregator_duplicate_ignored") == [{"agent_id": "w1"}]


def test_completion_follows_the_emission():
    play = gathering(1, complete_on_message=True, complete_job=True, output_message_type="all")
    assert play.state.status is JobStatus.COMPLETED
    assert play.types[-1] == "job_completed"
    assert play.received("sink") == []  # delivered, but the job was over before its turn


def test_after_completion_nothing_moves():
    play = gathering(1, 2, 3, complete_on_message=True)
    assert play.state.status is JobStatus.COMPLETED
    assert len(play.told("aggregator_received")) == 1
    assert play.types.count("job_completed") == 1


def test_firing_again_and_again_stays_linear():
    """Each firing sends a view of the buffer, not a copy: twice the messages, twice the state."""

    def size(count):
        bodies = [{"agent_id": f"w{n}", "text": "x" * 50} for n in range(count)]
        play = gathering(*bodies, complete_on_message=True, output_message_type="all")
        play.drained()
        assert len(play.received("sink")) == count
        view = play.received("sink")[-1]["messages"]
        assert isinstance(view, Gathered)
        assert view.buffer is play.memory("s").messages
        return len(snapshot(play.state))

    small, large = size(1000), size(2000)
    assert large < 2.2 * small


def test_a_view_finds_its_buffer_again_after_a_restart():
    play = gathering(1, 2, complete_on_message=True, output_message_type="all")
    play.reread()
    sink = play.memory("sink")
    assert isinstance(sink, AggregatorMemory)
    assert [filled(body["messages"], {}) for body in sink.messages] == [[1], [1, 2]]
    assert sink.messages[0]["messages"].buffer is play.memory("s").messages


def test_an_aggregator_that_feeds_itself_is_stopped_with_a_dead_letter():
    """Each round doubles what the aggregate would take written out."""
    one = agent("s", "aggregator", complete_on_message=True, output_message_type="again")
    play = Play(spec_of([one], [edge("s", "s")], policies={"max_state_bytes": 1 << 20}))
    play.drained()
    (letter,) = play.told("dead_letter")
    assert "the aggregate of s would take" in letter["reason"]
    assert len(play.received("s")) < 40
    assert play.state.status is JobStatus.RUNNING


def test_an_aggregate_that_nobody_could_read_fails_the_job_by_name():
    agents = [
        agent("s", "aggregator", complete_on_message=True, output_message_type="again"),
        agent("end", "aggregator", complete_after=30),
    ]
    edges = [edge("s", "s"), *(edge("s", "end", edge_id=f"{n}") for n in range(3))]
    play = Play(spec_of(agents, edges, policies={"max_state_bytes": 1 << 20}))
    play.drained()
    assert play.state.status is JobStatus.FAILED
    assert play.finished.error["code"] == "job.aggregate_too_large"
    assert play.finished.result["agent_id"] == "end"


def test_an_aggregator_tells_what_it_keeps():
    play = gathering(*range(5), complete_job=False)
    assert play.state.kept_bytes == play.memory("s").weight_bytes == 5 * 9
    assert play.state.job_id == JOB_ID
