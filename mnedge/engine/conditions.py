"""Conditions on edges, compiled once per job into functions.

Source: worker contract 2.3.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from mnedge.model.body import BlobRef, Gathered, value_at
from mnedge.model.message import Message

_EXPRESSION = re.compile(
    r"\s*\$\{([A-Za-z0-9_.-]+)\}\s*(==|!=|>=|<=|>|<|(?:contains|in|exists)\b)\s*(.*?)\s*",
    re.DOTALL | re.ASCII,
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_OF_MESSAGE: dict[str, Callable[[Message], Any]] = {
    "body": lambda message: message.body,
    "headers": lambda message: message.headers,
    "type": lambda message: message.type,
    "class": lambda message: message.class_,
    "from": lambda message: message.sender,
    "to": lambda message: message.to,
}


class Asked(NamedTuple):
    """What an emission's conditions may ask about."""

    message: Message
    """The message being handled."""
    payload: Any
    """The body being emitted."""
    state: Callable[[str], Any]
    """Gives the agent's state under the root `state` or `agent_state`, made when asked for."""


Condition = Callable[[Asked], bool]
Question = Callable[[Asked], Any]


class Compiled(NamedTuple):
    """One edge's condition. `holds` None: always."""

    holds: Condition | None
    paths: frozenset[str]
    """Dotted paths into bodies and states that it asks for."""


def compile_condition(declared: Any) -> Compiled:
    """Return the condition as a function; what the grammar does not know never holds."""
    if declared is None or declared == {}:
        return Compiled(None, frozenset())
    paths: set[str] = set()
    return Compiled(_condition(declared, paths), frozenset(paths))


def _condition(declared: Any, paths: set[str]) -> Condition:
    if declared is None or declared == {}:
        return _always
    if not isinstance(declared, dict):
        return _never
    if isinstance(declared.get("all"), list):
        parts = tuple(_condition(part, paths) for part in declared["all"])
        return lambda asked: all(part(asked) for part in parts)
    if isinstance(declared.get("any"), list):
        parts = tuple(_condition(part, paths) for part in declared["any"])
        return lambda asked: any(part(asked) for part in parts)
    if "not" in declared:
        inner = _condition(declared["not"], paths)
        return lambda asked: not inner(asked)
    if isinstance(declared.get("path"), str):
        return _comparison(declared["path"], declared.get("op", "=="), declared.get("value"), paths)
    if isinstance(declared.get("expr"), str):
        return _expression(declared["expr"], paths)
    return _never


def _always(asked: Asked) -> bool:
    del asked
    return True


def _never(asked: Asked) -> bool:
    del asked
    return False


def _expression(text: str, paths: set[str]) -> Condition:
    found = _EXPRESSION.fullmatch(text)
    if found is None:
        return _never
    path, operator, right = found.groups()
    return _comparison(path, operator, _literal(right), paths)


def _literal(text: str) -> Any:
    try:
        return msgspec.json.decode(text.encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError):
        for quote in "'\"":
            if len(text) >= 2 and text[0] == quote == text[-1]:
                return text[1:-1]
        return text


def _comparison(path: str, operator: Any, expected: Any, paths: set[str]) -> Condition:
    test = _TESTS.get(operator) if isinstance(operator, str) else None
    question = _question(path, paths)
    if test is None or question is None:
        return _never
    return lambda asked: test(question(asked), expected)


def _question(path: str, paths: set[str]) -> Question | None:
    root, *rest = path.split(".")
    if root == "message":
        return _message_question(rest, paths)
    below = tuple(rest)
    if below and root in ("payload", "state", "agent_state"):
        paths.add(".".join(below))
    if root == "payload":
        return lambda asked: value_at(asked.payload, below)
    if root in ("state", "agent_state"):
        return lambda asked: value_at(asked.state(root), below)
    return None


def _message_question(rest: list[str], paths: set[str]) -> Question | None:
    if not rest or rest[0] not in _OF_MESSAGE:
        return None
    part, below = _OF_MESSAGE[rest[0]], tuple(rest[1:])
    if below:
        paths.add(".".join(below))
    return lambda asked: value_at(part(asked.message), below)


def same(left: Any, right: Any) -> bool:
    """Tell whether two JSON values are equal: 1 is 1.0, but neither "1" nor true."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    if isinstance(left, Gathered):
        left = left.items()
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def number(value: Any) -> int | float | None:
    """Return the number that a value is or spells, else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and len(value) <= 400 and _NUMBER.fullmatch(value.strip()):
        text = value.strip()
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    return None


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def test(found: Any, expected: Any) -> bool:
        left, right = number(found), number(expected)
        return left is not None and right is not None and compare(left, right)

    return test


def _contains(found: Any, expected: Any) -> bool:
    if isinstance(found, str):
        return isinstance(expected, str) and expected in found
    if isinstance(found, list):
        return any(same(item, expected) for item in found)
    if isinstance(found, Gathered):
        return any(same(item, expected) for item in found.items())
    if isinstance(found, dict):
        return isinstance(expected, str) and expected in found
    if isinstance(found, BlobRef):
        return isinstance(expected, str) and expected in found.values
    return False


def _in(found: Any, expected: Any) -> bool:
    return isinstance(expected, list) and any(same(found, item) for item in expected)


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "==": same,
    "!=": lambda found, expected: not same(found, expected),
    ">": _ordered(lambda left, right: bool(left > right)),
    ">=": _ordered(lambda left, right: bool(left >= right)),
    "<": _ordered(lambda left, right: bool(left < right)),
    "<=": _ordered(lambda left, right: bool(left <= right)),
    "contains": _contains,
    "in": _in,
    "exists": lambda found, expected: found is not None,
}


def suffixes(path: str) -> list[str]:
    """Return the path and each of its endings: a reference may stand anywhere along the way."""
    parts = path.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]
