import os
from hashlib import sha256
from pathlib import Path

import msgspec

from mnedge.model.states import AgentKind
from mnedge.model.tracing import trace_id_of
from mnedge.observe.lineage import chain_down, chain_up, digest_of, lineage_of, open_lineage
from mnedge.observe.replay import replayed
from tests.observe.watched import a_watched_rig, carried
from tests.runtime.rig import a_spec, agent, edge


def chain():
    return a_spec(
        [
            agent("intake"),
            agent("first", AgentKind.EXECUTOR, command=["true"], output_message_type="half"),
            agent("second", AgentKind.EXECUTOR, command=["true"], output_message_type="done"),
            agent("sink", AgentKind.AGGREGATOR, complete_on_message=True),
        ],
        [edge("intake", "first"), edge("first", "second", "half"), edge("second", "sink", "done")],
        {"intake": [{"text": "hello"}]},
    )


async def ran(tmp_path):
    async with a_watched_rig(tmp_path) as (rig, _, _registry, _spans):
        record = await carried(rig, chain(), trace_parent=f"00-{'a' * 32}-{'b' * 16}-01",
                               submitted_by="user:1")  # fmt: skip
        story = await replayed(rig.store, "job-1")
        return record, story, Path(record.run_folder)


async def test_every_file_has_a_digest_and_says_where_it_came_from(tmp_path, autojump_clock):
    record, story, run_dir = await ran(tmp_path)
    lineage = lineage_of(story, run_dir)
    files = {one["path"]: one for one in lineage["artifacts"]}
    result = files["result.json"]
    content = (run_dir / "result.json").read_bytes()
    assert result["digest"] == f"sha256:{sha256(content).hexdigest()}"
    assert result["made_by"]["how"] == "runtime"
    assert [one["agent"] for one in result["made_by"]["attempts"]] == ["first", "second"]
    assert files["inputs.json"]["made_by"] == {"how": "runtime", "from": "manifest"}
    assert lineage["config"]["digest"] == digest_of(story.spec.config)
    assert {one["name"] for one in lineage["inputs"]} == {"inputs", "seed:intake:0"}
    assert lineage["actor"] == "user:1"
    assert lineage["trace_id"] == trace_id_of("job-1", record.trace_parent) == "a" * 32
    assert lineage["code"]["bundle"] == "unknown", "a job without a bundle has no code to name"
    assert lineage["complete"] is True


async def test_a_file_of_a_worker_is_tied_by_its_message_or_its_date_or_not_at_all(
    tmp_path, autojump_clock
):
    _, story, run_dir = await ran(tmp_path)
    first, second = story.launches
    first.started_at, first.ended_at = 1000.0, 1010.0
    second.started_at, second.ended_at = 1020.0, 1030.0
    for name, at in (("a.txt", 1005), ("b.txt", 1025), ("c.txt", 1015), ("d.txt", 1015)):
        (run_dir / name).write_text(name)
        os.utime(run_dir / name, (at, at))
    sent = next(told for told in story.messages.values() if told.sender == "second")
    story.messages[sent.message_id] = msgspec.structs.replace(sent, artifacts=frozenset({"d.txt"}))
    found = {one["path"]: one for one in lineage_of(story, run_dir)["artifacts"]}
    assert [
        (found[name]["made_by"]["how"], found[name]["made_by"].get("agent"))
        for name in ("a.txt", "b.txt", "c.txt", "d.txt")
    ] == [("time", "first"), ("time", "second"), ("unknown", None), ("declared", "second")]
    messages = found["b.txt"]["messages"]
    assert [(one["from"], one["to"]) for one in messages] == [
        ("first", "second"), ("intake", "first"), ("runtime", "intake"),
    ]  # fmt: skip
    assert messages[0]["attempt"] == {"id": first.work_id, "launch": 1}
    assert found["c.txt"]["messages"] == []


async def test_chains_go_both_ways(tmp_path, autojump_clock):
    _, story, _ = await ran(tmp_path)
    first, second = story.launches
    assert [one["agent"] for one in chain_down(story, first)] == ["second"]
    assert chain_down(story, second) == []
    assert chain_up(story, second)[0]["from"] == "first"


async def test_open_lineage_names_what_went_in_and_came_out(tmp_path, autojump_clock):
    _, story, run_dir = await ran(tmp_path)
    event = open_lineage(lineage_of(story, run_dir), "mnedge://n")
    assert event["eventType"] == "COMPLETE"
    assert event["run"]["runId"] == "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
    assert {"namespace": "mnedge://n", "name": "job-1/result.json"} in event["outputs"]
    assert {"namespace": "mnedge://n", "name": "job-1/inputs"} in event["inputs"]


def test_a_digest_does_not_depend_on_the_order_of_members():
    assert digest_of({"a": 1, "b": [{"y": 1, "x": 2}]}) == digest_of(
        {"b": [{"x": 2, "y": 1}], "a": 1}
    )
    assert digest_of({"a": 1}) != digest_of({"a": 2})
