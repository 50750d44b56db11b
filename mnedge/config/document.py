"""A YAML text with the place of every value: what the loader of the configuration looks at.

One document, no duplicate keys, no merge keys; aliases are followed, within bounds.
"""

from typing import Any

import yaml
from msgspec import Struct

from mnedge.config.problem import Problem

MOST_BYTES = 1 << 20
DEEPEST = 64
MOST_NODES = 20_000
_FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Marked(Struct, frozen=True):
    """A value and where it stands. `value`: a scalar, a list of these, or a `Keyed` by key."""

    value: Any
    line: int
    column: int
    text: str = ""
    """A scalar as it was written."""


class Keyed(Struct, frozen=True):
    """A member of a mapping: where its key stands, and its value."""

    line: int
    column: int
    member: Marked


class UnreadableError(Exception):
    """The text is no YAML document that can be used; carries what to tell."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def parsed(text: str, source: str) -> tuple[Marked | None, list[Problem]]:
    """Return the document, None if it is empty, and what is wrong with its keys.

    Raises: UnreadableError.
    """
    if len(text.encode()) > MOST_BYTES:
        raise _unreadable(source, "the file is larger than 1 MiB", None)
    try:
        _measure(text, source)
        loader = _FAST(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None, []
            walk = _Walk(loader, source)
            return walk.marked(node, "", 0), walk.problems
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        said = " ".join(filter(None, (error.problem, error.context))) or "it is not YAML"
        raise _unreadable(source, said, error.problem_mark or error.context_mark) from None
    except (yaml.YAMLError, ValueError) as error:
        raise _unreadable(source, " ".join(str(error).split()), None) from None


def _measure(text: str, source: str) -> None:
    """Refuse what is nested so deep that reading it would cost the stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_FAST):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            mark = event.start_mark
            raise _unreadable(source, f"more than {DEEPEST} levels inside each other", mark)


def _unreadable(source: str, message: str, mark: Any) -> UnreadableError:
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
    return UnreadableError(
        Problem(rule="CFG-E01", message=message, source=source, line=line, column=column)
    )


class _Walk:
    """Turns nodes into values with places."""

    def __init__(self, loader: Any, source: str) -> None:
        self._loader = loader
        self._source = source
        self._left = MOST_NODES
        self.problems: list[Problem] = []

    def marked(self, node: Any, path: str, depth: int) -> Marked:
        self._left -= 1
        if self._left < 0 or depth > DEEPEST:
            why = "aliases lead in a circle" if depth > DEEPEST else "too many values"
            raise _unreadable(self._source, why, node.start_mark)
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        if isinstance(node, yaml.MappingNode):
            return Marked(self._members(node, path, depth), line, column)
        if isinstance(node, yaml.SequenceNode):
            items = [
                self.marked(item, f"{path}[{number}]", depth + 1)
                for number, item in enumerate(node.value)
            ]
            return Marked(items, line, column)
        return Marked(self._loader.construct_object(node), line, column, node.value)

    def _members(self, node: Any, path: str, depth: int) -> dict[str, Keyed]:
        members: dict[str, Keyed] = {}
        for key, value in node.value:
            line, column = key.start_mark.line + 1, key.start_mark.column + 1
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None or key.tag == "tag:yaml.org,2002:merge":
                self._tell("CFG-E04", "a key must be a plain text", path, line, column)
                continue
            inner = f"{path}.{name}" if path else name
            if name in members:
                first = members[name].line
                self._tell(
                    "CFG-E02",
                    f"stands here twice; the first is in line {first}",
                    inner,
                    line,
                    column,
                )
                continue
            members[name] = Keyed(line, column, self.marked(value, inner, depth + 1))
        return members

    def _tell(self, rule: Any, message: str, path: str, line: int, column: int) -> None:
        self.problems.append(
            Problem(
                rule=rule, message=message, path=path, source=self._source, line=line, column=column
            )
        )
