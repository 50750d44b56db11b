"""The codec against the protobuf library itself."""

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from mnedge.gateway.grpc.codec import MAP_ENTRIES, WireError, message

TABLE = "text#1:S flag#2:B count#3:u signed#4:i long#5:l files#6:M far#1000:S"
OURS = message("Everything", TABLE)
_KINDS = {"S": 9, "B": 8, "u": 13, "i": 5, "l": 3}


def theirs():
    """Return the class that protobuf makes of the same table."""
    file = descriptor_pb2.FileDescriptorProto(name="x.proto", package="x", syntax="proto3")
    kind = file.message_type.add(name="Everything")
    for field in OURS.fields:
        one = kind.field.add(name=field.name, number=field.number, label=1)
        if field.kind != "M":
            one.type = _KINDS[field.kind]
            continue
        one.label, one.type, one.type_name = 3, 11, ".x.Everything.FilesEntry"
        entry = kind.nested_type.add(name="FilesEntry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=1, type=9)
        entry.field.add(name="value", number=2, label=1, type=12)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("x.Everything"))


Theirs = theirs()
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
values = st.fixed_dictionaries(
    {
        "text": texts,
        "flag": st.booleans(),
        "count": st.integers(0, 2**32 - 1),
        "signed": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1),
        "files": st.dictionaries(texts, st.binary(max_size=300), max_size=5),
        "far": texts,
    }
)


def as_dict(found):
    return {
        field.name: dict(value) if field.kind == "M" else value
        for field in OURS.fields
        for value in [getattr(found, field.name)]
    }


@given(values)
def test_what_we_write_protobuf_reads(given_values):
    assert as_dict(Theirs.FromString(OURS.encode(given_values))) == given_values


@given(values)
def test_what_protobuf_writes_we_read(given_values):
    assert OURS.decode(Theirs(**given_values).SerializeToString()) == given_values


_varints = st.integers(0, 2**64 - 1).map(lambda n: _varint(n)) | st.binary(max_size=11)


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


_fields = st.tuples(
    st.sampled_from([1, 2, 3, 4, 5, 6, 7, 1000, 0, 2**29 - 1]),
    st.integers(0, 7),
    st.binary(max_size=12) | _varints,
    st.booleans(),
).map(lambda t: _varint(t[0] << 3 | t[1]) + (_varint(len(t[2])) if t[3] else b"") + t[2])
_odd = st.lists(_fields, max_size=6).map(b"".join)


@given(_odd | st.binary(max_size=60))
def test_odd_bytes_are_read_as_protobuf_reads_them_or_refused_as_it_refuses_them(content):
    try:
        wanted = as_dict(Theirs.FromString(content))
    except DecodeError:
        with pytest.raises(WireError):
            OURS.decode(content)
    else:
        assert OURS.decode(content) == wanted


@given(values, st.data())
def test_a_message_that_is_cut_is_refused_or_read_as_protobuf_reads_it(given_values, data):
    content = OURS.encode(given_values)
    cut = content[: data.draw(st.integers(0, len(content)))]
    try:
        wanted = as_dict(Theirs.FromString(cut))
    except DecodeError:
        with pytest.raises(WireError):
            OURS.decode(cut)
    else:
        assert OURS.decode(cut) == wanted


def test_a_field_that_no_table_has_is_a_fault_of_ours():
    with pytest.raises(KeyError, match="Everything has no colour"):
        OURS.encode({"colour": "red"})


def test_a_table_that_cannot_be_read_is_a_fault_of_ours():
    with pytest.raises(ValueError, match="cannot be read"):
        message("Odd", "name:1:S")


def test_more_files_than_allowed_are_refused():
    content = Theirs(files={str(n): b"" for n in range(MAP_ENTRIES + 1)}).SerializeToString()
    with pytest.raises(WireError, match="more than 100000 entries"):
        OURS.decode(content)


def test_the_error_names_the_field():
    with pytest.raises(WireError, match=r"Everything\.text is no UTF-8 text"):
        OURS.decode(b"\x0a\x01\xff")
