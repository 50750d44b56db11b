"""Length-prefixed messages over the pipes of a process, and the lines of its stderr."""

import os
import struct
from collections.abc import AsyncIterator
from contextlib import suppress

import trio

from mnedge.ports import Process

LENGTH = struct.Struct(">I")
MAX_FRAME_BYTES = 256 << 20
READ_BYTES = 1 << 16
LINE_BYTES = 1 << 16


class FrameError(Exception):
    """The process ended, or what it says is no frame."""


class Frames:
    """The two ends of one process's protocol; one exchange at a time."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._said_goodbye = False
        self._closed = False

    async def exchange(self, content: bytes) -> bytes:
        """Send a frame, return the next one.

        Raises: FrameError.
        """
        if len(content) > MAX_FRAME_BYTES:
            raise FrameError(f"a message of {len(content)} bytes is too large for a module worker")
        try:
            await self._write(LENGTH.pack(len(content)) + content)
        except (BrokenPipeError, ConnectionResetError):
            raise FrameError("module worker ended") from None
        (length,) = LENGTH.unpack(await self._read(LENGTH.size))
        if length > MAX_FRAME_BYTES:
            raise FrameError("module worker broke its protocol")
        return await self._read(length)

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the lines of stderr until it ends; a long one comes in pieces."""
        kept = b""
        fd = self._process.stderr
        while not self._closed:
            try:
                await trio.lowlevel.wait_readable(fd)
            except trio.ClosedResourceError:
                return
            if self._closed:
                return
            content = os.read(fd, READ_BYTES)
            *whole, kept = (kept + content).split(b"\n")
            if len(kept) > LINE_BYTES or (not content and kept):
                whole, kept = [*whole, kept], b""
            for line in whole:
                yield line
            if not content:
                return

    def say_goodbye(self) -> None:
        """Close its stdin: there are no more requests."""
        if self._process.stdin is not None and not self._said_goodbye:
            self._said_goodbye = True
            nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(nothing, self._process.stdin, inheritable=False)
            os.close(nothing)

    def close(self) -> None:
        """Read no more: the descriptors are about to be closed, and their numbers used again."""
        self._closed = True

    async def _write(self, content: bytes) -> None:
        fd = self._process.stdin
        if fd is None:
            raise FrameError("module worker has no stdin")
        view = memoryview(content)
        while view:
            try:
                view = view[os.write(fd, view) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(fd)

    async def _read(self, length: int) -> bytes:
        fd = self._process.stdout
        kept = bytearray()
        while len(kept) < length:
            with suppress(BlockingIOError):
                content = os.read(fd, min(length - len(kept), 1 << 20))
                if not content:
                    raise FrameError("module worker ended")
                kept += content
                continue
            await trio.lowlevel.wait_readable(fd)
        return bytes(kept)
