"""Read JSON that strangers wrote: exact places in every complaint, no surprises afterwards.

What comes back can be walked by recursion, encoded as UTF-8 and stored as msgpack: nesting is
limited, numbers are finite and fit 64 bits, strings are whole Unicode, and no key stands twice in
one object.
"""

import json
import math
import re
from typing import Any, NamedTuple

MAX_BYTES = 16 << 20
MAX_DEPTH = 128
_BOM = b"\xef\xbb\xbf"
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"')
_SCALAR = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")
_SPACE = re.compile(r"[ \t\n\r]*")


class JsonInvalidError(ValueError):
    """The text is not acceptable JSON; `line` and `column` start at 1 (0: the text as a whole)."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


class Read(NamedTuple):
    """A document, and the keys that stand twice in one of its objects."""

    value: Any
    duplicates: list[JsonInvalidError]


class _Suspicious(ValueError):
    """Something the fast reader cannot place."""


def read(content: bytes) -> Read:
    """Return the document; of a key that stands twice the last one counts, and its place is told.

    Raises: JsonInvalidError.
    """
    text = _decode(content)
    seen_twice = False

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal seen_twice
        found = dict(members)
        seen_twice = seen_twice or len(found) != len(members)
        return found

    try:
        value = json.loads(
            text,
            object_pairs_hook=pairs,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        raise JsonInvalidError(_plain(error.msg), error.lineno, error.colno) from None
    except RecursionError:
        raise _too_deep(text) from None
    except _Suspicious:
        _Walk(text).document()  # raises with the place
        raise  # pragma: no cover - the walk finds whatever the hooks refuse
    if _deeper_than(value, MAX_DEPTH):
        raise _too_deep(text)
    if seen_twice or _SURROGATE_ESCAPE.search(text):
        return Read(value, _Walk(text).document())
    return Read(value, [])


def _decode(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise JsonInvalidError(f"larger than {MAX_BYTES >> 20} MiB")
    if content.startswith(_BOM):
        content = content[len(_BOM) :]
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        line, column = _place(before, len(before))
        raise JsonInvalidError("not UTF-8 text", line, column) from None


def _place(text: str, position: int) -> tuple[int, int]:
    start = text.rfind("\n", 0, position) + 1
    return text.count("\n", 0, position) + 1, position - start + 1


def _plain(message: str) -> str:
    """Say what Python's reader found in one plain phrase."""
    return message[0].lower() + message[1:]


def _integer(digits: str) -> int:
    if len(digits) > 20 or not _INT_MIN <= (number := int(digits)) <= _INT_MAX:
        raise _Suspicious
    return number


def _number(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise _Suspicious
    return number


def _constant(_name: str) -> float:
    raise _Suspicious


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        level = [
            member
            for container in level
            for member in (container.values() if isinstance(container, dict) else container)
            if isinstance(member, dict | list)
        ]
        if not level:
            return False
    return True


def _too_deep(text: str) -> JsonInvalidError:
    try:
        _Walk(text).document()
    except JsonInvalidError as error:
        return error
    return JsonInvalidError(f"nested deeper than {MAX_DEPTH} levels")


class _Walk:
    """A slow second reading that knows where it stands; it never recurses."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.duplicates: list[JsonInvalidError] = []

    def document(self) -> list[JsonInvalidError]:
        """Return the keys that stand twice.

        Raises: JsonInvalidError at the first place that breaks a rule.
        """
        stack: list[set[str] | None] = []  # per open container: an object's keys, None for a list
        self._space()
        while True:
            closed = self._value(stack)
            while closed and stack:
                closed = self._after_member(stack)
            if not stack:
                return self.duplicates

    def _value(self, stack: list[set[str] | None]) -> bool:
        """Read or open one value; tell whether it is finished."""
        opener = self.text[self.position : self.position + 1]
        if opener in ("{", "["):
            if len(stack) >= MAX_DEPTH:
                raise self._error(f"nested deeper than {MAX_DEPTH} levels")
            self.position += 1
            self._space()
            if self.text[self.position : self.position + 1] == ("}" if opener == "{" else "]"):
                self.position += 1
                return True
            stack.append(set() if opener == "{" else None)
            if opener == "{":
                self._key(stack[-1])
            return False
        if opener == '"':
            self._string()
            return True
        self._scalar()
        return True

    def _after_member(self, stack: list[set[str] | None]) -> bool:
        """Step over `,` to the next member, or close the container; tell whether it closed."""
        self._space()
        follows = self.text[self.position : self.position + 1]
        if follows == ("]" if stack[-1] is None else "}"):
            self.position += 1
            stack.pop()
            return True
        if follows != ",":
            raise self._error("expecting ',' delimiter")
        self.position += 1
        self._space()
        if stack[-1] is not None:
            self._key(stack[-1])
        return False

    def _key(self, keys: set[str] | None) -> None:
        start = self.position
        key = self._string()
        if keys is not None:
            if key in keys:
                place = _place(self.text, start)
                self.duplicates.append(JsonInvalidError(f"key {key!r} stands twice", *place))
            keys.add(key)
        self._space()
        if self.text[self.position : self.position + 1] != ":":
            raise self._error("expecting ':' delimiter")
        self.position += 1
        self._space()

    def _string(self) -> str:
        match = _STRING.match(self.text, self.position)
        if match is None:
            raise self._error("expecting a string in double quotes")
        value = match.group()[1:-1]
        if "\\" in value:
            value = json.loads(match.group())
            if any("\ud800" <= character <= "\udfff" for character in value):
                raise self._error("half of a surrogate pair in a string")
        self.position = match.end()
        return value

    def _scalar(self) -> None:
        match = _SCALAR.match(self.text, self.position)
        if match is None:
            raise self._error("expecting value")
        word = match.group()
        if word[0] in "-0123456789":
            whole = not set(word) & set(".eE")
            if whole and (len(word) > 20 or not _INT_MIN <= int(word) <= _INT_MAX):
                raise self._error("number does not fit 64 bits")
            if not whole and not math.isfinite(float(word)):
                raise self._error("number is too large")
        self.position = match.end()

    def _space(self) -> None:
        self.position = _SPACE.match(self.text, self.position).end()  # type: ignore[union-attr]

    def _error(self, message: str) -> JsonInvalidError:
        return JsonInvalidError(message, *_place(self.text, self.position))
