"""Where output goes: a terminal, a pipe that a person reads, or a program that reads JSON."""

import sys
from collections.abc import Iterable
from functools import cached_property
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from mnedge.cli import show
from mnedge.cli.verbs import Asked


class Screen:
    """Prints what a verb has to say, in the way that was asked for."""

    def __init__(self, asked: Asked, stream: TextIO | None = None) -> None:
        self.asked = asked
        self.stream = sys.stdout if stream is None else stream

    @cached_property
    def console(self) -> Console:
        """The terminal, for people."""
        plain = self.asked.color is False
        return Console(
            file=self.stream,
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=True,
            force_terminal=True if self.asked.color else None,
            no_color=True if plain else None,
            color_system=None if plain else "auto",
            legacy_windows=False,
        )

    @property
    def live(self) -> bool:
        """True if what is printed can be drawn over again."""
        return self.asked.human and self.stream.isatty() and not self.console.is_dumb_terminal

    @property
    def width(self) -> int | None:
        """Cells in a line; None where nothing has to be cut."""
        return self.console.width if self.stream.isatty() else None

    def say(self, *lines: str | Text) -> None:
        """Print lines for a person; nothing in JSON modes."""
        if self.asked.human:
            for line in lines:
                self.console.print(show.harmless(line))

    def mark(self, sign: str, style: str, text: str) -> None:
        """Print a line behind a coloured sign."""
        self.say(Text.assemble((sign, style), " ", text))

    def good(self, text: str) -> None:
        """Say that something was done."""
        self.mark(show.GOOD, "bold green", text)

    def note(self, text: str) -> None:
        """Say something that a person should know."""
        self.mark(show.NOTE, "bold yellow", text)

    def hint(self, text: str) -> None:
        """Say quietly what can be done next."""
        self.say(Text(f"  {text}", "dim"))

    def document(self, value: Any) -> None:
        """Print one value for a program: indented with `json`, one line with `ndjson`."""
        text = show.as_document(value) if self.asked.output == "json" else show.as_line(value)
        self.stream.write(text + "\n")

    def records(self, values: Iterable[Any]) -> None:
        """Print many values for a program: a list with `json`, one per line with `ndjson`."""
        if self.asked.output == "json":
            self.document(list(values))
        else:
            for value in values:
                self.document(value)

    def flush(self) -> None:
        """Push out what was printed."""
        self.stream.flush()
