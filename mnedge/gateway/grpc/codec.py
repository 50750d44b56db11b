"""Protocol Buffers as far as the services need them, driven by tables.

Messages are flat: text, booleans, integers, and maps from text to bytes. They are plain dicts here:
a decoded one has every field of its table, with its default where none came.
Source: the encoding guide of Protocol Buffers, proto3.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mnedge.errors import UsageError

MAP_ENTRIES = 100_000
"""So many files may come with one message."""
_GROUP_DEPTH = 100
_VARINT, _FIXED64, _BYTES, _GROUP, _END_GROUP, _FIXED32 = range(6)
_U64 = (1 << 64) - 1
_FIELD = re.compile(r"(\w+)#(\d+):([SBuilM])")
_DEFAULTS: dict[str, Any] = {"S": "", "B": False, "u": 0, "i": 0, "l": 0}


class WireError(UsageError):
    """The bytes are no message of this type."""

    code = "grpc.message_malformed"


class Field(NamedTuple):
    """A member of a message. Kinds: S text, B boolean, u uint32, i int32, l int64, M map."""

    name: str
    number: int
    kind: str


class Message:
    """A message type."""

    def __init__(self, name: str, *fields: Field) -> None:
        self.name = name
        self.fields = fields
        self._by_number = {field.number: field for field in fields}

    def decode(self, content: bytes) -> dict[str, Any]:
        """Return the message; fields that are not in the table are skipped.

        Raises: WireError.
        """
        found = {
            field.name: {} if field.kind == "M" else _DEFAULTS[field.kind] for field in self.fields
        }
        for number, wire_type, value in _members(content, self.name):
            field = self._by_number.get(number)
            if field is None or wire_type != _wire_type(field.kind):
                continue
            if field.kind == "M":
                key, entry = self._entry(field, value)
                files = found[field.name]
                files[key] = entry
                if len(files) > MAP_ENTRIES:
                    raise WireError(
                        f"{self.name}.{field.name} has more than {MAP_ENTRIES} entries",
                        hint="pack them into fewer files",
                    )
            else:
                found[field.name] = self._scalar(field, value)
        return found

    def encode(self, values: Mapping[str, Any]) -> bytes:
        """Return the bytes of a message; what is missing stays at its default.

        Raises: KeyError if the table has no such field.
        """
        unknown = values.keys() - {field.name for field in self.fields}
        if unknown:
            raise KeyError(f"{self.name} has no {', '.join(sorted(unknown))}")
        out = bytearray()
        for field in self.fields:
            value = values.get(field.name)
            if not value:
                continue
            tag = _varint(field.number << 3 | _wire_type(field.kind))
            if field.kind == "M":
                for key, content in value.items():
                    entry = _delimited(b"\x0a", key.encode()) + _delimited(b"\x12", content)
                    out += _delimited(tag, entry)
            elif field.kind == "S":
                out += _delimited(tag, value.encode())
            else:
                out += tag + _varint(int(value) & _U64)
        return bytes(out)

    def _scalar(self, field: Field, value: Any) -> Any:
        match field.kind:
            case "S":
                return _text(value, f"{self.name}.{field.name}")
            case "B":
                return value != 0
            case "u":
                return value & 0xFFFFFFFF
            case "i":
                return _signed(value, 32)
            case _:
                return _signed(value, 64)

    def _entry(self, field: Field, content: bytes) -> tuple[str, bytes]:
        where = f"{self.name}.{field.name}"
        key, value = "", b""
        for number, wire_type, member in _members(content, where):
            if wire_type != _BYTES:
                continue
            if number == 1:
                key = _text(member, where)
            elif number == 2:
                value = member
        return key, value


def message(name: str, fields: str = "") -> Message:
    """Return a message type from its table, written `name#number:kind …`."""
    found = [
        Field(match[1], int(match[2]), match[3])
        for one in fields.split()
        if (match := _FIELD.fullmatch(one))
    ]
    if len(found) != len(fields.split()):
        raise ValueError(f"the table of {name} cannot be read: {fields}")
    return Message(name, *found)


def _wire_type(kind: str) -> int:
    return _BYTES if kind in "SM" else _VARINT


def _members(content: bytes, where: str) -> Iterator[tuple[int, int, Any]]:
    """Yield number, wire type and value of each field; what stands in groups is skipped."""
    at, end = 0, len(content)
    groups: list[int] = []
    while at < end:
        tag, at = _read_varint(content, at, where, most=5)
        number, wire_type = tag >> 3, tag & 7
        value: Any = None
        if not number or tag >= 1 << 32:
            raise WireError(f"{where}: a field has no valid number")
        if wire_type == _VARINT:
            value, at = _read_varint(content, at, where)
        elif wire_type == _BYTES:
            size, at = _read_varint(content, at, where)
            value, at = content[at : at + size], at + size
        elif wire_type in (_FIXED32, _FIXED64):
            at += 4 if wire_type == _FIXED32 else 8
        elif wire_type == _GROUP and len(groups) < _GROUP_DEPTH:
            groups.append(number)
        elif wire_type == _END_GROUP and groups and groups[-1] == number:
            groups.pop()
            continue
        else:
            raise WireError(f"{where}: field {number} has wire type {wire_type}")
        if at > end:
            break
        if not groups:
            yield number, wire_type, value
    if at > end or groups:
        raise WireError(f"{where} is cut off", hint="send the whole message")


def _read_varint(content: bytes, at: int, where: str, *, most: int = 10) -> tuple[int, int]:
    value = shift = 0
    for position in range(at, min(at + most, len(content))):
        byte = content[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > _U64:
                break
            return value, position + 1
        shift += 7
    raise WireError(f"{where}: a number is cut off or too long")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _delimited(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _text(content: bytes, where: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise WireError(f"{where} is no UTF-8 text") from None


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
