"""What we sign is what any library of JWTs reads."""

import jwt
import pytest
from cryptography.exceptions import InvalidSignature
from hypothesis import given, settings
from hypothesis import strategies as st

from mnedge.identity.keys import ALGORITHM, SigningKey, new_key, private_key
from mnedge.identity.signatures import signed

KID, PEM = new_key()
KEY = SigningKey(kid=KID, pem=PEM, active_at=0.0, retiring_at=1.0, gone_at=2.0)
PUBLIC = private_key(KEY).public_key()
CLAIMS = st.dictionaries(st.sampled_from(["sub", "name", "ä"]), st.text(max_size=20))


@given(CLAIMS)
@settings(max_examples=50, deadline=None)  # small r and s are padded: one signature in 128 has one
def test_a_library_reads_what_was_signed(claims):
    text = signed(claims, KEY)
    assert jwt.decode(text, PUBLIC, algorithms=[ALGORITHM], options={"verify_sub": False}) == claims
    assert jwt.get_unverified_header(text) == {"alg": "ES256", "kid": KID, "typ": "JWT"}
    assert "=" not in text


def test_every_signature_is_of_one_length_however_small_its_numbers_are():
    lengths = {len(signed({"jti": str(n)}, KEY).rpartition(".")[2]) for n in range(600)}
    assert lengths == {86}


def test_another_key_did_not_sign_it():
    other = SigningKey(kid=KID, pem=new_key()[1], active_at=0.0, retiring_at=1.0, gone_at=2.0)
    text = signed({"sub": "me"}, KEY)
    with pytest.raises((jwt.InvalidSignatureError, InvalidSignature)):
        jwt.decode(text, private_key(other).public_key(), algorithms=[ALGORITHM])
