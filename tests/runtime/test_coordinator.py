"""One job, carried by the real coordinator on the virtual clock."""

import json
import resource

import msgspec
import pytest
import trio

from mnedge.engine.apply import apply
from mnedge.errors import UnavailableError
from mnedge.model.codec import decode_fact
from mnedge.model.facts import (
    AttemptEnded,
    Continued,
    Emission,
    Note,
    Noted,
    Outcome,
    Structured,
    Submitted,
)
from mnedge.model.records import OperatorRequest
from mnedge.model.states import AgentKind, JobStatus, OutcomeStatus, Verb
from mnedge.runtime import jobs
from mnedge.runtime.answers import dispose, respond
from mnedge.runtime.publisher import AT_ONCE
from mnedge.runtime.submission import submit_spec
from mnedge.runtime.view import job_view
from mnedge.store.runs.folder import RunFolder
from tests.runtime.rig import (
    EPOCH,
    ScriptedExecutor,
    a_rig,
    a_spec,
    agent,
    edge,
    gated,
    lines,
    now,
    numbers,
    pipeline,
    submitted,
    succeeded,
    two_steps,
)


async def test_pause_resume_and_cancel_reach_the_owner_through_the_store(tmp_path, autojump_clock):
    async def slow(command):
        await trio.sleep(10)
        return succeeded()

    async with a_rig(tmp_path) as rig, rig.host() as host:
        rig.executor.work["worker"] = slow
        await submitted(rig, pipeline())
        await host.start_job("job-1")
        await trio.sleep(1)
        request = await jobs.ask(rig.store, "job-1", Verb.PAUSE, now=now)
        assert (await jobs.settled(rig.store, request, timeout_s=5)).status is JobStatus.PAUSED
        await trio.sleep(30)  # the worker answers meanwhile; nothing after it may move
        assert (await jobs.read_job(rig.store, "job-1")).status is JobStatus.PAUSED
        with pytest.raises(jobs.JobStatusError, match="job is not running"):
            await jobs.ask(rig.store, "job-1", Verb.PAUSE, now=now)
        request = await jobs.ask(rig.store, "job-1", Verb.RESUME, now=now)
        record = await jobs.settled(rig.store, request, timeout_s=5)
        assert record.status in {JobStatus.RUNNING, JobStatus.COMPLETED}
        assert (await host.finished("job-1")).status is JobStatus.COMPLETED
        assert await jobs.waiting_asks(rig.store, "job-1") == []


async def test_cancel_stops_what_runs_and_is_final(tmp_path, autojump_clock):
    async def hang(command):
        await trio.sleep_forever()

    async with a_rig(tmp_path) as rig, rig.host() as host:
        rig.executor.work["worker"] = hang
        await submitted(rig, pipeline())
        await host.start_job("job-1")
        await trio.sleep(1)
        request = await jobs.ask(rig.store, "job-1", Verb.CANCEL, now=now, by="ada")
        record = await jobs.settled(rig.store, request, timeout_s=5)
        assert record.status is JobStatus.CANCELLED
        assert len(rig.executor.cancelled) == 1
        with pytest.raises(jobs.JobStatusError, match="already in a terminal state"):
            await jobs.ask(rig.store, "job-1", Verb.CANCEL, now=now)


async def test_a_cancel_that_nobody_heard_is_obeyed_before_anything_is_launched_again(
    tmp_path, autojump_clock
):
    async def hang(command):
        await trio.sleep_forever()

    async with a_rig(tmp_path) as rig:
        rig.executor.work["worker"] = hang
        async with trio.open_nursery() as nursery, rig.host() as host:
            await submitted(rig, pipeline())
            await host.start_job("job-1")
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        await jobs.ask(rig.store, "job-1", Verb.CANCEL, now=now)
        rig.executor = ScriptedExecutor()
        async with rig.host() as host:
            await host.adopt()
            assert (await host.finished("job-1")).status is JobStatus.CANCELLED
        assert rig.executor.orders == []


async def test_a_fact_that_cannot_be_applied_faults_that_job_and_no_other(tmp_path, autojump_clock):
    broken = {"armed": True}

    def poisoned(job, state, fact, seq):
        if broken["armed"] and state.job_id == "job-1" and isinstance(fact, AttemptEnded):
            state.status = JobStatus.CANCELLED  # half-done work that must not be seen
            raise ZeroDivisionError("a mistake in this program")
        return apply(job, state, fact, seq)

    async with a_rig(tmp_path, apply=poisoned) as rig:
        async with rig.host() as host:
            await submitted(rig, pipeline(), "job-1")
            await submitted(rig, pipeline(), "job-2")
            await host.start_job("job-1")
            await host.start_job("job-2")
            record = await host.finished("job-1")
            assert (await host.finished("job-2")).status is JobStatus.COMPLETED
        assert record.status is JobStatus.FAULTED
        assert record.fault["fact_seq"] == 2
        assert "ZeroDivisionError" in record.fault["error"]

        async with rig.host() as host:
            assert await host.adopt() == []  # a faulted job waits for an operator
            broken["armed"] = False
            await host.start_job("job-1")
            record = await host.finished("job-1")
        assert record.status is JobStatus.COMPLETED
        assert record.fault is None
        assert numbers(rig, "job-1") == list(range(1, record.events + 1))


async def test_a_failing_worker_fails_the_job_with_its_reason(tmp_path, autojump_clock):
    async def fail(command):
        return Outcome(
            status=OutcomeStatus.FAILED,
            error={"exit_code": 23, "stdout": "", "stderr": "no such gauge", "attempts": 1},
        )

    async with a_rig(tmp_path) as rig, rig.host() as host:
        rig.executor.work["worker"] = fail
        await submitted(rig, pipeline())
        await host.start_job("job-1")
        record = await host.finished("job-1")
    assert record.status is JobStatus.FAILED
    assert record.error["schema_version"] == "mn.error.v1"
    assert lines(rig, "job-1", "errors.jsonl")
    run = json.loads((rig.config.runs_root / "job-1" / "run.json").read_text())
    assert run["status"] == "failed"


async def test_a_full_disk_holds_the_job_up_and_loses_nothing(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        journal = rig.store.journal
        append, refusals = journal.append, []

        async def full(*args, **kwargs):
            if trio.current_time() < 60:
                refusals.append(args)
                raise UnavailableError("no space left on device")
            await append(*args, **kwargs)

        journal.append = full
        await submitted(rig, pipeline())
        await host.start_job("job-1")
        await trio.sleep(30)
        assert (await jobs.read_job(rig.store, "job-1")).status is JobStatus.PENDING
        assert not rig.executor.orders
        record = await host.finished("job-1")
    assert len(refusals) > 10
    assert record.status is JobStatus.COMPLETED
    assert numbers(rig, "job-1") == list(range(1, record.events + 1))


async def test_a_batch_that_was_kept_although_an_error_came_is_acted_on(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        journal = rig.store.journal
        append, lost = journal.append, []

        async def deaf(*args, **more):
            await append(*args, **more)
            if len(lost) < 2:
                lost.append(args)
                raise UnavailableError("input/output error")

        journal.append = deaf
        await submitted(rig, pipeline())
        await host.start_job("job-1")
        record = await host.finished("job-1")
    assert record.status is JobStatus.COMPLETED
    assert [order.launch for order in rig.executor.orders] == [1]
    assert numbers(rig, "job-1") == list(range(1, record.events + 1))


async def test_what_a_new_owner_wrote_meanwhile_is_not_taken_for_ours(tmp_path, autojump_clock):
    """It was refused by a full disk, stood still, and counted as dead; then it goes on."""

    async def slow(command):
        await trio.sleep(50)
        return succeeded()

    async with a_rig(tmp_path) as rig:
        other = msgspec.structs.replace(
            rig, store=rig.store.beside("other"), executor=ScriptedExecutor({"worker": slow})
        )
        journal = rig.store.journal
        append = journal.append

        async def full(*args, **more):
            if trio.current_time() < 60:
                raise UnavailableError("no space left on device")
            await append(*args, **more)

        journal.append = full
        await submitted(rig, pipeline())
        async with rig.host() as host, other.host() as newer:
            await host.start_job("job-1")
            await trio.sleep(5)
            rig.store.perish(rig.store.claims._holder)
            await newer.start_job("job-1")
            await newer.finished("job-1")
            await trio.sleep(100)
            assert not host.owns("job-1")
    assert not rig.executor.orders
    assert [order.launch for order in other.executor.orders] == [1]


async def test_the_time_of_an_attempt_begins_when_the_disk_takes_it(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        journal = rig.store.journal
        append = journal.append

        async def full_at_first(*args, **more):
            if trio.current_time() < 40:
                raise UnavailableError("no space left on device")
            await append(*args, **more)

        await submitted(rig, two_steps(fetch={"timeout_s": 25}))
        journal.append = full_at_first
        async with rig.host() as host:
            await host.start_job("job-1")
            assert (await host.finished("job-1")).status is JobStatus.COMPLETED
    assert [order.workflow["attempt"] for order in rig.executor.orders] == [1, 1]
    assert all(order.workflow["deadline_at"] > EPOCH + 40 for order in rig.executor.orders)


async def test_a_clock_set_back_a_day_changes_no_order_and_no_deadline(tmp_path, autojump_clock):
    steps = [0.0]

    def stepped():
        return now() + steps[0]

    async def slow(command):
        await trio.sleep(10)
        steps[0] = -86_400.0
        return succeeded()

    async with a_rig(tmp_path, now=stepped) as rig, rig.host() as host:
        rig.executor.work["worker"] = slow
        await submitted(rig, pipeline())
        await host.start_job("job-1")
        record = await host.finished("job-1")
    assert record.status is JobStatus.COMPLETED
    assert record.ended_at >= record.started_at >= record.submitted_at
    stamps = [line["ts"] for line in lines(rig, "job-1") if "seq" in line]
    assert stamps == sorted(stamps)


async def test_a_machine_that_booted_in_1970_goes_on_from_the_last_fact(tmp_path, autojump_clock):
    async def hang(command):
        await trio.sleep_forever()

    async with a_rig(tmp_path) as rig:
        rig.executor.work["worker"] = hang
        async with trio.open_nursery() as nursery, rig.host() as host:
            await submitted(rig, pipeline())
            await host.start_job("job-1")
            await trio.sleep(5)
            nursery.cancel_scope.cancel()
        rig.executor = ScriptedExecutor()
        rig.now = trio.current_time  # 1970, plus a little
        async with rig.host() as host:
            await host.adopt()
            record = await host.finished("job-1")
    assert record.status is JobStatus.COMPLETED
    assert record.ended_at >= EPOCH
    stamps = [line["ts"] for line in lines(rig, "job-1") if "seq" in line]
    assert stamps == sorted(stamps)


def a_ring():
    return a_spec([agent("a"), agent("b")], [edge("a", "b"), edge("b", "a")], {"a": [{"n": 1}]})


async def test_a_router_cycle_ends_with_a_dead_letter(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        await submitted(rig, a_ring())
        await host.start_job("job-1")
        record = await host.finished("job-1")
        kept = [seq for seq, _ in await rig.store.journal.read("job-1")]
    assert record.status is JobStatus.COMPLETED
    assert len(kept) > 10  # one `Continued` for each ten thousand of a hundred thousand hops
    assert [line["type"] for line in lines(rig, "job-1")].count("dead_letter") == 1


async def test_a_router_cycle_is_cancelled_between_two_runs_of_apply(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        await submitted(rig, a_ring())
        await host.start_job("job-1")
        while not await rig.store.journal.read("job-1"):
            await trio.lowlevel.checkpoint()
        await jobs.ask(rig.store, "job-1", Verb.CANCEL, now=now)
        record = await host.finished("job-1")
    assert record.status is JobStatus.CANCELLED


async def test_a_snapshot_is_made_and_a_new_owner_starts_from_it(tmp_path, autojump_clock):
    async def slow(command):
        await trio.sleep(1)
        return succeeded("x" * 2000)

    many = a_spec(
        [
            agent("worker", AgentKind.EXECUTOR, command=["true"], output_message_type="done"),
            agent("sink", AgentKind.AGGREGATOR, complete_after=12),
        ],
        [edge("worker", "sink", "done")],
        {"worker": [{"n": n} for n in range(12)]},
    )
    async with a_rig(tmp_path, settings={"snapshot_bytes": 4000}) as rig:
        rig.executor.work["worker"] = slow
        async with trio.open_nursery() as nursery, rig.host() as host:
            await submitted(rig, many)
            await host.start_job("job-1")
            await trio.sleep(8.5)
            nursery.cancel_scope.cancel()
        seq, _ = await rig.store.journal.latest_snapshot("job-1")
        assert seq > 0
        async with rig.host() as host:
            await host.adopt()
            record = await host.finished("job-1")
        assert record.status is JobStatus.COMPLETED
        assert numbers(rig, "job-1") == list(range(1, record.events + 1))


async def run(rig, spec):
    async with rig.host() as host:
        await submit_spec(rig.store, rig.config, spec, job_id="job-1", now=now)
        await host.start_job("job-1")
        return await host.finished("job-1")


async def test_a_hundred_thousand_messages_fan_in(tmp_path, autojump_clock):
    senders = [f"s{number}" for number in range(100)]
    spec = a_spec(
        [
            *(agent(name, emit_type="reading") for name in senders),
            agent("sink", AgentKind.AGGREGATOR, complete_after=100_000),
        ],
        [edge(name, "sink", "reading") for name in senders],
        {name: [{"n": number} for number in range(1000)] for name in senders},
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with a_rig(tmp_path) as rig:
        record = await run(rig, spec)
    grown_bytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert record.status is JobStatus.COMPLETED
    result = json.loads((tmp_path / "runs" / "job-1" / "result.json").read_text())
    assert result["result"]["output"]["count"] == 100_000
    assert grown_bytes < 700e6


async def test_a_body_of_fifty_megabytes_stays_out_of_the_state(tmp_path, autojump_clock):
    text = "0123456789abcdef" * (50 * 1024 * 1024 // 16)
    spec = a_spec(
        [
            agent("intake"),
            agent("worker", AgentKind.EXECUTOR, command=["true"], output_message_type="done"),
            agent("sink", AgentKind.AGGREGATOR, complete_on_message=True),
        ],
        [edge("intake", "worker"), edge("worker", "sink", "done")],
        {"intake": [{"text": text, "name": "large"}]},
    )
    sizes = []

    async with a_rig(tmp_path, settings={"snapshot_bytes": 1}) as rig, rig.host() as host:

        async def look(command):
            await trio.sleep(1)
            kept = await rig.store.journal.latest_snapshot("job-1")
            sizes.append(len(kept[1]))
            return succeeded()

        rig.executor.work["worker"] = look
        await submit_spec(rig.store, rig.config, spec, job_id="job-1", now=now)
        await host.start_job("job-1")
        record = await host.finished("job-1")
    assert record.status is JobStatus.COMPLETED
    assert sizes
    assert sizes[0] < 64 * 1024
    assert record.result is None  # too large for the record; the run folder has it
    result = (tmp_path / "runs" / "job-1" / "result.json").read_text()
    assert text in result


# ---- what only shows when things go wrong together ----


def forks(count, **more):
    """A router that hands the same message to several workers, and a sink that waits for all."""
    names = [f"worker-{number}" for number in range(count)]
    return a_spec(
        [
            agent("intake"),
            *(
                agent(name, AgentKind.EXECUTOR, command=["true"], output_message_type="done")
                for name in names
            ),
            agent("next", AgentKind.EXECUTOR, command=["true"], output_message_type="end"),
            agent("sink", AgentKind.AGGREGATOR, complete_after=count),
        ],
        [
            *(edge("intake", name) for name in names),
            *(edge(name, "next", "done") for name in names),
            edge("next", "sink", "end"),
        ],
        {"intake": [{"n": 1}]},
        **more,
    )


async def test_a_fact_that_cannot_be_applied_again_is_named(tmp_path, autojump_clock):
    async def hang(command):
        await trio.sleep_forever()

    def broken(job, state, fact, seq):
        if isinstance(fact, Submitted):
            raise ZeroDivisionError("a mistake of a later version")
        return apply(job, state, fact, seq)

    async with a_rig(tmp_path) as rig:
        rig.executor.work["worker"] = hang
        async with trio.open_nursery() as nursery, rig.host() as host:
            await submitted(rig, pipeline())
            await host.start_job("job-1")
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        rig.apply = broken
        async with rig.host() as host:
            await host.start_job("job-1")
            record = await host.finished("job-1")
    assert record.status is JobStatus.FAULTED
    assert record.fault["fact_seq"] == 1
    assert "Traceback" not in record.fault["error"]


async def test_nothing_is_launched_once_the_job_is_faulted(tmp_path, autojump_clock):
    def poisoned(job, state, fact, seq):
        if isinstance(fact, AttemptEnded) and fact.attempt_id.startswith("worker-1:"):
            raise ZeroDivisionError("a mistake in this program")
        return apply(job, state, fact, seq)

    async def second(command):
        await trio.sleep(5)
        return succeeded()

    async with a_rig(tmp_path, apply=poisoned) as rig, rig.host() as host:
        rig.executor.work |= {"worker-0": second, "worker-1": second}
        await submitted(rig, forks(2))
        await host.start_job("job-1")
        record = await host.finished("job-1")
        await trio.sleep(1)
    assert record.status is JobStatus.FAULTED
    assert sorted(order.agent_id for order in rig.executor.orders) == ["worker-0", "worker-1"]


async def test_a_job_cancelled_before_it_could_start_still_starts_and_ends(
    tmp_path, autojump_clock
):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        await submitted(rig, pipeline())
        await jobs.ask(rig.store, "job-1", Verb.CANCEL, now=now, reason="not wanted")
        await host.start_job("job-1")
        record = await host.finished("job-1")
    assert record.status is JobStatus.CANCELLED
    assert record.result == {"reason": "not wanted"}
    assert rig.executor.orders == []


async def test_a_job_whose_start_could_not_be_applied_starts_with_its_next_owner(
    tmp_path, autojump_clock
):
    broken = {"armed": True}

    def poisoned(job, state, fact, seq):
        if broken["armed"] and isinstance(fact, Submitted):
            raise ZeroDivisionError("a mistake in this program")
        return apply(job, state, fact, seq)

    async with a_rig(tmp_path, apply=poisoned) as rig, rig.host() as host:
        await submitted(rig, pipeline())
        request = OperatorRequest(request_id="1", job_id="job-1", verb=Verb.PAUSE, asked_at=EPOCH)
        await rig.store.table.put(f"{jobs.ASKS}job-1/1", msgspec.msgpack.encode(request))
        await host.start_job("job-1")
        assert (await host.finished("job-1")).status is JobStatus.FAULTED
        broken["armed"] = False
        await host.start_job("job-1")
        assert (await host.finished("job-1")).status is JobStatus.COMPLETED


async def test_notes_have_no_fsync_of_their_own(tmp_path, autojump_clock):
    class Talkative(ScriptedExecutor):
        async def run(self, order, note):
            await trio.sleep(1)
            note(Note(at=now(), type="agent_activity", agent_id="worker"))
            await trio.sleep(1)
            return await super().run(order, note)

    async with a_rig(tmp_path, executor=Talkative()) as rig, rig.host() as host:
        append, synced = rig.store.journal.append, {}

        async def appending(job_id, epoch, first_seq, records, *, sync=True):
            synced[tuple(type(decode_fact(record)) for record in records)] = sync
            await append(job_id, epoch, first_seq, records, sync=sync)

        rig.store.journal.append = appending
        await submitted(rig, pipeline())
        await host.start_job("job-1")
        assert (await host.finished("job-1")).status is JobStatus.COMPLETED
    assert synced == {(Submitted,): True, (Noted,): False, (AttemptEnded,): True}


async def test_the_record_says_why_a_job_waits_for_a_person(tmp_path, autojump_clock):
    async def hang(command):
        await trio.sleep_forever()

    async with a_rig(tmp_path) as rig:
        rig.executor.work["worker"] = hang
        async with trio.open_nursery() as nursery, rig.host() as host:
            await submitted(rig, pipeline(policies={"recovery_mode": "manual_recover"}))
            await host.start_job("job-1")
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        rig.executor = ScriptedExecutor()
        async with rig.host() as host:
            await host.adopt()
            await trio.sleep(1)
            record = await jobs.read_job(rig.store, "job-1")
            assert record.status is JobStatus.PAUSED
            assert record.review == "a launch was cut by a crash"
            assert rig.executor.orders == []
            await jobs.ask(rig.store, "job-1", Verb.RESUME, now=now)
            record = await host.finished("job-1")
        assert record.status is JobStatus.COMPLETED
        assert record.review is None
        assert [order.launch for order in rig.executor.orders] == [2]


async def test_a_cancel_stops_what_runs_while_the_run_folder_has_no_room(
    tmp_path, autojump_clock, monkeypatch
):
    async def hang(command):
        await trio.sleep_forever()

    publish = RunFolder.publish

    def publishing(folder, events):
        if trio.current_time() < 60:
            raise UnavailableError("no space left on device")
        publish(folder, events)

    monkeypatch.setattr(RunFolder, "publish", publishing)
    spec = a_spec(
        [
            agent("intake"),
            agent("sink", AgentKind.AGGREGATOR, complete_after=1000),
            agent("worker", AgentKind.EXECUTOR, command=["true"]),
            agent("other", AgentKind.EXECUTOR, command=["true"]),
        ],
        [edge("intake", "sink")],
        {"worker": [{}], "other": [{}], "intake": [{"n": n} for n in range(600)]},
    )
    async with a_rig(tmp_path) as rig, rig.host() as host:
        rig.executor.work["worker"] = hang
        await submitted(rig, spec)
        assert len(spec.seeds["intake"]) > AT_ONCE
        await host.start_job("job-1")
        await trio.sleep(10)
        await jobs.ask(rig.store, "job-1", Verb.CANCEL, now=now)
        await trio.sleep(5)
        assert len(rig.executor.cancelled) == 1
        assert trio.current_time() < 60
        record = await host.finished("job-1")
    assert record.status is JobStatus.CANCELLED
    assert numbers(rig, "job-1") == list(range(1, record.events + 1))


async def test_requests_that_cannot_be_read_just_now_disturb_no_work(tmp_path, autojump_clock):
    async def slow(command):
        await trio.sleep(30)
        return succeeded()

    async with a_rig(tmp_path) as rig, rig.host() as host:
        watch, failures = rig.store.table.watch, []

        async def failing(prefix):
            async for rows in watch(prefix):
                if rows and len(failures) < 3:
                    failures.append(prefix)
                    raise UnavailableError("the disk that holds it fails")
                yield rows

        rig.store.table.watch = failing
        rig.executor.work["worker"] = slow
        await submitted(rig, pipeline())
        await host.start_job("job-1")
        await trio.sleep(1)
        await jobs.ask(rig.store, "job-1", Verb.PAUSE, now=now)
        await trio.sleep(10)
        assert len(failures) == 3
        assert (await jobs.read_job(rig.store, "job-1")).status is JobStatus.PAUSED
        assert rig.executor.cancelled == []


async def test_after_a_long_run_of_apply_others_get_in_between(tmp_path, autojump_clock):
    """However much waits: one long run a batch, and one `Continued` on its way."""
    batches, runs = [], []

    def counting(job, state, fact, seq):
        result = apply(job, state, fact, seq)
        if isinstance(fact, Continued | AttemptEnded) and not state.wants_more:
            state.wants_more = len(runs) < 20  # as if there were a long backlog
        runs.append(state.wants_more)
        return result

    async def second(command):
        await trio.sleep(5)
        return succeeded()

    async with a_rig(tmp_path, apply=counting) as rig, rig.host() as host:
        append = rig.store.journal.append

        async def appending(job_id, epoch, first_seq, records, **more):
            facts = [type(decode_fact(record)) for record in records]
            batches.append((facts, runs[-len(records) :]))
            await append(job_id, epoch, first_seq, records, **more)

        rig.store.journal.append = appending
        rig.executor.work |= {f"worker-{number}": second for number in range(8)}
        await submitted(rig, forks(8))
        await host.start_job("job-1")
        assert (await host.finished("job-1")).status is JobStatus.COMPLETED
    assert all(not any(wanting[:-1]) for _, wanting in batches)
    kinds = [kind for facts, _ in batches for kind in facts]
    assert kinds.count(AttemptEnded) == 16
    assert kinds.count(Continued) <= 20


async def test_a_job_that_ends_at_once_has_started_too(tmp_path, autojump_clock):
    spec = a_spec(
        [agent("intake"), agent("sink", AgentKind.AGGREGATOR, complete_on_message=True)],
        [edge("intake", "sink")],
        {"intake": [{"n": 1}]},
    )
    async with a_rig(tmp_path) as rig:
        record = await run(rig, spec)
    assert record.status is JobStatus.COMPLETED
    assert record.submitted_at <= record.started_at <= record.ended_at


async def test_a_journal_that_grows_over_many_owners_gets_its_snapshot(tmp_path, autojump_clock):
    async def slow(command):
        await trio.sleep(1)
        return succeeded("x" * 700)

    many = a_spec(
        [
            agent("worker", AgentKind.EXECUTOR, command=["true"], output_message_type="done"),
            agent("sink", AgentKind.AGGREGATOR, complete_after=30),
        ],
        [edge("worker", "sink", "done")],
        {"worker": [{"n": n} for n in range(30)]},
    )
    async with a_rig(tmp_path, settings={"snapshot_bytes": 4000}) as rig:
        rig.executor.work["worker"] = slow
        await submitted(rig, many)
        for _ in range(8):
            async with rig.host() as host:
                await host.start_job("job-1")
                await trio.sleep(1.5)
        assert await rig.store.journal.latest_snapshot("job-1") is not None


async def test_a_worker_is_told_its_step_and_the_run_folder_lists_all_steps(
    tmp_path, autojump_clock
):
    async def fails_once(command):
        if command.workflow["attempt"] == 1:
            error = {"error": "not yet", "attempts": 1}
            return Outcome(status=OutcomeStatus.FAILED, error=error)
        return succeeded()

    async with a_rig(tmp_path) as rig, rig.host() as host:
        rig.executor.work["cleaner"] = fails_once
        await submitted(rig, two_steps(clean={"max_attempts": 2}))
        await host.start_job("job-1")
        assert (await host.finished("job-1")).status is JobStatus.COMPLETED
        told = [order.workflow for order in rig.executor.orders]
        assert [(one["step_id"], one["attempt"]) for one in told] == [
            ("fetch", 1),
            ("clean", 1),
            ("clean", 2),
        ]
        result = json.loads((rig.config.runs_root / "job-1" / "result.json").read_text())
        assert result["workflow"]["steps"] == [
            {"id": "fetch", "status": "completed", "outcome": "success", "attempts": 1},
            {"id": "clean", "status": "completed", "outcome": "success", "attempts": 2},
        ]
        summary = (rig.config.runs_root / "job-1" / "observability_summary.json").read_text()
        assert json.loads(summary)["step_counts"] == {"completed": 2}
        ledger = json.loads((rig.config.runs_root / "job-1" / "workflow_state.json").read_text())
        assert ledger == (await job_view(rig.store, "job-1")).workflow


async def test_without_steps_the_run_folder_lists_none(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        await submitted(rig, pipeline())
        await host.start_job("job-1")
        await host.finished("job-1")
        result = json.loads((rig.config.runs_root / "job-1" / "result.json").read_text())
        assert result["workflow"] == {"steps": []}
        assert not (rig.config.runs_root / "job-1" / "workflow_state.json").exists()


def answers(rig, record):
    with (rig.config.runs_root / "job-1" / "human.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")


async def test_a_job_says_that_it_waits_for_a_person_and_hears_the_answer_in_the_file(
    tmp_path, autojump_clock
):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        await submitted(rig, gated())
        await host.start_job("job-1")
        await trio.sleep(3600)
        record = await jobs.read_job(rig.store, "job-1")
        assert (record.status, record.waiting_for_human) == (JobStatus.RUNNING, 1)
        [request] = (await job_view(rig.store, "job-1")).human_requests
        payload = {"request_id": request["request_id"], "decision": "approve", "by": "ada"}
        answers(rig, {"type": "human_input_received", "payload": payload})
        record = await host.finished("job-1")
        assert (record.status, record.waiting_for_human) == (JobStatus.COMPLETED, 0)
        [order] = rig.executor.orders
        assert order.message.body["human"]["by"] == "ada"


async def test_an_answer_that_came_in_time_is_not_overruled_by_the_clock(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        await submitted(rig, gated(approval_timeout_seconds=10.3))
        await host.start_job("job-1")
        await trio.sleep(10.25)
        [request] = (await job_view(rig.store, "job-1")).human_requests
        payload = {"request_id": request["request_id"], "decision": "approve"}
        answers(rig, {"type": "human_input_received", "payload": payload})
        await host.finished("job-1")
        types = [line["type"] for line in lines(rig, "job-1")]
        assert "human_input_timeout" not in types
        assert len(rig.executor.orders) == 1


async def test_what_was_answered_while_nobody_ran_counts_before_an_overdue_timeout(
    tmp_path, autojump_clock
):
    async with a_rig(tmp_path) as rig:
        await submitted(rig, gated(approval_timeout_seconds=60))
        async with rig.host() as host:
            await host.start_job("job-1")
            await trio.sleep(5)
        [request] = (await job_view(rig.store, "job-1")).human_requests
        answers(rig, {"type": "human_input_received", "payload": {
            "request_id": request["request_id"], "decision": "approve"}})  # fmt: skip
        await trio.sleep(3600)
        async with rig.host() as host:
            await host.start_job("job-1")
            await host.finished("job-1")
        assert len(rig.executor.orders) == 1


async def test_an_answer_through_the_store_is_taken_by_the_next_owner(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        await submitted(rig, gated())
        async with rig.host() as host:
            await host.start_job("job-1")
            await trio.sleep(5)
        view = await job_view(rig.store, "job-1")
        request, _ = await respond(rig.store, view, "approve", now=now, by="ada", comment="fine")
        with pytest.raises(UnavailableError):
            await jobs.settled(rig.store, request, timeout_s=1)
        async with rig.host() as host:
            await host.start_job("job-1")
            await jobs.settled(rig.store, request, timeout_s=5)
            await host.finished("job-1")
        assert rig.executor.orders[0].message.body["human"]["comment"] == "fine"


async def test_a_dead_letter_is_seen_and_forgotten_when_it_is_discarded(tmp_path, autojump_clock):
    spec = a_spec(
        [agent("start", AgentKind.EXECUTOR), agent("other", AgentKind.EXECUTOR)],
        [],
        {"start": [{"n": 1}], "other": [{}]},
    )

    async def hang(command):
        await trio.sleep_forever()

    async def emits(command):
        emission = Emission(type="lost", to="nobody", body={"n": 1})
        return succeeded(structured=Structured(emissions=[emission]))

    async with a_rig(tmp_path) as rig, rig.host() as host:
        rig.executor.work |= {"other": hang, "start": emits}
        await submitted(rig, spec)
        await host.start_job("job-1")
        await trio.sleep(1)
        view = await job_view(rig.store, "job-1")
        [letter] = view.dead_letters
        assert letter["message"]["body"] == {"n": 1}
        asked, _ = await dispose(rig.store, view, Verb.DISCARD, letter["message_id"], now=now)
        await jobs.settled(rig.store, asked, timeout_s=5)
        assert (await job_view(rig.store, "job-1")).dead_letters == []


async def test_work_that_an_answer_starts_is_not_taken_for_work_that_was_lost(
    tmp_path, autojump_clock
):
    spec = gated(worker={"side_effect": "write"})
    async with a_rig(tmp_path) as rig:
        await submitted(rig, spec)
        async with rig.host() as host:
            await host.start_job("job-1")
            await trio.sleep(5)
        await respond(rig.store, await job_view(rig.store, "job-1"), "approve", now=now)
        async with rig.host() as host:
            await host.start_job("job-1")
            assert (await host.finished("job-1")).status is JobStatus.COMPLETED
        assert [order.launch for order in rig.executor.orders] == [1]
