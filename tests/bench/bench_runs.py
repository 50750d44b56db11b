"""Events published into a run folder, beside appending the same bytes to one file."""

import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import median

from rows import Row

from mnedge.model.events import Event
from mnedge.model.manifest import JobSpec
from mnedge.model.message import Message
from mnedge.model.redaction import redactor_for
from mnedge.store.runs.folder import RunFolder

EVENTS = 60_000
ROUNDS = 3
JOB = "bench-1764000000000-0123456789ab"
AT = 1_764_000_000.0
SPEC = JobSpec(
    blueprint_id="bench",
    graph_id="bench_v1",
    job_name="bench",
    agents=[],
    edges=[],
    entrypoints=[],
    seeds={},
)
ENVIRONMENT = {"API_TOKEN": "sk-live-secret", "DB_PASSWORD": "correct horse"}


def main() -> list[Row]:
    """Return the figures of run folders."""
    events = _events()
    rows = []
    for batch in (256, 3):
        count = EVENTS if batch > 3 else EVENTS // 4
        ours, floors, cpu = [], [], []
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as folder:
                begun = time.process_time()
                took, written = _published(Path(folder), events[:count], batch)
                cpu.append((time.process_time() - begun) / count)
                ours.append(count / took)
                floors.append(count / _appended(Path(folder), written, -(-count // batch)))
        rows.append(
            Row(
                f"events published to a redacted run folder, {batch} at once",
                median(ours),
                "/s",
                median(floors),
                note=f"{median(cpu) * 1e6:.1f} µs of processor each",
            )
        )
    return [*rows, _opened(events)]


def _events() -> list[Event]:
    events = [Event(1, AT, "job_running", None, {})]
    for seq in range(2, EVENTS + 1):
        at, agent = AT + seq // 30 * 0.001, f"worker_{seq % 50}"
        if seq % 3:
            message = Message(
                message_id=f"{seq:043d}",
                type="work_item",
                to=agent,
                sender="source",
                class_="event",
                correlation_id="c",
                at=at,
            )
            events.append(Event(seq, at, "agent_message_received", agent, message))
        else:
            events.append(Event(seq, at, "aggregator_received", "sink", {"count": seq}))
    return events


def _folder(place: Path) -> RunFolder:
    return RunFolder(
        place / "runs",
        place / "data",
        JOB,
        SPEC,
        submitted_at=AT,
        now=lambda: AT,
        redactor=redactor_for({}, ENVIRONMENT),
    )


def _published(place: Path, events: Sequence[Event], batch: int) -> tuple[float, int]:
    """Return the seconds it took, and how many bytes of events there are."""
    run = _folder(place)
    run.open()
    rest = iter(events)
    begun = time.perf_counter()
    while part := list(islice(rest, batch)):
        run.publish(part)
    took = time.perf_counter() - begun
    run.close()
    written = sum(path.stat().st_size for path in run.path.glob("events*.jsonl"))
    return took, written


def _appended(place: Path, written: int, writes: int) -> float:
    content = bytes(written // writes)
    with open(place / "floor", "ab", buffering=0) as file:
        begun = time.perf_counter()
        for _ in range(writes):
            file.write(content)
        return time.perf_counter() - begun


def _opened(events: Sequence[Event]) -> Row:
    """Return how long a new owner needs until it knows the watermark of a long run."""
    with tempfile.TemporaryDirectory() as folder:
        run = _folder(Path(folder))
        run.open()
        run.publish(events)
        run.close()
        took = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            run.open()
            took.append(time.perf_counter() - begun)
            run.close()
    return Row(
        f"a run folder opened again after {EVENTS // 1000} k events",
        median(took) * 1000,
        "ms",
        less_is_better=True,
    )
