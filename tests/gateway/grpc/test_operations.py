"""Operations over the wire."""

import json

import pytest
import trio

from mnedge.runtime import jobs
from tests.gateway.grpc.wire import OPERATIONS, RefusedError, a_wire
from tests.runtime.rig import gated, submitted


async def events(wire, operation_id, **fields):
    found = await wire.call(
        OPERATIONS, "StreamOperationEvents", operation_id=operation_id, **fields
    )
    return [json.loads(one.event_json) for one in found]


@pytest.mark.drives(f"{OPERATIONS}/StartOperation")
@pytest.mark.drives(f"{OPERATIONS}/GetOperation")
@pytest.mark.drives(f"{OPERATIONS}/StreamOperationEvents")
async def test_all_jobs_are_cancelled_while_somebody_watches(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        for n in range(3):
            await submitted(wire.rig, gated(), f"job-{n}")
        await trio.sleep(1)
        started = await wire.unary(
            OPERATIONS, "StartOperation", kind="cancel_all_jobs", options_json="{}"
        )
        shown = json.loads(started.operation_json)
        assert (shown["kind"], shown["target_count"]) == ("cancel_all_jobs", 3)
        operation_id = shown["operation_id"]
        told = await events(wire, operation_id, follow=True, heartbeat_interval_ms=250)
        told = [event for event in told if event["type"] != "stream_heartbeat"]
        assert [event["sequence"] for event in told] == list(range(1, len(told) + 1))
        items = [event for event in told if "item_id" in event]
        assert {(one["item_id"], one["status"]) for one in items} == {
            ("job-0", "cancelled"),
            ("job-1", "cancelled"),
            ("job-2", "cancelled"),
        }
        assert all("status" not in event for event in told if "item_id" not in event)
        assert await events(wire, operation_id) == told
        assert await events(wire, operation_id, after_sequence=2) == told[2:]
        ended = json.loads(
            (await wire.unary(OPERATIONS, "GetOperation", operation_id=operation_id)).operation_json
        )
        assert ended["status"] == "completed"
        assert ended["counters"] == {
            "total": 3,
            "finished": 3,
            "succeeded": 3,
            "failed": 0,
            "deferred": 0,
        }
        assert {one.status for one in await jobs.list_jobs(wire.backend.store)} == {"cancelled"}
        assert ("user:ada", "operation.start", f"operation/{operation_id}", "allow") in (
            await wire.audited()
        )


async def test_odd_operations_are_refused(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        for fields, status in (
            ({"kind": "dance"}, 3),
            ({"kind": ""}, 3),
            ({"kind": "drain_node", "options_json": '{"node_name": "other"}'}, 5),
            ({"kind": "cancel_all_jobs", "options_json": "["}, 3),
        ):
            with pytest.raises(RefusedError) as raised:
                await wire.unary(OPERATIONS, "StartOperation", **fields)
            assert raised.value.status == status
        for method in ("GetOperation", "StreamOperationEvents"):
            with pytest.raises(RefusedError, match="no operation is called") as raised:
                await wire.call(OPERATIONS, method, operation_id="op-1")
            assert raised.value.status == 5
