"""A signed token, made without the library that reads them: it brings HTTP, mail and X.509 along.

A node that nobody has shown a token to signs the ones in its endpoint files and holds no more.
Source: RFC 7515 3.1 and 7.1, RFC 7518 3.4.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from mnedge.identity.keys import ALGORITHM, SigningKey, private_key

_NUMBER_BYTES = 32


def signed(claims: Mapping[str, Any], key: SigningKey) -> str:
    """Return the compact form of a JWT.

    Raises: ValueError if it is no P-256 key.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, utils
    from cryptography.hazmat.primitives.hashes import SHA256

    header = {"alg": ALGORITHM, "kid": key.kid, "typ": "JWT"}
    text = f"{_part(header)}.{_part(claims)}"
    r, s = utils.decode_dss_signature(
        private_key(key).sign(text.encode("ascii"), ec.ECDSA(SHA256()))
    )
    both = r.to_bytes(_NUMBER_BYTES, "big") + s.to_bytes(_NUMBER_BYTES, "big")
    return f"{text}.{_text(both)}"


def _part(members: Mapping[str, Any]) -> str:
    return _text(json.dumps(members, separators=(",", ":")).encode())


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
