"""Signing keys and their lives: next → active → retiring → gone. Pure but for making one.

A key's life is four moments, so its state follows from the date alone: it is published before it
signs, signs until it is relieved, and verifies until the last token it signed has ended.
Source: platform 1.b; thumbprints RFC 7638.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )

ALGORITHM = "ES256"
SKEW_S = 60.0
"""How far clocks may disagree."""
PUBLISHED_BEFORE_S = 3600.0
"""How long a key is known to others before it signs."""
_COORDINATE_BYTES = 32


class KeyState(StrEnum):
    """Where a key is in its life."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRING = "retiring"
    GONE = "gone"


class SigningKey(Struct, frozen=True, kw_only=True):
    """One key pair; the private half is PKCS 8 in PEM."""

    kid: str
    pem: str
    active_at: float
    retiring_at: float
    gone_at: float

    def state(self, now: float) -> KeyState:
        """Return where the key is in its life at that moment."""
        if now < self.active_at:
            return KeyState.NEXT
        if now < self.retiring_at:
            return KeyState.ACTIVE
        return KeyState.RETIRING if now < self.gone_at else KeyState.GONE


class Lives(Struct, frozen=True, kw_only=True):
    """How long keys sign, and how long what they signed may live."""

    rotate_s: float
    ttl_s: float

    @property
    def published_before_s(self) -> float:
        """How long before its turn a key is made; a quarter of a life if lives are short."""
        return min(PUBLISHED_BEFORE_S, self.rotate_s / 4)

    @property
    def kept_s(self) -> float:
        """How long a key verifies after it signed last."""
        return self.ttl_s + SKEW_S


Ring = tuple[SigningKey, ...]
"""All keys that are not gone, the oldest first."""


def advanced(ring: Ring, now: float, lives: Lives, make: Callable[[], tuple[str, str]]) -> Ring:
    """Return the ring as it should be now: with one that signs, the next in time, none gone.

    `make` returns the kid and the PEM of a new key. The same ring comes back if nothing is due. A
    clock that was set back makes no key: whatever comes next in time signs at once.
    """
    kept = tuple(_outlasting(key, lives) for key in ring if key.state(now) is not KeyState.GONE)
    if kept and all(key.state(now) is KeyState.NEXT for key in kept):
        kept = (replace(kept[0], active_at=now), *kept[1:])
    last = kept[-1] if kept else None
    if last is None or last.state(now) is KeyState.RETIRING:
        kept = (*kept, _new(make, now, lives))
        last = kept[-1]
    if last.state(now) is KeyState.ACTIVE and now >= last.retiring_at - lives.published_before_s:
        kept = (*kept, _new(make, last.retiring_at, lives))
    return ring if kept == ring else kept


def signing(ring: Ring, now: float) -> SigningKey:
    """Return the key that signs now; the ring must be `advanced`."""
    return next(key for key in ring if key.state(now) is KeyState.ACTIVE)


def next_change_at(ring: Ring, now: float, lives: Lives) -> float | None:
    """Return when `advanced` will change the ring; None for an empty one."""
    if not ring:
        return None
    moments = [ring[-1].retiring_at - lives.published_before_s]
    moments += [key.gone_at for key in ring]
    later = [moment for moment in moments if moment > now]
    return min(later, default=now)


def verifying(ring: Sequence[SigningKey], kid: str, now: float) -> SigningKey | None:
    """Return the key of that name if what it signed may still be good."""
    for key in ring:
        if key.kid == kid and key.state(now) is not KeyState.GONE:
            return key
    return None


def new_key() -> tuple[str, str]:
    """Return the thumbprint and the PEM of a new P-256 key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return thumbprint(jwk(key.public_key())), pem.decode()


def private_key(key: SigningKey) -> "EllipticCurvePrivateKey":
    """Return the key as the cryptographic library takes it.

    Raises: ValueError if it is no P-256 key.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    loaded = serialization.load_pem_private_key(key.pem.encode(), None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey) or loaded.curve.name != "secp256r1":
        raise ValueError(f"key {key.kid} is not on the curve P-256")
    return loaded


def jwk(public: "EllipticCurvePublicKey") -> dict[str, str]:
    """Return the members of a JWK that name the key and nothing else."""
    numbers = public.public_numbers()
    return {"crv": "P-256", "kty": "EC", "x": _coordinate(numbers.x), "y": _coordinate(numbers.y)}


def thumbprint(members: dict[str, str]) -> str:
    """Return the SHA-256 thumbprint of a key's required members."""
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return _text(sha256(canonical.encode()).digest())


def jwks(ring: Ring, now: float) -> dict[str, Any]:
    """Return the public halves of all keys that sign, signed or will sign."""
    return {
        "keys": [
            jwk(private_key(key).public_key())
            | {"use": "sig", "alg": ALGORITHM, "kid": key.kid, "key_ops": ["verify"]}
            for key in ring
            if key.state(now) is not KeyState.GONE
        ]
    }


def _new(make: Callable[[], tuple[str, str]], at: float, lives: Lives) -> SigningKey:
    kid, pem = make()
    retiring_at = at + lives.rotate_s
    return SigningKey(
        kid=kid,
        pem=pem,
        active_at=at,
        retiring_at=retiring_at,
        gone_at=retiring_at + lives.kept_s,
    )


def _outlasting(key: SigningKey, lives: Lives) -> SigningKey:
    """Keep a key longer if tokens may live longer than they might when it was made."""
    gone_at = max(key.gone_at, key.retiring_at + lives.kept_s)
    return key if gone_at == key.gone_at else replace(key, gone_at=gone_at)


def _coordinate(number: int) -> str:
    return _text(number.to_bytes(_COORDINATE_BYTES, "big"))


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()
