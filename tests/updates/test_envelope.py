"""The signed statement beside a release."""

from base64 import b64decode, b64encode

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from mnedge.updates.envelope import (
    MOST_BYTES,
    PAYLOAD_TYPE,
    EnvelopeInvalidError,
    KeyInvalidError,
    NotSignedError,
    Release,
    covered,
    key_id,
    new_key,
    opened,
    read_keys,
    sealed,
)

RELEASE = Release(
    name="mnedge",
    version="1.2.0",
    flavour="lean",
    platform="linux-x86_64",
    file="mnedge",
    size=5,
    sha256="ab" * 32,
    schema=1,
    engine_revision=1,
    source_date_epoch=7,
)
PEM, LINE = new_key()
KEYS = read_keys([LINE])
OTHER_PEM, OTHER_LINE = new_key()


def test_what_was_sealed_opens_again():
    assert opened(sealed(RELEASE, PEM), KEYS) == RELEASE


def test_the_file_has_the_agreed_members():
    document = msgspec.json.decode(sealed(RELEASE, PEM))
    assert list(document) == ["payloadType", "payload", "signatures"]
    assert document["signatures"][0]["keyid"] == LINE.split()[0]
    assert list(msgspec.json.decode(b64decode(document["payload"]))) == [
        *("name", "version", "flavour", "platform", "file", "size", "sha256"),
        *("schema", "engine_revision", "source_date_epoch"),
    ]


def test_what_is_signed_is_the_encoding_that_dsse_prescribes():
    assert covered("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@given(st.data())
def test_a_payload_with_any_byte_changed_is_refused(data):
    document = msgspec.json.decode(sealed(RELEASE, PEM))
    payload = bytearray(b64decode(document["payload"]))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))
    document["payload"] = b64encode(payload).decode()
    with pytest.raises(NotSignedError, match="changed since"):
        opened(msgspec.json.encode(document), KEYS)


@given(st.integers(0, 511))
def test_a_signature_with_any_bit_changed_is_refused(bit):
    document = msgspec.json.decode(sealed(RELEASE, PEM))
    signature = bytearray(b64decode(document["signatures"][0]["sig"]))
    signature[bit // 8] ^= 1 << bit % 8
    document["signatures"][0]["sig"] = b64encode(signature).decode()
    with pytest.raises(NotSignedError):
        opened(msgspec.json.encode(document), KEYS)


def test_another_type_is_refused_though_it_is_signed():
    document = msgspec.json.decode(sealed(RELEASE, PEM))
    document["payloadType"] = "application/vnd.in-toto+json"
    with pytest.raises(EnvelopeInvalidError, match="in-toto"):
        opened(msgspec.json.encode(document), KEYS)


def test_an_unknown_key_is_refused_by_its_name():
    with pytest.raises(NotSignedError, match=f"signed by {OTHER_LINE.split()[0]}"):
        opened(sealed(RELEASE, OTHER_PEM), KEYS)


def test_a_key_that_lies_about_its_id_is_refused():
    document = msgspec.json.decode(sealed(RELEASE, OTHER_PEM))
    document["signatures"][0]["keyid"] = LINE.split()[0]
    with pytest.raises(NotSignedError):
        opened(msgspec.json.encode(document), KEYS)


def test_one_good_signature_of_several_is_enough():
    assert opened(sealed(RELEASE, OTHER_PEM, PEM), KEYS) == RELEASE
    assert opened(sealed(RELEASE, OTHER_PEM, PEM), read_keys([OTHER_LINE])) == RELEASE


def test_a_good_signature_without_an_id_counts():
    document = msgspec.json.decode(sealed(RELEASE, PEM))
    del document["signatures"][0]["keyid"]
    assert opened(msgspec.json.encode(document), KEYS) == RELEASE


def test_without_signatures_or_keys_nothing_is_accepted():
    with pytest.raises(NotSignedError, match="is not signed"):
        opened(sealed(RELEASE), KEYS)
    with pytest.raises(NotSignedError, match="no key is pinned"):
        opened(sealed(RELEASE, PEM), {})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\x7fELF",
        b'{"payloadType": 1, "payload": "", "signatures": []}',
        msgspec.json.encode({"payloadType": PAYLOAD_TYPE, "payload": "a-b", "signatures": []}),
        b" " * (MOST_BYTES + 1),
        b'{"later":' + b"[" * 50_000,
    ],
)
def test_what_is_no_envelope_is_refused(content):
    with pytest.raises(EnvelopeInvalidError):
        opened(content, KEYS)


def test_a_broken_signature_beside_a_good_one_does_no_harm():
    document = msgspec.json.decode(sealed(RELEASE, PEM))
    document["signatures"].insert(0, {"keyid": LINE.split()[0], "sig": "no base64!"})
    assert opened(msgspec.json.encode(document), KEYS) == RELEASE


def test_keys_are_read_with_and_without_their_id_and_comments():
    bare = LINE.split()[1]
    assert read_keys(["# ours", "", f"{bare}  # the old one", OTHER_LINE]) == {
        LINE.split()[0]: b64decode(bare),
        OTHER_LINE.split()[0]: b64decode(OTHER_LINE.split()[1]),
    }


@pytest.mark.parametrize(
    "line",
    ["nonsense", "QUJD", f"0123456789abcdef {LINE.split()[1]}", f"a b {LINE.split()[1]}"],
    ids=["a word", "a short key", "the id of another key", "a word too many"],
)
def test_a_line_that_is_no_key_is_named(line):
    with pytest.raises(KeyInvalidError, match="is no key"):
        read_keys([line])


def test_a_private_key_of_another_kind_signs_nothing():
    pem = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(KeyInvalidError, match="another kind"):
        sealed(RELEASE, pem)
    with pytest.raises(KeyInvalidError, match="cannot be read"):
        sealed(RELEASE, b"no pem")


def test_the_id_of_a_key_is_the_beginning_of_its_hash():
    assert key_id(bytes(32)) == "66687aadf862bd77"
