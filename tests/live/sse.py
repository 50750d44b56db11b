"""A plain reader of event streams over a unix socket, fast enough for hundreds in one process."""

import re
from pathlib import Path

import trio

_ID = re.compile(rb"^id: (.*)$", re.MULTILINE)
_OVER = re.compile(rb"^event: run_completed$", re.MULTILINE)
_EVENT = re.compile(rb"^event: (end|lagged|gap)$", re.MULTILINE)


class Stream:
    """One stream: the ids it told, and how it ended."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.ids: list[str] = []
        self.last = ""
        """`end`, `lagged`, or empty: cut in the middle."""
        self.over = 0
        """Jobs whose last record it told."""
        self.status = 0
        self.whole = False
        """The answer was ended properly."""
        self._socket: trio.SocketStream | None = None
        self._head = b""
        self._raw = b""
        self._text = b""

    async def open(self, socket: Path) -> None:
        """Ask, and read nothing."""
        self._socket = await trio.open_unix_socket(str(socket))
        asked = f"GET {self.path} HTTP/1.1\r\nhost: node\r\naccept: text/event-stream\r\n\r\n"
        await self._socket.send_all(asked.encode())

    async def read(self) -> bool:
        """Take what has come; False at the end."""
        assert self._socket is not None
        try:
            part = await self._socket.receive_some(1 << 16)
        except trio.BrokenResourceError:
            part = b""
        if not part:
            return False
        self._raw += part
        if not self.status:
            head, blank, rest = self._raw.partition(b"\r\n\r\n")
            if not blank:
                return True
            self.status, self._raw = int(head.split(b" ")[1]), rest
        self._unchunk()
        return not self.whole

    def _unchunk(self) -> None:
        at, raw = 0, self._raw
        while True:
            end = raw.find(b"\r\n", at)
            if end < 0:
                break
            size = int(raw[at:end], 16)
            if size == 0:
                self.whole = True
                break
            if end + 2 + size + 2 > len(raw):
                break
            self._text += raw[end + 2 : end + 2 + size]
            at = end + 2 + size + 2
        self._raw = raw[at:]
        told, blank, rest = self._text.rpartition(b"\n\n")
        if blank:
            self.ids += [one.decode() for one in _ID.findall(told)]
            self.over += len(_OVER.findall(told))
            for word in _EVENT.findall(told):
                self.last = word.decode()
            self._text = rest

    async def to_the_end(self) -> None:
        """Read until the stream is over."""
        while await self.read():
            pass
        await self.close()

    async def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            await self._socket.aclose()
