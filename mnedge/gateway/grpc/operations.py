"""mirrorneuron.operations.v1: work on many jobs at once, followed while it goes on."""

from typing import Any

import trio

from mnedge.gateway.grpc.calls import Call, Tell, Values
from mnedge.gateway.grpc.observability import heartbeat, heartbeat_s, tell_event
from mnedge.gateway.operations import Operation
from mnedge.model.body import json_bytes


async def start_operation(call: Call) -> Values:
    """Begin an operation."""
    one = await call.backend.operations.start(
        call.required("kind"), call.json("options_json"), by=call.caller
    )
    call.changes(f"operation/{one.operation_id}")
    return _shown(one)


async def get_operation(call: Call) -> Values:
    """Return how far an operation has come."""
    return _shown(await call.backend.operations.get(call.required("operation_id")))


async def stream_operation_events(call: Call, tell: Tell) -> None:
    """Tell what becomes of an operation's items; with `follow` until it is over."""
    operation_id = call.required("operation_id")
    after = max(0, call.request["after_sequence"])
    operations = call.backend.operations
    if not call.request["follow"]:
        for event in await operations.events(operation_id, after=after):
            await tell_event(tell, event)
        return
    every_s = heartbeat_s(call.request["heartbeat_interval_ms"])
    lock = trio.Lock()

    async def told(event: dict[str, Any]) -> None:
        async with lock:
            await tell_event(tell, event)

    async def beat() -> None:
        while True:
            await trio.sleep(every_s)
            await told(heartbeat(call, operation_id=operation_id))

    await operations.get(operation_id)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(beat)
        await operations.follow(operation_id, told, after)
        nursery.cancel_scope.cancel()


def _shown(one: Operation) -> Values:
    return {"operation_json": json_bytes(one.shown()).decode(), "version": 1}
