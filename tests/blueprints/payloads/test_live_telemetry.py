"""The source paces itself and repeats nothing; the peak finder's state follows from the chunks."""

import json
from types import SimpleNamespace

import pytest

REQUEST = {"device_id": "pump-7", "seed": 11, "chunks": 12, "interval_ms": 50}


def noted(action, **content):
    return {"action": action, **content}


CONTEXT = SimpleNamespace(
    emit=lambda kind, body, **options: noted("emit", type=kind, body=body, **options),
    event=lambda name, payload: noted("event", name=name, payload=payload),
    deliver_later=lambda delay_s, kind, body: noted("later", s=delay_s, type=kind, body=body),
)


def message(kind, body):
    return {"envelope": {"type": kind, "correlation_id": "c"}, "headers": {}, "body": body}


def of(action, actions):
    return [found for found in actions if found["action"] == action]


@pytest.fixture
def source(bench):
    return bench("live_telemetry").module_agent("telemetry_source")


@pytest.fixture
def idle(bench, source):
    return source.init(bench("live_telemetry").agents["telemetry_source"])


def opened(source, idle, **asked):
    request = message("telemetry_requested", {**REQUEST, **asked})
    return source.handle_message(request, idle, CONTEXT)


def streamed(source, idle, **asked):
    """Return all chunks of a stream, the pauses between them and the last state."""
    state, actions = opened(source, idle, **asked)
    chunks, pauses = [], []
    while ticks := of("later", actions):
        (tick,) = ticks
        pauses.append(tick["s"])
        state = json.loads(json.dumps(state))
        state, actions = source.handle_message(message("tick", tick["body"]), state, CONTEXT)
        chunks += of("emit", actions)
    return chunks, pauses, state


def test_a_bounded_stream_has_its_chunks_in_order_and_then_falls_silent(source, idle):
    chunks, pauses, state = streamed(source, idle)
    assert [chunk["stream"]["seq"] for chunk in chunks] == list(range(12))
    assert [chunk["stream"]["open"] for chunk in chunks] == [True] + [False] * 11
    assert [chunk["stream"]["close"] for chunk in chunks] == [False] * 11 + [True]
    assert {chunk["stream"]["stream_id"] for chunk in chunks} == {"pump-7-1"}
    assert pauses == [0.0] + [0.05] * 11
    assert (state["status"], state["next_seq"]) == ("closed", 12)


def test_a_chunk_is_compressed_ndjson_of_class_stream(source, idle):
    chunk = streamed(source, idle, chunks=1)[0][0]
    assert chunk["type"] == "telemetry_chunk"
    assert (chunk["class_"], chunk["content_type"]) == ("stream", "application/x-ndjson")
    assert chunk["content_encoding"] == "gzip"
    assert [point["n"] for point in chunk["body"]] == list(range(32))


def test_the_signal_depends_on_the_seed_and_on_nothing_else(bench, source, idle):
    def signal(by, state, **asked):
        return [chunk["body"] for chunk in streamed(by, state, **asked)[0]]

    blueprint = bench("live_telemetry")
    other = blueprint.module_agent("telemetry_source")
    other_idle = other.init(blueprint.agents["telemetry_source"])
    assert signal(source, idle) == signal(other, other_idle)
    assert signal(source, idle) != signal(source, idle, seed=12)


def test_a_stream_without_end_goes_on(source, idle):
    state, actions = opened(source, idle, chunks=0)
    for seq in range(30):
        (tick,) = of("later", actions)
        state, actions = source.handle_message(message("tick", tick["body"]), state, CONTEXT)
        assert of("emit", actions)[0]["stream"] == {
            "stream_id": "pump-7-1",
            "seq": seq,
            "open": seq == 0,
            "close": False,
        }


def test_a_tick_for_a_chunk_that_was_sent_does_nothing(source, idle):
    state, actions = opened(source, idle)
    tick = message("tick", of("later", actions)[0]["body"])
    after, _ = source.handle_message(tick, state, CONTEXT)
    assert source.handle_message(tick, after, CONTEXT) == (after, [])


def test_recovery_asks_for_the_chunk_that_is_due_and_changes_no_state(source, idle):
    state, actions = opened(source, idle)
    recovered, asked = source.recover(state, CONTEXT)
    assert recovered == state
    assert [tick["body"] for tick in asked] == [of("later", actions)[0]["body"]]
    assert source.recover(idle, CONTEXT) == (idle, [])
    closed = streamed(source, idle)[2]
    assert source.recover(closed, CONTEXT) == (closed, [])


def test_a_second_request_is_refused_while_a_stream_is_open(source, idle):
    state, _ = opened(source, idle)
    after, actions = opened(source, state)
    assert after == state
    assert [action["name"] for action in actions] == ["telemetry_request_refused"]


def test_a_request_after_the_end_opens_the_next_stream(source, idle):
    closed = streamed(source, idle)[2]
    chunks = streamed(source, closed, chunks=1)[0]
    assert chunks[0]["stream"]["stream_id"] == "pump-7-2"


def test_a_request_that_makes_no_sense_is_refused(source, idle):
    after, actions = opened(source, idle, chunks="many")
    assert after == idle
    assert [action["name"] for action in actions] == ["telemetry_request_refused"]


def test_the_source_notes_its_launch(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("MNEDGE_LAUNCH_LOG", str(tmp_path / "launches"))
    monkeypatch.setenv("MNEDGE_LAUNCH", "job/telemetry_source/1")
    bench("live_telemetry").module_agent("telemetry_source")
    assert (tmp_path / "launches").read_text() == "job/telemetry_source/1\n"


def analyzed(blueprint, chunk, state, encoding="gzip"):
    body = chunk["body"]
    raw = "".join(json.dumps(point) + "\n" for point in body).encode()
    stream = chunk["stream"]
    return blueprint.run(
        "peak_finder", body, state=state, stream=stream, raw=raw, encoding=encoding
    )


@pytest.fixture
def chunks(source, idle):
    return streamed(source, idle)[0]


def test_twelve_chunks_give_the_state_of_the_specification(bench, chunks):
    blueprint, state, alerts = bench("live_telemetry"), {}, []
    for chunk in chunks:
        ran = analyzed(blueprint, chunk, state)
        assert ran.exit_code == 0, ran.stderr
        state = ran.answer["next_state"]
        alerts += ran.sent
    peaks = [peak["n"] for alert in alerts for peak in alert["body"]["peaks"]]
    assert peaks == [49, 99, 149, 199, 249, 299, 349]
    assert {alert["content_encoding"] for alert in alerts} == {"identity"}
    assert (state["chunks"], state["points"], state["peaks"]) == (12, 384, 7)
    assert (state["missed_chunks"], state["repeated_chunks"]) == (0, 0)
    assert state["checksum"] == 3709722623
    assert state["closed"]
    assert ran.told["telemetry_stream_finished"]["checksum"] == state["checksum"]


def test_a_second_launch_on_the_same_chunk_answers_the_same(bench, chunks):
    blueprint = bench("live_telemetry")
    state = analyzed(blueprint, chunks[0], {}).answer["next_state"]
    first, second = (analyzed(blueprint, chunks[1], state) for _ in range(2))
    assert first.answer == second.answer
    assert first.launches == "job/peak_finder:1/1\n"


def test_compression_makes_no_difference(bench, chunks):
    blueprint = bench("live_telemetry")
    packed, plain = (analyzed(blueprint, chunks[0], {}, how) for how in ("gzip", "identity"))
    assert packed.answer == plain.answer


def test_an_unknown_encoding_fails(bench, chunks):
    ran = analyzed(bench("live_telemetry"), chunks[0], {}, "zstd")
    assert ran.exit_code == 1
    assert "unsupported content_encoding 'zstd'" in ran.stderr


def test_a_missing_and_a_repeated_chunk_are_noticed(bench, chunks):
    blueprint = bench("live_telemetry")
    state = analyzed(blueprint, chunks[0], {}).answer["next_state"]
    gap = analyzed(blueprint, chunks[3], state)
    assert gap.told["telemetry_chunks_missed"] == {"stream_id": "pump-7-1", "seq": 3, "count": 2}
    repeat = analyzed(blueprint, chunks[3], gap.answer["next_state"])
    assert "telemetry_chunk_repeated" in repeat.told
    after = repeat.answer["next_state"]
    assert after == {**gap.answer["next_state"], "repeated_chunks": 1}
    assert (after["missed_chunks"], after["chunks"]) == (2, 2)


def test_a_new_stream_starts_a_new_state(bench, source, idle, chunks):
    blueprint = bench("live_telemetry")
    state = analyzed(blueprint, chunks[0], {}).answer["next_state"]
    other = {**chunks[0], "stream": {**chunks[0]["stream"], "stream_id": "pump-7-2"}}
    assert analyzed(blueprint, other, state).answer["next_state"] == {
        **state,
        "stream_id": "pump-7-2",
    }


def test_a_lasting_rise_is_taken_for_a_new_level_after_a_while(bench):
    blueprint = bench("live_telemetry")
    values = [100] * 20 + [2000] * 300
    points = [{"n": n, "value": value} for n, value in enumerate(values)]
    chunk = {"body": points, "stream": {"stream_id": "s", "seq": 0}}
    state = analyzed(blueprint, chunk, {}).answer["next_state"]
    assert 5 < state["peaks"] < 60
    assert abs(state["baseline"] // 1024 - 2000) < 20
