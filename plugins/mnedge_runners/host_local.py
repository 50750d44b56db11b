"""Run commands as processes of this machine, without a sandbox."""

import os
import select
import signal
import time
from collections.abc import Mapping
from typing import Any

import trio

from mnedge.hookspecs import hookimpl
from mnedge.model.states import OutcomeStatus
from mnedge.ports import Exit, Finished, Launch, LineSink, Process, Runner, Spawner

TRUNCATED = b"[truncated by host local output cap]"
LINGER_S = 1.0
"""After the command has ended, how long what it left behind may still write to its pipes."""
READ_BYTES = 1 << 16


class HostLocal:
    """Starts a command in its workspace and reads its two pipes."""

    name = "host_local"
    modules: tuple[str, ...] = ("MirrorNeuron.Runner.HostLocal",)
    isolation = "process"

    def __init__(self, spawner: Spawner) -> None:
        self._spawner = spawner

    def available(self) -> str | None:
        """Every machine that runs mnedge can do it."""
        return None

    async def run(self, launch: Launch, on_line: LineSink) -> Finished:
        """Run the command to its end, its timeout, or our cancellation."""
        started_at = time.monotonic()
        arguments = _arguments(launch.command)
        try:
            process = self._spawner.start(
                arguments,
                token=launch.token,
                environment=launch.environment,
                directory=launch.workdir,
            )
        except OSError as error:
            return Finished(
                status=OutcomeStatus.FAILED,
                error=f"failed to invoke {arguments[0]}: {_why(error)}",
                elapsed_s=time.monotonic() - started_at,
            )
        reading = _Reading(process, launch.max_output_bytes, on_line)
        timed_out = False
        try:
            with trio.move_on_after(launch.timeout_s or float("inf")) as deadline:
                await reading.until_ended()
            if timed_out := deadline.cancelled_caught:
                await reading.stop(launch.grace_s)
            else:
                await reading.finish(LINGER_S)
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await reading.stop(launch.grace_s)
            raise
        finally:
            ended = await process.end()
            reading.close()
        return _finished(reading, ended, launch, time.monotonic() - started_at, timed_out=timed_out)

    async def sweep(self, tokens: Mapping[str, str]) -> int:
        """Kill what a dead owner's launches left on this machine."""
        return await self._spawner.sweep(tokens)


class _Reading:
    """The two pipes of a process and its end, watched by one task."""

    def __init__(self, process: Process, cap_bytes: int, on_line: LineSink) -> None:
        self._process = process
        self.stdout = Captured(cap_bytes, on_line)
        self.stderr = Captured(cap_bytes, None)
        self._pipes = {process.stdout: self.stdout, process.stderr: self.stderr}
        self._ended = False
        self._ready = select.epoll()
        for fd in (*self._pipes, process.exit_fd):
            self._ready.register(fd, select.EPOLLIN)

    async def until_ended(self) -> None:
        """Read until the command itself has ended."""
        while not self._ended:
            await self._more()

    async def finish(self, wait_s: float) -> None:
        """Read what is left, waiting so long for what the command left behind."""
        with trio.move_on_after(wait_s):
            while self._pipes:
                await self._more()

    async def stop(self, grace_s: float) -> None:
        """Ask the whole process group to end, and give it time."""
        self._process.signal(signal.SIGTERM)
        self._process.signal(signal.SIGCONT)
        with trio.move_on_after(grace_s):
            await self.until_ended()
            await self.finish(LINGER_S)

    def close(self) -> None:
        """Stop watching; take in what the pipes still hold."""
        self._ready.close()
        self.stdout.close()
        self.stderr.close()

    async def _more(self) -> None:
        await trio.lowlevel.wait_readable(self._ready.fileno())
        for fd, _ in self._ready.poll(0):
            if fd == self._process.exit_fd:
                self._ended = True
                self._ready.unregister(fd)
            elif content := os.read(fd, READ_BYTES):
                self._pipes[fd].add(content)
            else:
                self._ready.unregister(fd)
                del self._pipes[fd]


class Captured:
    """What a stream said, up to a cap; lines that the sink takes are left out."""

    def __init__(self, cap_bytes: int, on_line: LineSink | None) -> None:
        self._cap_bytes = cap_bytes
        self._on_line = on_line
        self._kept = bytearray()
        self._line = bytearray()
        self._inside_long_line = False
        self.dropped_bytes = 0
        self._marked = False

    def add(self, content: bytes) -> None:
        """Take in the next piece."""
        if self._on_line is None:
            self._keep(content)
            return
        *lines, rest = content.split(b"\n")
        for line in lines:
            self._end_line(line)
        self._line += rest
        if len(self._line) > self._cap_bytes:
            # No protocol line is that long; do not hold it until its end comes.
            self._keep(self._line)
            self._line.clear()
            self._inside_long_line = True

    def close(self) -> None:
        """The stream is over: a last line without a newline counts."""
        if self._line and self._on_line is not None:
            line = bytes(self._line)
            if self._inside_long_line or not self._on_line(line):
                self._keep(line)
            self._line.clear()
        if self.dropped_bytes and not self._marked:
            newline = b"" if self._kept.endswith(b"\n") else b"\n"
            self._kept += newline + TRUNCATED + b"\n"
            self._marked = True

    @property
    def content(self) -> bytes:
        """What was kept, with a last line that says so if something was dropped."""
        return bytes(self._kept)

    def _end_line(self, rest: bytes) -> None:
        line = rest
        if self._line:
            line = bytes(self._line) + rest
            self._line.clear()
        long_line, self._inside_long_line = self._inside_long_line, False
        if long_line or not (self._on_line and self._on_line(line)):
            self._keep(line + b"\n")

    def _keep(self, content: bytes | bytearray) -> None:
        room = max(self._cap_bytes - len(self._kept), 0)
        self.dropped_bytes += max(len(content) - room, 0)
        self._kept += content[:room]


def _arguments(command: tuple[str, ...] | str) -> tuple[str, ...]:
    return ("bash", "-lc", command) if isinstance(command, str) else command


def _why(error: OSError) -> str:
    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror}{where}"


def _finished(
    reading: _Reading, ended: Exit, launch: Launch, elapsed_s: float, *, timed_out: bool
) -> Finished:
    succeeded = ended.code == 0 and not timed_out
    return Finished(
        status=OutcomeStatus.SUCCEEDED if succeeded else OutcomeStatus.FAILED,
        exit_code=ended.code,
        stdout=reading.stdout.content,
        stderr=reading.stderr.content,
        error="host local command timed out" if timed_out else None,
        dropped_bytes=_dropped(reading),
        elapsed_s=elapsed_s,
        rusage=_rusage(ended),
        extra=_extra(ended, launch, timed_out=timed_out),
    )


def _dropped(reading: _Reading) -> dict[str, int]:
    dropped = {"stdout": reading.stdout.dropped_bytes, "stderr": reading.stderr.dropped_bytes}
    return {stream: size for stream, size in dropped.items() if size}


def _extra(ended: Exit, launch: Launch, *, timed_out: bool) -> dict[str, Any]:
    extra: dict[str, Any] = {} if ended.signal is None else {"signal": ended.signal}
    if timed_out and launch.timeout_s is not None:
        extra["timeout_ms"] = round(launch.timeout_s * 1000)
    return extra


def _rusage(ended: Exit) -> dict[str, float]:
    used = {"user_s": ended.user_s, "system_s": ended.system_s}
    return used | ({"max_rss_bytes": ended.max_rss_bytes} if ended.max_rss_bytes else {})


@hookimpl
def runners(spawner: Spawner) -> list[Runner]:
    """Bring `host_local`."""
    return [HostLocal(spawner)]
