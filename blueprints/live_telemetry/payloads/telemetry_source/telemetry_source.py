"""A source of readings that paces itself: every tick emits one chunk and asks for the next tick.

The signal is arithmetic: reading n depends on n, the seed and the settings, on no clock and no
chance. Values are hundredths of the device's unit.
"""

import os

SETTINGS = ("baseline", "sway", "noise", "peak_every", "peak_height", "points_per_chunk")
SWAY_PERIOD = 200
SAMPLE_MS = 20


def note_launch():
    path = os.environ.get("MNEDGE_LAUNCH_LOG")
    if path:
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(log, (os.environ.get("MNEDGE_LAUNCH", "") + "\n").encode())
        os.close(log)


def reading(plan, n):
    """Return reading n: a slow wave, a little noise, and a peak every `peak_every` readings."""
    phase = n % SWAY_PERIOD
    wave = abs(2 * phase - SWAY_PERIOD) * plan["sway"] // SWAY_PERIOD - plan["sway"] // 2
    mixed = (n * 2654435761 + plan["seed"] * 40503) % 4294967296
    mixed = (mixed ^ (mixed >> 15)) * 2246822519 % 4294967296
    noise = mixed % (2 * plan["noise"] + 1) - plan["noise"]
    every = plan["peak_every"]
    peak = plan["peak_height"] if every and n % every == every - 1 else 0
    return plan["baseline"] + wave + noise + peak


def planned(asked, number, settings):
    """Return what one stream is made of; raises what `int` raises for a number that is none."""
    device_id = str(asked.get("device_id", "device"))
    return {
        **settings,
        "stream_id": f"{device_id}-{number}",
        "seed": int(asked.get("seed", 0)),
        "chunks": max(0, int(asked.get("chunks", 0))),
        "interval_ms": max(0, int(asked.get("interval_ms", 1000))),
    }


def refused(context, reason):
    return context.event("telemetry_request_refused", {"reason": reason})


class TelemetrySource:
    """Streams on request; one stream at a time, numbered from 1. `chunks` 0 means without end."""

    def __init__(self):
        note_launch()

    def init(self, node):
        config = node.get("config") or {}
        plan = {name: int(config.get(name, 0)) for name in SETTINGS}
        plan["encoding"] = config.get("content_encoding", "gzip")
        plan["type"] = config.get("emit_type", "telemetry_chunk")
        return {"status": "idle", "streams": 0, "next_seq": 0, "settings": plan, "plan": None}

    def handle_message(self, message, state, context):
        if message["envelope"]["type"] == "tick":
            return self.tick(message["body"], state, context)
        return self.open_stream(message, state, context)

    def recover(self, state, context):
        if state["status"] != "streaming":
            return state, []
        # Should a tick be on its way anyway: it names its chunk, so the later of two does nothing.
        return state, [self.next_tick(state, context, 0.0)]

    def open_stream(self, message, state, context):
        if state["status"] == "streaming":
            return state, [refused(context, "a stream is open")]
        asked = message["body"] if isinstance(message["body"], dict) else {}
        number = state["streams"] + 1
        try:
            plan = planned(asked, number, state["settings"])
        except (TypeError, ValueError) as error:
            return state, [refused(context, str(error))]
        state = {**state, "status": "streaming", "streams": number, "next_seq": 0, "plan": plan}
        opened = {key: plan[key] for key in ("stream_id", "chunks", "interval_ms")}
        return state, [
            context.event("telemetry_stream_opened", opened),
            self.next_tick(state, context, 0.0),
        ]

    def tick(self, due, state, context):
        if state["status"] != "streaming" or due != self.ticket(state):
            return state, []
        plan, seq = state["plan"], state["next_seq"]
        last = seq + 1 == plan["chunks"]
        state = {**state, "next_seq": seq + 1, "status": "closed" if last else "streaming"}
        actions = [self.chunk(plan, seq, last, context)]
        if last:
            closed = {"stream_id": plan["stream_id"], "chunks": seq + 1}
            actions.append(context.event("telemetry_stream_closed", closed))
        else:
            actions.append(self.next_tick(state, context, plan["interval_ms"] / 1000))
        return state, actions

    def chunk(self, plan, seq, last, context):
        start = seq * plan["points_per_chunk"]
        readings = [
            {"n": n, "t_ms": n * SAMPLE_MS, "value": reading(plan, n)}
            for n in range(start, start + plan["points_per_chunk"])
        ]
        return context.emit(
            plan["type"],
            readings,
            class_="stream",
            content_type="application/x-ndjson",
            content_encoding=plan["encoding"],
            correlation_id=plan["stream_id"],
            stream={"stream_id": plan["stream_id"], "seq": seq, "open": seq == 0, "close": last},
        )

    def next_tick(self, state, context, delay_s):
        return context.deliver_later(delay_s, "tick", self.ticket(state))

    def ticket(self, state):
        return {"stream_id": state["plan"]["stream_id"], "seq": state["next_seq"]}
