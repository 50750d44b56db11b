"""`job events` and `job logs`: what happened, and what workers wrote, from the run folder."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import trio
from rich.text import Text

from mnedge.cli.progress import said, severity_of
from mnedge.cli.screen import Screen
from mnedge.cli.show import STYLES, clock, one_line
from mnedge.cli.tail import Record, Tail, parsed
from mnedge.cli.verbs import Asked
from mnedge.config import read_config
from mnedge.daemon.app import opened_store
from mnedge.engine.inspect import AgentView
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL
from mnedge.runtime import jobs
from mnedge.runtime.view import job_view

LOOK_S = 0.25
PAYLOAD_WIDTH = 160
OUTPUT_LINES = 5
LEVEL_STYLES = {"ERROR": "red", "CRITICAL": "red", "WARN": "yellow", "DEBUG": "dim", "TRACE": "dim"}
_SEGMENT = re.compile(r"\.\d{3,}\.jsonl$")


class Wanted(NamedTuple):
    """Which records, and whether to go on."""

    follow: bool = False
    after: int = 0
    types: tuple[str, ...] = ()
    agent: str | None = None
    last: int | None = None

    def wants(self, record: Record) -> bool:
        """Tell whether the record is one of those asked for."""
        seq = record.get("seq")
        if isinstance(seq, int) and seq <= self.after:
            return False
        if self.agent is not None and _agent_of(record) != self.agent:
            return False
        kind = str(record.get("type"))
        return not self.types or any(fnmatchcase(kind, pattern) for pattern in self.types)


async def tell_events(asked: Asked, job_id: str, wanted: Wanted) -> None:
    """Print the events of a job."""
    config = read_config(os.environ, data_dir=asked.data_dir)
    screen = Screen(asked)
    async with opened_store(config) as store:
        record = await jobs.find_job(store, job_id)
        await _tell(screen, store, record, "events", wanted, event_line)


async def tell_logs(asked: Asked, job_id: str, wanted: Wanted) -> None:
    """Print the log records of a job, and what its workers wrote last."""
    config = read_config(os.environ, data_dir=asked.data_dir)
    screen = Screen(asked)
    async with opened_store(config) as store:
        record = await jobs.find_job(store, job_id)
        await _tell(screen, store, record, "logs", wanted, log_line)
        view = await job_view(store, record.job_id)
    written = [
        output
        for output in outputs(view.agents, view.record)
        if wanted.agent in (None, output["agent_id"])
    ]
    if asked.output == "ndjson":
        screen.records(written)
    elif asked.human:
        everything = asked.verbose or wanted.agent is not None
        for output in written:
            screen.say(*output_lines(output, None if everything else OUTPUT_LINES))


async def _tell(
    screen: Screen,
    store: jobs.Stores,
    record: JobRecord,
    name: str,
    wanted: Wanted,
    line_of: Callable[[Record], Text],
) -> None:
    folder = Path(record.run_folder)
    with Tail(folder / f"{name}.jsonl", after=wanted.after) as tail:
        found = [one for one in _history(folder, name, tail) if wanted.wants(one)]
        if wanted.last is not None:
            found = found[-wanted.last :]
        if screen.asked.output == "json" and not wanted.follow:
            screen.document(found)
            return
        _print(screen, found, line_of)
        while wanted.follow:
            over = (await jobs.read_job(store, record.job_id)).status in TERMINAL
            _print(screen, [one for one in tail.look() if wanted.wants(one)], line_of)
            if over:
                return
            await trio.sleep(LOOK_S)


def _history(folder: Path, name: str, tail: Tail) -> Iterator[Record]:
    """Yield what stands in full files, then in the current one."""
    for file in sorted(folder.glob(f"{name}.*.jsonl")):
        if _SEGMENT.search(file.name):
            for line in file.read_bytes().splitlines():
                record = parsed(line)
                if record is not None and tail.is_new(record):
                    yield record
    yield from tail.look()


def _print(screen: Screen, found: Sequence[Record], line_of: Callable[[Record], Text]) -> None:
    if screen.asked.human:
        screen.say(*map(line_of, found))
    else:
        for record in found:
            screen.document(record)
    screen.flush()


def event_line(record: Record) -> Text:
    """Return one event in one line: number, time, type, agent, the telling part."""
    kind = str(record.get("type"))
    payload = record.get("payload")
    payload = payload if isinstance(payload, Mapping) else {}
    severity = severity_of(kind) or ""
    style = STYLES.get(severity) or STYLES.get(kind.removeprefix("job_"), "")
    return Text.assemble(
        (f"{record.get('seq', ''):>6}  {time_of(record)}  ", "dim"),
        (kind.ljust(28), style),
        " ",
        _agent_of(record).ljust(18),
        " ",
        (told(kind, payload), "dim"),
    )


def log_line(record: Record) -> Text:
    """Return one log record in one line."""
    level = str(record.get("level") or "INFO").upper()
    return Text.assemble(
        (f"{time_of(record)}  ", "dim"),
        (level.ljust(8), LEVEL_STYLES.get(level, "")),
        " ",
        str(record.get("component") or _agent_of(record)).ljust(18),
        " ",
        one_line(str(record.get("message") or ""), 400),
    )


def told(kind: str, payload: Mapping[str, Any]) -> str:
    """Return the telling part of an event's payload."""
    if kind == "agent_message_received":
        return f"{payload.get('type', '')} from {payload.get('from', '')}"
    if "lease_id" in payload or kind.startswith("executor_lease"):
        names = ("pool", "slots", "queue_wait_ms", "exit_code", "attempts")
        return " ".join(f"{name}={payload[name]}" for name in names if name in payload)
    return said(payload, PAYLOAD_WIDTH)


def time_of(record: Record) -> str:
    """Return the local time of a record."""
    text = record.get("ts") or record.get("timestamp")
    try:
        return clock(datetime.fromisoformat(str(text)).timestamp())
    except ValueError:
        return " " * 12


def outputs(agents: Sequence[AgentView], record: JobRecord) -> list[dict[str, str]]:
    """Return what each worker wrote last: its stdout and stderr, of a failure as well."""
    found: dict[str, dict[str, str]] = {}
    for agent in agents:
        last = agent.current_state.get("last_result")
        if isinstance(last, Mapping):
            found[agent.agent_id] = _output(agent.agent_id, last)
    result = record.result if isinstance(record.result, Mapping) else {}
    error = result.get("error")
    if isinstance(error, Mapping):
        agent_id = str(result.get("agent_id"))
        found[agent_id] = _output(agent_id, error)
    return [output for output in found.values() if output["stdout"] or output["stderr"]]


def output_lines(output: Mapping[str, str], most: int | None) -> list[Text]:
    """Return what a worker wrote, each line behind its name; the end of it if there is much."""
    lines = []
    for stream, style in (("stdout", ""), ("stderr", "yellow")):
        written = output[stream].splitlines()
        shown = written if most is None else written[-most:]
        if len(shown) < len(written):
            lines.append(
                _output_line(output, stream, f"… {len(written) - len(shown)} before", "dim")
            )
        lines += [_output_line(output, stream, line, style) for line in shown]
    return lines


def _output_line(output: Mapping[str, str], stream: str, line: str, style: str) -> Text:
    head = f"{output['agent_id']:<18} {stream}  "
    return Text.assemble((head, "dim"), (line.replace("\x1b", "␛"), style))


def _output(agent_id: str, result: Mapping[str, Any]) -> dict[str, str]:
    return {
        "agent_id": agent_id,
        **{name: str(result.get(name) or "") for name in ("stdout", "stderr")},
    }


def _agent_of(record: Record) -> str:
    return str(record.get("agent_id") or "")
