"""Many messages and large ones, through the whole coordinator."""

import json
import resource

import trio

from mnedge.model.states import AgentKind, JobStatus
from mnedge.runtime.submission import submit_spec

from tests.runtime.rig import a_rig, a_spec, agent, edge, now, succeeded


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
