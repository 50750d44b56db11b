from itertools import pairwise

import msgspec
import trio

from mnedge.errors import UnavailableError, UsageError
from mnedge.model.body import INLINE_LIMIT_BYTES
from mnedge.model.manifest import LiveInput
from mnedge.model.states import AgentKind, JobStatus, Verb
from mnedge.runtime import jobs
from mnedge.runtime.live_inputs import WAIT_S
from tests.runtime.rig import a_rig, a_spec, agent, edge, lines, now, submitted, succeeded
from tests.runtime.sources import Listed, by_name

JOB = "job-1"


def live(name="drop", connector="listed", **more):
    settings = more.pop("settings", {})
    return LiveInput(name=name, skill="s", connector=connector, settings=settings, **more)


def a_job(*inputs, config=None, worker=None, **more):
    return a_spec(
        [agent("start"), agent("worker", AgentKind.EXECUTOR, **(worker or {}))],
        [edge("start", "worker")],
        {"start": [{}]},
        live_inputs=list(inputs),
        config=config or {},
        **more,
    )


def told(rig, *types):
    if not (rig.config.runs_root / JOB / "events.jsonl").exists():
        return []
    return [line for line in lines(rig, JOB) if line["type"] in types]


async def until(holds):
    with trio.fail_after(10_000):
        while not holds():
            await trio.sleep(0.05)


async def test_what_comes_while_the_job_runs_comes_into_it_once(tmp_path, autojump_clock):
    source = Listed(items=["a", "b"])
    async with a_rig(tmp_path, connectors=by_name(source)) as rig:
        await submitted(rig, a_job(live(events={"thing_came": "drop_changed"})))
        async with rig.host() as host:
            await host.start_job(JOB)
            await until(lambda: len(rig.executor.orders) == 3)
            source.items.append("c")
            source.wait_s = 1.0
            await until(lambda: len(rig.executor.orders) == 4)
            await trio.sleep(100)
        events = told(rig, "drop_changed")
        assert [event["payload"]["item_id"] for event in events] == ["item-0", "item-1", "item-2"]
        assert events[0]["payload"]["source_ref"] == {"at": 0}
        body = rig.executor.orders[1].message.body
        assert body["n"] == "a"
        assert body["_source"]["connector"] == "listed"
        assert [cursor for _, cursor in source.asked][:3] == [None, "2", "3"]


async def test_a_new_owner_reads_on_from_the_cursor(tmp_path, autojump_clock):
    source = Listed(items=["a", "b"])
    async with a_rig(tmp_path, connectors=by_name(source)) as rig:
        await submitted(rig, a_job(live()))
        async with rig.host() as host:
            await host.start_job(JOB)
            await until(lambda: len(rig.executor.orders) == 3)
        source.asked.clear()
        source.items.append("c")
        async with rig.host() as host:
            await host.start_job(JOB)
            await until(lambda: len(told(rig, "thing_came")) == 3)
        assert source.asked[0][1] == "2"


async def test_while_the_job_is_paused_nothing_is_read(tmp_path, autojump_clock):
    source = Listed(items=["a"])
    source.wait_s = 5.0
    async with a_rig(tmp_path, connectors=by_name(source)) as rig:
        await submitted(rig, a_job(live()))
        async with rig.host() as host:
            await host.start_job(JOB)
            await until(lambda: len(rig.executor.orders) == 2)
            asked = await jobs.ask(rig.store, JOB, Verb.PAUSE, now=now)
            await jobs.settled(rig.store, asked, timeout_s=10)
            await trio.sleep(6)
            source.asked.clear()
            source.items.append("b")
            await trio.sleep(100)
            assert source.asked == []
            asked = await jobs.ask(rig.store, JOB, Verb.RESUME, now=now)
            await jobs.settled(rig.store, asked, timeout_s=10)
            await until(lambda: len(rig.executor.orders) == 3)


async def test_a_source_is_not_read_faster_than_the_job_takes_it(tmp_path, autojump_clock):
    source = Listed(items=list(range(1000)))
    go_on = trio.Event()

    async def slow(command):
        await go_on.wait()
        return succeeded()

    async with a_rig(tmp_path, connectors=by_name(source)) as rig:
        rig.executor.work["worker"] = slow
        spec = a_job(live(to=["worker"]), worker={"max_queue_depth": 20})
        await submitted(rig, spec)
        async with rig.host() as host:
            await host.start_job(JOB)
            await trio.sleep(100)
            assert len(source.asked) <= 4
            go_on.set()
            await until(lambda: len(rig.executor.orders) >= 1001)
    assert len({order.attempt_id for order in rig.executor.orders}) == 1001


async def test_a_source_that_is_away_is_tried_again_ever_more_seldom_and_told(
    tmp_path, autojump_clock
):
    source = Listed(items=["a"])
    source.fails = [UnavailableError("it is away") for _ in range(10)]
    async with a_rig(tmp_path, connectors=by_name(source)) as rig:
        await submitted(rig, a_job(live()))
        async with rig.host() as host:
            await host.start_job(JOB)
            await until(lambda: told(rig, "input_skill_recovered"))
        times = [at for at, _ in source.asked]
        gaps = [round(b - a) for a, b in pairwise(times)][:10]
        assert gaps == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
        events = told(rig, "input_skill_unavailable")
        assert [event["payload"]["retry_in_s"] for event in events] == [1, 2, 4, 8, 16, 32]
        assert events[0]["payload"]["error"] == "it is away"
        assert told(rig, "input_skill_recovered")[0]["payload"]["attempts"] == 10
        assert WAIT_S == 60


async def test_a_source_that_never_will_ends_and_the_job_may_end_too(tmp_path, autojump_clock):
    source = Listed()
    source.fails = [UsageError("it answered 403")]
    async with a_rig(tmp_path, connectors=by_name(source)) as rig:
        await submitted(rig, a_job(live()))
        async with rig.host() as host:
            await host.start_job(JOB)
            record = await host.finished(JOB)
        assert record.status is JobStatus.COMPLETED
        (event,) = told(rig, "input_skill_failed")
        assert event["payload"]["error"] == "it answered 403"
        assert len(source.asked) == 1


async def test_or_fails_with_it_if_it_is_required(tmp_path, autojump_clock):
    source = Listed()
    source.fails = [UsageError("it answered 403")]
    async with a_rig(tmp_path, connectors=by_name(source)) as rig:
        await submitted(rig, a_job(live(required=True)))
        async with rig.host() as host:
            await host.start_job(JOB)
            record = await host.finished(JOB)
        assert record.status is JobStatus.FAILED
        assert "it answered 403" in str(record.error)


async def test_a_connector_that_breaks_ends_its_input_alone(tmp_path, autojump_clock):
    good, broken = Listed(items=["a"]), Listed(name="broken")
    broken.fails = [KeyError("x")]
    async with a_rig(tmp_path, connectors=by_name(good, broken)) as rig:
        await submitted(rig, a_job(live(), live("b", "broken"), live("c", settings={"colour": 1})))
        async with rig.host() as host:
            await host.start_job(JOB)
            await until(lambda: len(told(rig, "input_skill_failed")) == 2)
            await until(lambda: len(rig.executor.orders) == 2)
        errors = {e["payload"]["name"]: e["payload"] for e in told(rig, "input_skill_failed")}
        assert errors["b"]["code"] == "connector.broken"
        assert errors["c"]["error"] == "colour is no setting"


async def test_what_this_node_lacks_is_told_and_ends_nothing(tmp_path, autojump_clock):
    source = Listed(name="later", items=["a"])
    async with a_rig(tmp_path) as rig:
        spec = a_job(
            live("gone", "later", required=True),
            live("keyless", "later", settings={"auth_env": "KEY"}, required=True),
        )
        await submitted(rig, spec)
        async with rig.host() as host:
            await host.start_job(JOB)
            await until(lambda: len(told(rig, "input_skill_unavailable")) == 2)
            await trio.sleep(1000)
        errors = {e["payload"]["name"]: e["payload"] for e in told(rig, "input_skill_unavailable")}
        assert errors["gone"]["error"] == "this node has no connector 'later'"
        assert "KEY" in errors["keyless"]["error"]
        rig.connectors = by_name(source)
        rig.config = msgspec.structs.replace(rig.config, environ={"KEY": "a-hidden-value"})
        async with rig.host() as host:
            await host.start_job(JOB)
            await until(lambda: len(told(rig, "thing_came")) == 2)


async def test_a_full_disk_holds_up_what_is_large_and_loses_nothing(
    tmp_path, autojump_clock, monkeypatch
):
    source = Listed(items=["x" * (2 * INLINE_LIMIT_BYTES)])
    async with a_rig(tmp_path, connectors=by_name(source)) as rig:
        put, refused = rig.store.blobs.put, []

        async def full(content):
            await trio.lowlevel.checkpoint()
            if len(refused) < 5:
                refused.append(trio.current_time())
                raise UnavailableError("the disk is full")
            return await put(content)

        monkeypatch.setattr(rig.store.blobs, "put", full)
        await submitted(rig, a_job(live(required=True)))
        async with rig.host() as host:
            await host.start_job(JOB)
            await until(lambda: len(rig.executor.orders) == 2)
        assert len(refused) == 5
        assert told(rig, "input_skill_failed") == []


async def test_the_budget_is_kept_over_restarts_warned_of_and_ends_the_job(
    tmp_path, autojump_clock
):
    source = Listed(items=["a", "b", "c", "d", "e", "f", "g"])
    source.most = 1
    async with a_rig(tmp_path, connectors=by_name(source)) as rig:
        await submitted(rig, a_job(live(), config={"budgets": {"max_connector_reads": 5}}))
        async with rig.host() as host:
            await host.start_job(JOB)
            record = await host.finished(JOB)
        assert record.status is JobStatus.FAILED
        assert record.error["code"] == "budget.exceeded"
        assert len(source.asked) == 5
        assert told(rig, "budget_warning")[0]["payload"]["used"] == 4
        assert len(told(rig, "budget_warning")) == 1
        assert told(rig, "budget_exceeded")[0]["payload"]["limit"] == 5


async def test_or_only_the_reading_where_the_policy_says_skip(tmp_path, autojump_clock):
    source = Listed(items=["a", "b"])
    source.most = 1
    config = {
        "budgets": {"max_connector_reads": 1},
        "error_handling": {"policies": {"budget": {"mode": "skip"}}},
    }
    async with a_rig(tmp_path, connectors=by_name(source)) as rig:
        await submitted(rig, a_job(live(), config=config))
        async with rig.host() as host:
            await host.start_job(JOB)
            assert (await host.finished(JOB)).status is JobStatus.COMPLETED
        assert len(told(rig, "thing_came")) == 1


async def test_no_more_reads_a_minute_than_allowed(tmp_path, autojump_clock):
    source = Listed(items=list(range(8)))
    source.most = 1
    async with a_rig(tmp_path, connectors=by_name(source)) as rig:
        await submitted(rig, a_job(live(max_reads_per_minute=3)))
        async with rig.host() as host:
            await host.start_job(JOB)
            await until(lambda: len(rig.executor.orders) == 9)
        times = [at for at, _ in source.asked]
        assert all(b - a >= 59.9 for a, b in zip(times, times[3:], strict=False))


async def test_what_is_large_lies_beside_the_journal_and_comes_whole(tmp_path, autojump_clock):
    text = "x" * (2 * INLINE_LIMIT_BYTES)
    source = Listed(items=[text])
    async with a_rig(tmp_path, connectors=by_name(source)) as rig:
        await submitted(rig, a_job(live()))
        async with rig.host() as host:
            await host.start_job(JOB)
            await until(lambda: len(rig.executor.orders) == 2)
        facts = await rig.store.journal.read(JOB)
        assert all(len(record) < INLINE_LIMIT_BYTES for _, record in facts)


async def test_secrets_reach_the_connector_and_no_file_of_the_run(tmp_path, autojump_clock):
    source = Listed(items=["a"])
    async with a_rig(tmp_path, connectors=by_name(source)) as rig:
        rig.config = msgspec.structs.replace(rig.config, environ={"KEY": "a-hidden-value"})
        await submitted(rig, a_job(live(settings={"auth_env": "KEY"})))
        async with rig.host() as host:
            await host.start_job(JOB)
            await until(lambda: len(rig.executor.orders) == 2)
        assert source.settings[0] == {"auth": "a-hidden-value"}
        facts = await rig.store.journal.read(JOB)
        assert not any(b"a-hidden-value" in record for _, record in facts)


async def test_a_host_that_drains_reads_nothing_more(tmp_path, autojump_clock):
    source = Listed(items=["a"])
    source.wait_s = 1.0
    async with a_rig(tmp_path, connectors=by_name(source)) as rig:
        await submitted(rig, a_job(live()))
        async with rig.host() as host:
            await host.start_job(JOB)
            await until(lambda: len(rig.executor.orders) == 2)
            host.stop()
            await host.drained()
            count = len(source.asked)
            await trio.sleep(100)
            assert len(source.asked) == count
