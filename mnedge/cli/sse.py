"""Server-sent events taken apart, however the bytes are cut. Pure.

Source: WHATWG HTML, 9.2.6.
"""

from typing import NamedTuple

_BOM = b"\xef\xbb\xbf"


class Frame(NamedTuple):
    """One event of a stream."""

    event: str
    data: bytes
    mark: str
    """The last id that was told: what a client gives back to go on from here."""


class Parser:
    """Takes pieces of a stream and gives the events that are whole."""

    def __init__(self, mark: str = "") -> None:
        self.mark = mark
        self._rest = b""
        self._begun = False
        self._after_cr = False
        self._event = ""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[Frame]:
        """Return the events that this piece completes."""
        if self._after_cr and piece:
            piece, self._after_cr = piece.removeprefix(b"\n"), False
        content = self._rest + piece
        if not self._begun:
            if len(content) < len(_BOM) and _BOM.startswith(content):
                self._rest = content
                return []
            content, self._begun = content.removeprefix(_BOM), True
        if content.endswith(b"\r"):
            self._after_cr = True
        *lines, self._rest = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        return [frame for line in lines if (frame := self._take(line)) is not None]

    def _take(self, line: bytes) -> Frame | None:
        if not line:
            return self._whole()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"event":
                self._event = value.decode(errors="replace")
            case b"data":
                self._data.append(value)
            case b"id" if b"\0" not in value:
                self.mark = value.decode(errors="replace")
            case _:
                pass  # a comment, or what a later version says
        return None

    def _whole(self) -> Frame | None:
        event, self._event = self._event or "message", ""
        data, self._data = self._data, []
        return Frame(event, b"\n".join(data), self.mark) if data else None
