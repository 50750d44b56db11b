"""The signed statement beside a release: made where it is built, verified before it is used.

A DSSE envelope: the signature covers the payload's type and the payload's bytes, and nobody reads
the payload before a pinned key has signed it. `cryptography` is imported when it is needed.
Source: https://github.com/secure-systems-lab/dsse (protocol.md, envelope.md), Ed25519.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256

import msgspec
from msgspec import Struct

from mnedge.errors import NotAllowedError, UsageError

SUFFIX = ".release.json"
"""Follows the name of the file that the statement is about."""
PAYLOAD_TYPE = "application/vnd.mnedge.release+json"
MOST_BYTES = 64 << 10
"""No envelope of ours comes near."""
KEY_BYTES = 32
_PRIVATE_KEY = "python packaging/sign.py --new-key FILE makes a pair: PEM, without a password"


class Release(Struct, frozen=True, kw_only=True):
    """What is said of one shipped file."""

    name: str
    version: str
    flavour: str
    platform: str
    """`linux-x86_64`"""
    file: str
    size: int
    sha256: str
    schema: int
    """Newest version of the database's schema that it knows."""
    engine_revision: int
    source_date_epoch: int = 0


class Signature(Struct, frozen=True):
    """One signature of the payload."""

    sig: str
    keyid: str = ""
    """A hint which key it was; nobody is believed for it."""


class Envelope(Struct, frozen=True, rename={"payload_type": "payloadType"}):
    """The file `FILE.release.json`."""

    payload_type: str
    payload: str
    signatures: tuple[Signature, ...]


class EnvelopeInvalidError(UsageError):
    """It is no statement about a release."""

    code = "update.envelope_invalid"


class NotSignedError(NotAllowedError):
    """No pinned key signed it."""

    code = "update.not_signed"


class KeyInvalidError(UsageError):
    """What should be a key is none."""

    code = "update.key_invalid"


def key_id(public: bytes) -> str:
    """Return the short name of a public key, from its raw 32 bytes."""
    return sha256(public).hexdigest()[:16]


def read_keys(lines: Iterable[str]) -> dict[str, bytes]:
    """Return public keys by their id.

    Shapes: a line is `BASE64` or `KEYID BASE64`; empty ones and what follows `#` do not count.
    Raises: KeyInvalidError naming the line.
    """
    keys = {}
    for line in lines:
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            public = b64decode(words[-1], validate=True)
        except (binascii.Error, ValueError):
            public = b""
        if len(words) > 2 or len(public) != KEY_BYTES:
            raise _no_key(line, "base64 of the 32 bytes of an Ed25519 public key")
        if len(words) == 2 and words[0] != key_id(public):
            raise _no_key(line, f"the id of this key, {key_id(public)}, before it")
        keys[key_id(public)] = public
    return keys


def new_key() -> tuple[bytes, str]:
    """Return a new private key as PEM, and the line by which its public half is pinned."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = private.public_key().public_bytes_raw()
    return pem, f"{key_id(public)} {b64encode(public).decode()}"


def sealed(release: Release, *private_pems: bytes) -> bytes:
    """Return the content of `FILE.release.json`, signed with each of the private keys.

    Raises: KeyInvalidError.
    """
    payload = msgspec.json.encode(release)
    envelope = Envelope(
        payload_type=PAYLOAD_TYPE,
        payload=b64encode(payload).decode(),
        signatures=tuple(_signature(payload, pem) for pem in private_pems),
    )
    return msgspec.json.format(msgspec.json.encode(envelope)) + b"\n"


def opened(content: bytes, keys: Mapping[str, bytes]) -> Release:
    """Return what a pinned key has signed; nothing is read of what none has.

    `keys`: by id. Raises: EnvelopeInvalidError; NotSignedError.
    """
    if len(content) > MOST_BYTES:
        raise EnvelopeInvalidError(
            f"a statement of {len(content)} bytes is none of ours",
            hint="is what lies beside the release really its .release.json?",
        )
    try:
        envelope = msgspec.json.decode(content, type=Envelope)
        payload = b64decode(envelope.payload, validate=True)
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError) as error:
        raise EnvelopeInvalidError(
            f"this is no DSSE envelope: {error}",
            hint="it is made with the release, and ends in .release.json",
        ) from error
    if envelope.payload_type != PAYLOAD_TYPE:
        raise EnvelopeInvalidError(
            f"it is about {envelope.payload_type!r}, and not about a release of mnedge",
            hint="fetch the .release.json that was made with this file",
        )
    _require_signed(envelope, payload, keys)
    try:
        return msgspec.json.decode(payload, type=Release)
    except msgspec.DecodeError as error:
        raise EnvelopeInvalidError(
            f"what was signed says too little of a release: {error}",
            hint="it may be made for a newer mnedge; update to one in between first",
        ) from error


def _require_signed(envelope: Envelope, payload: bytes, keys: Mapping[str, bytes]) -> None:
    details = {
        "signed_by": [one.keyid for one in envelope.signatures],
        "pinned": sorted(keys),
    }
    if not keys:
        raise NotSignedError(
            "no key is pinned, so nobody's release is accepted",
            hint="put the publisher's public key into updates.keys of the configuration",
            details=details,
        )
    if not envelope.signatures:
        raise NotSignedError(
            "this release is not signed",
            hint="ask its publisher for one that is: MNEDGE_SIGNING_KEY=… make binary",
            details=details,
        )
    signed = covered(envelope.payload_type, payload)
    if any(_is_signed(signed, one, keys.values()) for one in envelope.signatures):
        return
    if any(one.keyid in keys for one in envelope.signatures):
        raise NotSignedError(
            "the signature does not fit: what was signed was changed since",
            hint="fetch the release and its .release.json again",
            details=details,
        )
    signers = ", ".join(one.keyid or "a key without id" for one in envelope.signatures)
    raise NotSignedError(
        f"this release is signed by {signers}, which is not pinned here",
        hint="if you trust that key, put it into updates.keys of the configuration",
        details=details,
    )


def covered(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that a signature covers (DSSE's pre-authentication encoding)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _signature(payload: bytes, pem: bytes) -> Signature:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyInvalidError(
            f"the private key cannot be read: {error}", hint=_PRIVATE_KEY
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyInvalidError("the private key is of another kind than Ed25519", hint=_PRIVATE_KEY)
    public = private.public_key().public_bytes_raw()
    signature = private.sign(covered(PAYLOAD_TYPE, payload))
    return Signature(keyid=key_id(public), sig=b64encode(signature).decode())


def _is_signed(signed: bytes, one: Signature, keys: Iterable[bytes]) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        signature = b64decode(one.sig, validate=True)
    except (binascii.Error, ValueError):
        return False
    for public in keys:
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, signed)
        except (InvalidSignature, ValueError):
            continue
        return True
    return False


def _no_key(line: str, expected: str) -> KeyInvalidError:
    return KeyInvalidError(
        f"{line.strip()!r} is no key", hint=f"expected is {expected}", details={"line": line}
    )
