"""The promises of `apply`: replay, snapshots at any cut, nothing lost, one end, short runs."""

import json
import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mnedge.engine.apply import MAX_HOPS, apply
from mnedge.engine.state import new_state, restore, snapshot
from mnedge.model.codec import decode_fact
from mnedge.model.facts import Continued, Recovered, Submitted, TimerFired
from mnedge.model.states import TERMINAL, JobStatus, Verb
from tests.engine import histories
from tests.engine.histories import History, fingerprint
from tests.engine.jobs import JOB_ID, Play, agent, edge, spec_of
from tests.journals.record import Recorded, everything, journal_of, mixed
from tests.journals.replay import JOURNALS, read, replay, resume

ROOT = Path(__file__).resolve().parent.parent.parent


def replayed(play, *, cut=None):
    """Play the records again, from a snapshot after `cut` of them if given."""
    again = Play(play.job.spec, started=False)
    for number, record in enumerate(play.records, 1):
        commands, events = apply(again.job, again.state, decode_fact(record), number)
        again.steps.append((commands, events))
        if number == cut:
            again.state = restore(again.job, snapshot(again.state))
    return again


# ---- random jobs, random histories ----


@given(st.data())
def test_nothing_is_lost_and_the_state_agrees_with_itself(data):
    with pytest.MonkeyPatch.context() as patch:
        histories.short_runs(patch)
        history = History(data.draw(histories.specs()))
        histories.sound(history.play)
        for _ in range(data.draw(st.integers(0, 25))):
            before = history.play.state.status
            history.step(data.draw)
            play = history.play
            histories.sound(play)
            assert histories.moves(before, play.state.status)
            assert before not in TERMINAL or play.state.status is before
        histories.numbered(history.play)
        histories.final(history.play)


@given(st.data())
def test_a_replay_gives_the_same_state_commands_and_events(data):
    with pytest.MonkeyPatch.context() as patch:
        histories.short_runs(patch)
        history = History(data.draw(histories.specs()))
        for _ in range(data.draw(st.integers(0, 20))):
            history.step(data.draw)
        wanted = fingerprint(history.play)
        assert fingerprint(replayed(history.play)) == wanted
        cut = data.draw(st.integers(1, len(history.play.records)))
        assert fingerprint(replayed(history.play, cut=cut)) == wanted


@given(st.data())
def test_a_fact_applied_twice_is_recognised(data):
    with pytest.MonkeyPatch.context() as patch:
        histories.short_runs(patch)
        history = History(data.draw(histories.specs()))
        for _ in range(data.draw(st.integers(0, 10))):
            history.step(data.draw)
        play = history.play
        before = snapshot(play.state)
        number = data.draw(st.integers(1, len(play.records)))
        assert apply(play.job, play.state, decode_fact(play.records[number - 1]), number) == (
            [],
            [],
        )
        assert snapshot(play.state) == before


# ---- recorded jobs ----


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
def test_a_recorded_job_replays_for_ever(path):
    head, records = read(path)
    digests = replay(head, records)
    assert digests == {name: head[name] for name in digests}
    assert resume(head, records) == head["state"]


def random_journals(folder):
    """Write journals of random jobs and return their paths."""
    paths = []

    @settings(max_examples=15)
    @given(st.data())
    def collect(data):
        history = History(data.draw(histories.specs()))
        for _ in range(12):
            history.step(data.draw)
        assume(len(history.play.events) < 1000)  # a circle of routers fills the disk
        path = folder / f"history_{len(paths)}.journal"
        path.write_text(journal_of(path.stem, Recorded.of(history.play)))
        paths.append(path)

    collect()
    return paths


def test_there_are_recorded_jobs_of_every_kind():
    recorded = {path.stem for path in JOURNALS}
    assert recorded >= set(everything())


def test_another_process_with_another_hash_seed_replays_the_same(tmp_path):
    """The recorded jobs, and some random histories."""
    paths = [*JOURNALS, *random_journals(tmp_path)]
    wanted = [{path.name: replay(*read(path))} for path in paths]
    for hash_seed in ("0", "4711"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.journals.replay", *map(str, paths)],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )
        assert [json.loads(line) for line in done.stdout.splitlines()] == wanted


# ---- time ----


def test_job_time_never_goes_back():
    play = Play(spec_of([agent("w", "executor", startup_delay_ms=500)]), at=1_000_000.0)
    play.give(Continued(at=1_000_000.0 - 86_400))
    assert play.state.at == 1_000_000.0
    play.give(TimerFired(at=3.0, timer_id="startup:w"))
    assert play.launches[0].message.at == 1_000_000.0
    assert play.events[-1].at == 1_000_000.0


def test_a_box_that_boots_in_1970_runs_its_job():
    play = Play(spec_of([agent("r")]), at=0.0)
    play.fired("idle")
    assert play.state.status is JobStatus.COMPLETED


def test_integers_are_moments_too():
    play = Play(spec_of([agent("r")]), started=False)
    apply(play.job, play.state, Submitted(at=5), 1)
    assert isinstance(play.state.at, float)


# ---- bounds ----


def test_one_run_takes_a_bounded_number_of_messages():
    """A circle of routers without end: a cancel gets in between two runs."""
    agents = [agent("a", emit_type="x"), agent("b", emit_type="x")]
    play = Play(spec_of(agents, [edge("a", "b"), edge("b", "a")]))
    assert play.types.count("agent_message_received") == MAX_HOPS
    assert play.state.wants_more
    assert play.timers == {}
    play.asked(Verb.CANCEL)
    assert play.state.status is JobStatus.CANCELLED
    assert not play.state.wants_more


def test_a_continue_with_nothing_left_changes_nothing():
    play = Play(spec_of([agent("w", "executor")]))
    assert play.give(Continued(at=200.0)) == []


def test_what_a_pause_left_in_the_queue_goes_on_afterwards():
    agents = [agent("a", emit_type="x"), agent("b", emit_type="x")]
    play = Play(spec_of(agents, [edge("a", "b"), edge("b", "a")]))
    play.asked(Verb.PAUSE)
    assert not play.state.wants_more
    before = len(play.events)
    play.give(Continued(at=200.0))
    assert len(play.events) == before
    play.asked(Verb.RESUME)
    assert play.state.wants_more
    assert len(play.events) == before + 1 + MAX_HOPS


def fan_in(count):
    """Play a fan-in from the seeds; return the job, its runs and its events."""
    one = agent("s", "aggregator", complete_after=count)
    seeds = {"s": [{"n": n} for n in range(count)]}
    play = Play(spec_of([one], seeds=seeds), started=False)
    runs, told = 1, len(apply(play.job, play.state, Submitted(at=1.0), 1)[1])
    while play.state.wants_more:
        runs += 1
        told += len(apply(play.job, play.state, Continued(at=1.0), runs)[1])
    return play, runs, told


def test_a_fan_in_of_a_hundred_thousand_takes_linear_time():
    count = 100_000
    started = time.perf_counter()
    play, runs, told = fan_in(count)
    elapsed_s = time.perf_counter() - started
    assert play.state.status is JobStatus.COMPLETED
    assert play.state.result["output"]["count"] == count
    assert told == 2 * count + 5 + 3  # two a message, five of the job's life, three of pressure
    assert runs <= count // MAX_HOPS + 1
    assert elapsed_s < 100  # fifty times what it takes: quadratic would be hours


def test_a_fan_in_takes_linear_memory():
    peaks = []
    for count in (2000, 4000):
        tracemalloc.start()
        play, _, _ = fan_in(count)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(snapshot(play.state)) < 200 * count
    assert peaks[1] < 2.2 * peaks[0]
    assert peaks[1] < 4000 * 3000


def test_a_fan_in_through_a_hundred_routers_keeps_every_message():
    names = [f"r{n}" for n in range(100)]
    agents = [agent("a"), *(agent(name) for name in names), agent("s", "aggregator")]
    agents[-1] = agent("s", "aggregator", complete_after=10_000)
    edges = [*(edge("a", name) for name in names), *(edge(name, "s") for name in names)]
    play = Play(spec_of(agents, edges, seeds={"a": [{"n": n} for n in range(100)]}))
    play.drained()
    assert play.state.status is JobStatus.COMPLETED
    assert len(play.memory("s").messages) == 10_000


# ---- messages from outside ----


def test_a_message_from_outside_counts_once():
    play = Play(spec_of([agent("s", "aggregator", complete_job=False)]))
    for _ in range(3):
        play.sent("s", 1, message_id="mine")
    play.sent("s", 1, message_id="other")
    assert len(play.received("s")) == 3


def test_receipts_are_forgotten_after_an_hour():
    play = Play(spec_of([agent("s", "aggregator", complete_job=False)]))
    play.sent("s", 1, message_id="mine")
    play.at += 3601
    play.sent("s", 1, message_id="other")
    assert list(play.state.receipts) == ["other"]
    play.sent("s", 1, message_id="mine")
    assert len(play.received("s")) == 4


# ---- a new owner ----


def test_a_new_owner_launches_again_what_was_lost():
    play = Play(spec_of([agent("w", "executor"), agent("v", "executor")], entrypoints=["v", "w"]))
    lost = play.launches
    play.crashed()
    again = play.launches[2:]
    assert [one.agent_id for one in again] == ["w", "v"]
    assert [one.launch for one in again] == [2, 2]
    assert {one.attempt_id for one in again} == {one.attempt_id for one in lost}
    assert {one.idempotency_key for one in again} == {one.idempotency_key for one in lost}
    assert play.told("job_recovery_started") == [{"node": "there", "reason": "owner restarted"}]
    assert play.told("job_recovered") == [{"status": "running"}]


def test_a_new_owner_goes_on_with_what_is_in_the_queue():
    agents = [agent("a", emit_type="x"), agent("b", emit_type="x")]
    play = Play(spec_of(agents, [edge("a", "b"), edge("b", "a")]))
    play.reread()
    assert play.state.wants_more
    play.give(Recovered(at=200.0))
    assert play.types.count("agent_message_received") == 2 * MAX_HOPS


def test_states_of_two_jobs_share_nothing():
    play = mixed()
    other = new_state(play.job, JOB_ID)
    assert other.queue is not play.state.queue
    assert snapshot(other) == snapshot(new_state(play.job, JOB_ID))
