"""`background`: runs commands of this machine when nothing else wants the processor.

An agent selects it with `"runner_module": "Template.Runner.Background"` in its config.
"""

import os
import select
import signal
import time
from collections.abc import Mapping
from contextlib import suppress

import trio

from mnedge.model.states import OutcomeStatus
from mnedge.ports import Finished, Launch, LineSink, Process, Spawner

NICENESS = 19
TRUNCATED = b"[truncated by the background runner]"
LINGER_S = 1.0
"""After the command has ended, how long what it left behind may still write."""


class Background:
    """Starts a command with the lowest priority."""

    name = "background"
    modules: tuple[str, ...] = ("Template.Runner.Background",)
    isolation = "process"

    def __init__(self, spawner: Spawner) -> None:
        self._spawner = spawner

    def available(self) -> str | None:
        """Return why it cannot work here, for `mnedge doctor`: it always can."""
        return None

    async def run(self, launch: Launch, on_line: LineSink) -> Finished:
        """Run the command to its end. Whatever goes wrong is a `Finished`, never an exception."""
        begun = time.monotonic()
        command = launch.command
        arguments = ("sh", "-c", command) if isinstance(command, str) else command
        try:
            # The spawner finds the process again, should mnedge die meanwhile.
            process = self._spawner.start(
                arguments,
                token=launch.token,
                environment=launch.environment,
                directory=launch.workdir,
            )
        except OSError as error:
            return Finished(
                status=OutcomeStatus.FAILED,
                error=f"failed to invoke {arguments[0]}: {error.strerror}",
            )
        _make_polite(process)
        outputs = _Outputs(process, launch.max_output_bytes, on_line)
        timed_out = False
        try:
            with trio.move_on_after(launch.timeout_s or float("inf")) as limit:
                await outputs.until_ended()
            timed_out = limit.cancelled_caught
            if timed_out:
                await outputs.stop(launch.grace_s)
            else:
                await outputs.rest(LINGER_S)
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await outputs.stop(launch.grace_s)
            raise
        finally:
            ended = await process.end()  # kills all that is left of its tree
            outputs.close()
        good = ended.code == 0 and not timed_out
        return Finished(
            status=OutcomeStatus.SUCCEEDED if good else OutcomeStatus.FAILED,
            exit_code=ended.code,
            stdout=outputs.stdout.content,
            stderr=outputs.stderr.content,
            error="the command timed out" if timed_out else None,
            dropped_bytes=outputs.dropped_bytes,
            elapsed_s=time.monotonic() - begun,
            rusage={"user_s": ended.user_s, "system_s": ended.system_s},
            extra={"niceness": NICENESS},
        )

    async def sweep(self, tokens: Mapping[str, str]) -> int:
        """Kill what an owner that died left running."""
        return await self._spawner.sweep(tokens)


def _make_polite(process: Process) -> None:
    with suppress(OSError):  # it may have ended already
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)


class _Outputs:
    """The two pipes of a process, and its end."""

    def __init__(self, process: Process, most_bytes: int, on_line: LineSink) -> None:
        self._process = process
        self.stdout = _Kept(most_bytes, on_line)
        self.stderr = _Kept(most_bytes, lambda line: False)
        self._pipes = {process.stdout: self.stdout, process.stderr: self.stderr}
        self._ended = False
        self._ready = select.epoll()
        for descriptor in (*self._pipes, process.exit_fd):
            self._ready.register(descriptor, select.EPOLLIN)

    @property
    def dropped_bytes(self) -> dict[str, int]:
        sizes = {"stdout": self.stdout.dropped_bytes, "stderr": self.stderr.dropped_bytes}
        return {name: size for name, size in sizes.items() if size}

    async def until_ended(self) -> None:
        while not self._ended:
            await self._more()

    async def rest(self, wait_s: float) -> None:
        with trio.move_on_after(wait_s):
            while self._pipes:
                await self._more()

    async def stop(self, grace_s: float) -> None:
        self._process.signal(signal.SIGTERM)
        with trio.move_on_after(grace_s):
            await self.until_ended()
            await self.rest(LINGER_S)

    def close(self) -> None:
        self._ready.close()
        self.stdout.close()
        self.stderr.close()

    async def _more(self) -> None:
        await trio.lowlevel.wait_readable(self._ready.fileno())
        for descriptor, _ in self._ready.poll(0):
            if descriptor == self._process.exit_fd:
                self._ended = True
                self._ready.unregister(descriptor)
            elif content := os.read(descriptor, 1 << 16):
                self._pipes[descriptor].add(content)
            else:
                self._ready.unregister(descriptor)
                del self._pipes[descriptor]


class _Kept:
    """What one stream said, up to a cap; lines that somebody takes are left out."""

    def __init__(self, most_bytes: int, takes: LineSink) -> None:
        self._most_bytes = most_bytes
        self._takes = takes
        self._line = b""
        self.content = b""
        self.dropped_bytes = 0

    def add(self, content: bytes) -> None:
        *lines, self._line = (self._line + content).split(b"\n")
        for line in lines:
            if not self._takes(line):
                self._keep(line + b"\n")
        if len(self._line) > self._most_bytes:
            self._keep(self._line)
            self._line = b""

    def close(self) -> None:
        if self._line and not self._takes(self._line):
            self._keep(self._line)
        self._line = b""
        if self.dropped_bytes and not self.content.endswith(TRUNCATED + b"\n"):
            self.content += b"\n" + TRUNCATED + b"\n"

    def _keep(self, content: bytes) -> None:
        room = max(self._most_bytes - len(self.content), 0)
        self.dropped_bytes += max(len(content) - room, 0)
        self.content += content[:room]
