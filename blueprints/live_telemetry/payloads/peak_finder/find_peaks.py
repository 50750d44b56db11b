"""Find peaks in one chunk of readings, knowing all chunks before it.

Reads the encoded body (NDJSON, maybe gzip), the place in the stream from the message, and the
state that the last run returned. Whole numbers only: equal chunks give equal states everywhere.
"""

import gzip
import json
import os
import sys
import zlib

SCALE = 1024  # baseline and spread are kept in 1/1024 of a hundredth
RELEARN_AFTER = 5  # so many peaks in a row are no peaks but a new level
RECENT = 8


def note_launch():
    path = os.environ.get("MNEDGE_LAUNCH_LOG")
    if path:
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(log, (os.environ.get("MNEDGE_LAUNCH", "") + "\n").encode())
        os.close(log)


def read_json(variable):
    with open(os.environ[variable], encoding="utf-8") as file:
        return json.load(file)


def read_body():
    with open(os.environ["MN_BODY_FILE"], "rb") as file:
        body = file.read()
    encoding = os.environ.get("MN_BODY_CONTENT_ENCODING", "identity")
    if encoding not in ("gzip", "identity"):
        sys.exit(f"unsupported content_encoding {encoding!r}")
    return gzip.decompress(body) if encoding == "gzip" else body


def fresh(stream_id):
    return {
        "stream_id": stream_id,
        "next_seq": 0,
        "chunks": 0,
        "points": 0,
        "peaks": 0,
        "peaks_in_a_row": 0,
        "baseline": None,
        "spread": 0,
        "recent_peaks": [],
        "missed_chunks": 0,
        "repeated_chunks": 0,
        "checksum": 0,
        "closed": False,
    }


def find_peaks(state, readings):
    """Return the peaks among the readings; baseline and spread follow all other readings."""
    warmup = int(os.environ.get("WARMUP_POINTS", "16"))
    min_rise = int(os.environ.get("MIN_RISE", "300")) * SCALE
    multiplier = int(os.environ.get("SPREAD_MULTIPLIER", "4"))
    peaks = []
    for point in readings:
        value = int(point["value"]) * SCALE
        if state["baseline"] is None:
            state["baseline"] = value
        rise = value - state["baseline"]
        is_peak = state["points"] >= warmup and rise > max(min_rise, multiplier * state["spread"])
        state["points"] += 1
        state["peaks_in_a_row"] = state["peaks_in_a_row"] + 1 if is_peak else 0
        if is_peak:
            peaks.append({"n": point["n"], "value": point["value"], "rise": rise // SCALE})
        if not is_peak or state["peaks_in_a_row"] > RELEARN_AFTER:
            state["baseline"] += rise >> 4
            state["spread"] += (abs(rise) - state["spread"]) >> 4
    return peaks


def main():
    note_launch()
    stream = read_json("MN_MESSAGE_FILE").get("stream") or {}
    stream_id, seq = str(stream.get("stream_id", "")), int(stream.get("seq", 0))
    state = read_json("MN_CONTEXT_FILE").get("agent_state") or {}
    if state.get("stream_id") != stream_id:
        state = fresh(stream_id)
    where = {"stream_id": stream_id, "seq": seq}
    if seq < state["next_seq"]:
        state["repeated_chunks"] += 1
        print(
            json.dumps(
                {
                    "next_state": state,
                    "events": [{"type": "telemetry_chunk_repeated", "payload": where}],
                }
            )
        )
        return

    events = []
    if seq > state["next_seq"]:
        state["missed_chunks"] += seq - state["next_seq"]
        events.append(
            {
                "type": "telemetry_chunks_missed",
                "payload": {**where, "count": seq - state["next_seq"]},
            }
        )
    readings = [json.loads(line) for line in read_body().splitlines() if line.strip()]
    peaks = find_peaks(state, readings)
    state["next_seq"] = seq + 1
    state["chunks"] += 1
    state["peaks"] += len(peaks)
    state["recent_peaks"] = (state["recent_peaks"] + peaks)[-RECENT:]
    told = "".join(f"{point['n']}={point['value']};" for point in readings)
    state["checksum"] = zlib.crc32(told.encode(), state["checksum"])
    state["closed"] = bool(stream.get("close"))

    answer = {"next_state": state, "events": events}
    if peaks:
        alert = {**where, "peaks": peaks}
        events.append({"type": "telemetry_peaks_found", "payload": alert})
        answer["emit_messages"] = [
            {
                "type": "telemetry_alert",
                "class": "event",
                "content_type": "application/json",
                "content_encoding": "identity",
                "body": alert,
            }
        ]
    if state["closed"]:
        figures = ("chunks", "points", "peaks", "missed_chunks", "repeated_chunks", "checksum")
        events.append(
            {
                "type": "telemetry_stream_finished",
                "payload": {**where, **{name: state[name] for name in figures}},
            }
        )
    print(json.dumps(answer))


main()
