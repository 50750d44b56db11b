"""What the daemon says on stderr: one JSON object a line, or plain text for people at a terminal.

Whoever says something never waits. Lines that stderr cannot take now wait within a bound; what is
over it is dropped, counted, and told as soon as there is room again.
"""

import logging
import os
import select
import socket
import stat
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import trio

from mnedge.config.settings import Logs
from mnedge.model.redaction import REDACTED, is_secret_name
from mnedge.part import Part
from mnedge.ports import Clock

MOST_BYTES = 1 << 20
"""Of lines that wait for stderr."""
LINE_BYTES = 32 << 10
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_PIPE_BYTES = 4096
"""So much a pipe that is writable takes without blocking."""


def as_it_is(text: str) -> str:
    """Hide nothing."""
    return text


class Log(Part):
    """Writes lines to a descriptor. `run` only waits for one that was full."""

    def __init__(
        self,
        settings: Callable[[], Logs],
        *,
        now: Clock,
        fd: int = 2,
        redact: Callable[[str], str] = as_it_is,
    ) -> None:
        self._settings = settings
        self._now = now
        self._fd = fd
        self._redact = redact
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._told_dropped = 0
        self._full = trio.Event()
        self.dropped = 0
        """Lines that were never written."""
        self.written = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write what waited as soon as somebody reads again; until then sleep."""
        task_status.started()
        while True:
            await self._full.wait()
            while self._waiting:
                await trio.lowlevel.wait_writable(self._fd)
                self._drain()
            self._full = trio.Event()

    def enabled(self, level: str) -> bool:
        """Tell whether lines of this level are written."""
        return LEVELS[level] >= LEVELS[self._settings().level]

    def say(self, level: str, component: str, message: str, **fields: Any) -> None:
        """Write a line; `fields` with None are left out."""
        if self.enabled(level):
            self._put(level, component, message, fields)

    def broke(self, component: str, message: str, error: BaseException, **fields: Any) -> None:
        """Write that something broke unexpectedly, with the traceback."""
        trace = "".join(traceback.format_exception(error))
        self._put("error", component, message, {**fields, "error": str(error), "traceback": trace})

    def told_by(self, component: str) -> Callable[[str, str, Mapping[str, Any]], None]:
        """Return a function (level, message, fields) that writes for a component."""

        def tell(level: str, message: str, fields: Mapping[str, Any]) -> None:
            if self.enabled(level):
                self._put(level, component, message, fields)

        return tell

    def _put(self, level: str, component: str, message: str, fields: Mapping[str, Any]) -> None:
        line = self._rendered(level, component, message, fields)
        if self._waiting_bytes + len(line) > MOST_BYTES:
            self.dropped += 1
            return
        if self.dropped > self._told_dropped:
            new, self._told_dropped = self.dropped - self._told_dropped, self.dropped
            told = self._rendered("warning", "logs", "lines were dropped", {"dropped": new})
            self._waiting.append(told)
            self._waiting_bytes += len(told)
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        self._drain()
        if self._waiting:
            self._full.set()

    def _rendered(
        self, level: str, component: str, message: str, fields: Mapping[str, Any]
    ) -> bytes:
        moment = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds")
        kept = {
            key: REDACTED if isinstance(value, str) and is_secret_name(key) else value
            for key, value in fields.items()
            if value is not None
        }
        if self._settings().format == "text":
            more = " ".join(f"{key}={_short(value)}" for key, value in kept.items())
            text = f"{moment[11:23]} {level.upper():7} {component}: {message}"
            text = f"{text}  {more}" if more else text
            whole = text if "traceback" not in kept else f"{text}\n{kept['traceback']}"
        else:
            record = {
                "ts": moment.replace("+00:00", "Z"),
                "level": level,
                "component": component,
                "message": message,
                **kept,
            }
            whole = msgspec.json.encode(record, enc_hook=str).decode()
        content = self._redact(whole).encode(errors="replace")
        if len(content) > LINE_BYTES:
            return self._rendered(
                level, component, message[:1000], {"cut": True, "size_bytes": len(content)}
            )
        return content + b"\n"

    def _drain(self) -> None:
        """Write what can be written without waiting."""
        try:
            while self._waiting:
                written = self._written(self._waiting[0])
                if written is None:
                    return
                line = self._waiting[0]
                self._waiting_bytes -= written
                if written == len(line):
                    self._waiting.popleft()
                    self.written += 1
                else:
                    self._waiting[0] = line[written:]
        except OSError:
            self.dropped += len(self._waiting)  # nobody will ever read it
            self._waiting.clear()
            self._waiting_bytes = 0

    def _written(self, line: bytes) -> int | None:
        """Return how many bytes were taken; None if none can be now."""
        mode = os.fstat(self._fd).st_mode
        if stat.S_ISREG(mode):
            return os.write(self._fd, line)
        if stat.S_ISSOCK(mode):
            with socket.socket(fileno=os.dup(self._fd)) as peer:
                try:
                    return peer.send(line, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    return None
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        found = poll.poll(0)
        if not found or not found[0][1] & (select.POLLOUT | select.POLLERR):
            return None
        try:
            return os.write(self._fd, line[:_PIPE_BYTES])
        except BlockingIOError:
            return None


def _short(value: Any) -> str:
    if isinstance(value, str):
        text = value.split("\n", 1)[0][:200]
        return f'"{text}"' if " " in text or not text else text
    return msgspec.json.encode(value, enc_hook=str).decode()[:200]


class Bridge(logging.Handler):
    """Takes what is said through `logging`; `extra={"fields": {…}}` becomes members of the line."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write it under the library's name."""
        for name, number in reversed(LEVELS.items()):
            if record.levelno >= number or name == "debug":
                component, _, _ = record.name.removeprefix("mnedge.").partition(".")
                if record.exc_info is not None and record.exc_info[1] is not None:
                    self._log.broke(component, record.getMessage(), record.exc_info[1])
                else:
                    fields = getattr(record, "fields", {})
                    self._log.say(name, component, record.getMessage(), **fields)
                return
