"""How things look: words for times, sizes and statuses, aligned columns, bounded JSON.

Pure: nothing here prints, and nothing reads a clock.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import zip_longest
from typing import Any, NamedTuple

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from mnedge.model.body import BlobRef

STYLES = {
    "completed": "green",
    "running": "cyan",
    "pending": "dim",
    "validated": "dim",
    "scheduled": "dim",
    "paused": "yellow",
    "waiting_for_human": "yellow",
    "failed": "red",
    "faulted": "red",
    "cancelled": "yellow",
    "error": "red",
    "warning": "yellow",
}
"""How a status is coloured; whatever is not listed is plain."""

GOOD, BAD, NOTE = "✓", "✗", "!"

_SIGNS = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
    **dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD),
}
"""Control characters as pictures; those without one, and what turns text around, as `�`."""
READING_CELLS = 100


class Cell(NamedTuple):
    """A piece of text in a column."""

    text: str
    style: str = ""
    right: bool = False


def status(word: str) -> Text:
    """Return a status in its colour."""
    return Text(word, STYLES.get(word, ""))


def counted(count: int, one: str, many: str = "") -> str:
    """Return `1 agent`, `3 agents`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def moment(at: float, zone: tzinfo | None = None) -> str:
    """Return local date and time to the second."""
    return datetime.fromtimestamp(at, tz=UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def clock(at: float, zone: tzinfo | None = None) -> str:
    """Return local time to the millisecond."""
    return datetime.fromtimestamp(at, tz=UTC).astimezone(zone).strftime("%H:%M:%S.%f")[:-3]


def ago(at: float, now: float) -> str:
    """Return `just now`, `5 s ago`, `3 min ago`, `2 h ago`, `4 d ago`."""
    seconds = now - at
    if seconds < 2:
        return "just now"
    for below_s, one_s, unit in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h")):
        if seconds < below_s:
            return f"{int(seconds // one_s)} {unit} ago"
    return f"{int(seconds // 86400)} d ago"


def one_line(value: Any, width: int = 100) -> str:
    """Return any value as one line of at most `width` cells."""
    text = value if isinstance(value, str) else as_line(value)
    return shortened(" ".join(text.split()), width)


def visible(text: str) -> str:
    """Return the text with signs in place of what would steer a terminal, character by character.

    Line breaks and tabs stay. What workers, manifests and messages say may hold anything.
    """
    return text if text.isascii() and text.isprintable() else text.translate(_SIGNS)


def harmless(line: str | Text) -> Text:
    """Return a line to print that shows what would steer the terminal, and does not do it."""
    text = Text(line) if isinstance(line, str) else line
    plain = visible(text.plain)
    if plain != text.plain:
        text = text.copy()
        text.plain = plain
    return text


def shortened(text: str, width: int) -> str:
    """Return the text cut to `width` cells, with an ellipsis where something is missing."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(width - 1, 0)).rstrip() + "…" if width > 0 else ""


def middle(text: str, width: int) -> str:
    """Return the text cut to `width` cells in its middle: of ids, both ends tell."""
    if cell_len(text) <= width or width < 5:
        return shortened(text, width)
    head = (width - 1) // 2
    tail = width - 1 - head
    return f"{text[:head]}…{text[-tail:]}"


def columns(
    rows: Sequence[Sequence[Cell | str]], *, gap: int = 2, width: int | None = None
) -> list[Text]:
    """Return aligned lines without trailing blanks; `width` cuts the last column to fit."""
    cells = [[Cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    widths = [
        max((cell_len(cell.text) for cell in column if cell is not None), default=0)
        for column in zip_longest(*cells)
    ]
    return [_line(row, widths, gap, width) for row in cells]


def _line(row: Sequence[Cell], widths: Sequence[int], gap: int, width: int | None) -> Text:
    line = Text()
    for index, cell in enumerate(row):
        last = index == len(row) - 1
        shown = cell.text
        if last and width is not None and index == len(widths) - 1:
            shown = shortened(shown, width - line.cell_len)
        padding = " " * (widths[index] - cell_len(shown))
        if cell.right:
            line.append(padding)
        line.append(shown, cell.style)
        if not last:
            line.append(("" if cell.right else padding) + " " * gap)
    line.rstrip()
    return line


def fields(pairs: Iterable[tuple[str, str | Text]], *, indent: int = 2) -> list[Text]:
    """Return one aligned line per pair, names dimmed; pairs with an empty value are left out."""
    kept = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in kept), default=0)
    lines = []
    for name, value in kept:
        line = Text(" " * indent)
        line.append(name.ljust(width + 2), "dim")
        line.append_text(value if isinstance(value, Text) else Text(value))
        lines.append(line)
    return lines


def reading_width(terminal: int | None, indent: int = 2) -> int:
    """Return how wide indented JSON may be: as the terminal, but no wider than one reads well."""
    return READING_CELLS if terminal is None else min(READING_CELLS, terminal - indent)


def bounded(value: Any, *, lines: int = 40, width: int = READING_CELLS) -> tuple[list[str], int]:
    """Return the first lines of the value as JSON for reading, and how many are missing."""
    if isinstance(value, str):
        every = value.splitlines()
    else:
        every = list(_laid_out(msgspec.to_builtins(value, enc_hook=_plain, str_keys=True), width))
    return [shortened(line, width + 60) for line in every[:lines]], max(len(every) - lines, 0)


def _laid_out(
    value: Any, width: int, indent: int = 0, head: str = "", tail: str = ""
) -> Iterator[str]:
    """Yield JSON in which everything that fits stands on one line."""
    margin = " " * indent
    flat = margin + head + json.dumps(value, ensure_ascii=False) + tail
    if not isinstance(value, dict | list) or not value or cell_len(flat) <= width:
        yield flat
        return
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    yield margin + head + opening
    if isinstance(value, dict):
        labelled = [(f"{json.dumps(name, ensure_ascii=False)}: ", value[name]) for name in value]
    else:
        labelled = [("", item) for item in value]
    if not any(isinstance(item, dict | list) for _, item in labelled) and isinstance(value, list):
        yield from _filled(value, width, indent + 2)
    else:
        for number, (label, item) in enumerate(labelled, 1):
            comma = "," if number < len(labelled) else ""
            yield from _laid_out(item, width, indent + 2, label, comma)
    yield margin + closing + tail


def _filled(items: Sequence[Any], width: int, indent: int) -> Iterator[str]:
    """Yield lines, each with as many of the plain values as fit."""
    margin = line = " " * indent
    for number, item in enumerate(items, 1):
        word = json.dumps(item, ensure_ascii=False) + ("," if number < len(items) else "")
        if line != margin and cell_len(line) + 1 + cell_len(word) > width:
            yield line
            line = margin
        line += word if line == margin else f" {word}"
    yield line


def _plain(value: Any) -> Any:
    if isinstance(value, BlobRef):
        return {"blob": value.digest, "size_bytes": value.size_bytes}
    return str(value)


def as_line(value: Any) -> str:
    """Return the value as one line of JSON."""
    return msgspec.json.encode(value, enc_hook=_plain).decode()


def as_document(value: Any) -> str:
    """Return the value as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=_plain), indent=2).decode()
