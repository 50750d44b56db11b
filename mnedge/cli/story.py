"""`job events` and `job logs`: what happened, and what workers wrote, from the run folder."""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import trio
from rich.text import Text

from mnedge.cli.desk import Stream
from mnedge.cli.progress import said, severity_of
from mnedge.cli.reach import desk
from mnedge.cli.screen import Screen
from mnedge.cli.show import STYLES, clock, one_line, shortened, visible
from mnedge.cli.verbs import Asked
from mnedge.store.runs.readers import Record

TYPE_CELLS = 37
PAYLOAD_WIDTH = 160
OUTPUT_LINES = 5
OUTPUT_WIDTH = 200
OUTPUT_STYLES = {"stdout": "green", "stderr": "yellow"}
LEVEL_STYLES = {"ERROR": "red", "CRITICAL": "red", "WARN": "yellow", "DEBUG": "dim", "TRACE": "dim"}


class Wanted(NamedTuple):
    """Which records, and whether to go on."""

    follow: bool = False
    after: int = 0
    types: tuple[str, ...] = ()
    agent: str | None = None
    last: int | None = None

    def wants(self, record: Record) -> bool:
        """Tell whether the record is one of those asked for."""
        if self.agent is not None and _agent_of(record) != self.agent:
            return False
        kind = str(record.get("type"))
        return not self.types or any(fnmatchcase(kind, pattern) for pattern in self.types)


async def tell_events(asked: Asked, job_id: str, wanted: Wanted) -> None:
    """Print the events of a job."""
    async with desk(asked) as here:
        stream = await here.events(await here.find(job_id), wanted.after)
        await _tell(Screen(asked), stream, wanted, lambda record: [event_line(record)])


async def tell_logs(asked: Asked, job_id: str, wanted: Wanted) -> None:
    """Print the log records of a job and what its workers wrote, in the order of time."""
    most = None if asked.verbose or wanted.agent is not None else OUTPUT_LINES
    async with desk(asked) as here:
        stream = await here.logs(await here.find(job_id))
        await _tell(Screen(asked), stream, wanted, lambda record: log_lines(record, most))


async def _tell(
    screen: Screen,
    stream: Stream,
    wanted: Wanted,
    lines_of: Callable[[Record], list[Text]],
) -> None:
    if wanted.follow and not screen.asked.human:
        screen = Screen(screen.asked._replace(output="ndjson"))
    found = [one for one in await stream.look() if wanted.wants(one)]
    if wanted.last is not None:
        found = found[-wanted.last :]
    if screen.asked.output == "json":
        screen.document(found)
        return
    _print(screen, found, lines_of)
    if wanted.follow:

        def take(more: list[Record]) -> None:
            _print(screen, [one for one in more if wanted.wants(one)], lines_of)

        await interruptible(lambda: stream.follow(take))


async def interruptible(work: Callable[[], Awaitable[None]]) -> None:
    """Do the work until it is done or somebody presses Ctrl-C.

    The signal is waited for: one that is raised inside a library may be swallowed there.
    """
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_interrupt, signals)
            await work()
            nursery.cancel_scope.cancel()


async def _interrupt(signals: AsyncIterator[int]) -> None:
    async for _ in signals:
        raise KeyboardInterrupt


def _print(
    screen: Screen, found: Sequence[Record], lines_of: Callable[[Record], list[Text]]
) -> None:
    for record in found:
        if screen.asked.human:
            screen.say(*lines_of(record))
        else:
            screen.document(record)
    screen.flush()


def event_line(record: Record) -> Text:
    """Return one event in one line: number, time, type, agent, the telling part."""
    kind = str(record.get("type"))
    payload = record.get("payload")
    payload = payload if isinstance(payload, Mapping) else {}
    severity = severity_of(kind) or ""
    style = STYLES.get(severity) or STYLES.get(kind.removeprefix("job_"), "")
    line = Text.assemble(
        (f"{record.get('seq', ''):>6}  {time_of(record)}  ", "dim"),
        (kind.ljust(TYPE_CELLS), style),
        " ",
        _who(kind, record).ljust(18),
        " ",
        (told(kind, payload), "dim"),
    )
    line.rstrip()
    return line


def log_lines(record: Record, most: int | None = None) -> list[Text]:
    """Return one log record in one line, or what a worker wrote in at most `most` per stream."""
    if record.get("type") == "worker_output":
        return [*_output_lines(record, "stdout", most), *_output_lines(record, "stderr", most)]
    level = str(record.get("level") or "INFO").upper()
    message = one_line(str(record.get("message") or ""), 400)
    component = str(record.get("component") or _agent_of(record))
    return [_log_line(record, level, LEVEL_STYLES.get(level, ""), component, message)]


def _output_lines(record: Record, stream: str, most: int | None) -> list[Text]:
    agent = _agent_of(record)
    every = str(record.get(stream) or "").splitlines()
    shown = every if most is None else every[-most:]
    width = 10_000 if most is None else OUTPUT_WIDTH
    lines = [
        _log_line(record, stream, OUTPUT_STYLES[stream], agent, shortened(line, width))
        for line in shown
    ]
    if len(shown) < len(every):
        missing = f"… {len(every) - len(shown)} lines before; --agent {agent} shows all"
        lines.insert(0, _log_line(record, stream, "dim", agent, missing))
    return lines


def _log_line(record: Record, word: str, style: str, who: str, message: str) -> Text:
    return Text.assemble(
        (f"{time_of(record)}  ", "dim"),
        (word.ljust(8), style),
        " ",
        who.ljust(18),
        " ",
        visible(message),
    )


def told(kind: str, payload: Mapping[str, Any]) -> str:
    """Return the telling part of an event's payload."""
    if kind == "agent_message_received":
        chain = payload.get("correlation_id")
        came = f"{payload.get('type', '')} from {payload.get('from', '')}"
        return f"{came}  correlation {chain}" if chain else came
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


def _who(kind: str, record: Record) -> str:
    """Return the step that an event of the ledger is about, else the agent."""
    step = record.get("step_id")
    if kind.startswith("workflow_step_") and isinstance(step, str) and step:
        return step
    return _agent_of(record)


def _agent_of(record: Record) -> str:
    return str(record.get("agent_id") or "")
