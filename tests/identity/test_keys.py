"""Signing keys: their lives follow from the date, and no rotation loses a token."""

import base64
import json
from itertools import count

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from mnedge.identity.keys import (
    SKEW_S,
    KeyState,
    Lives,
    SigningKey,
    advanced,
    jwk,
    jwks,
    new_key,
    next_change_at,
    private_key,
    signing,
    thumbprint,
    verifying,
)

DAY = 86_400.0
LIVES = Lives(rotate_s=DAY, ttl_s=3600.0)
START = 1_800_000_000.0


def numbered():
    numbers = count(1)
    return lambda: (f"key-{next(numbers)}", "pem")


def states(ring, now):
    return [(key.kid, str(key.state(now))) for key in ring]


def test_the_first_key_signs_at_once():
    assert states(advanced((), START, LIVES, numbered()), START) == [("key-1", "active")]


def test_the_next_key_is_known_an_hour_before_it_signs():
    make = numbered()
    ring = advanced((), START, LIVES, make)
    assert advanced(ring, START + DAY - 3601, LIVES, make) is ring
    ring = advanced(ring, START + DAY - 3600, LIVES, make)
    assert states(ring, START + DAY - 3600) == [("key-1", "active"), ("key-2", "next")]
    assert states(ring, START + DAY) == [("key-1", "retiring"), ("key-2", "active")]
    assert signing(ring, START + DAY).kid == "key-2"


def test_a_key_verifies_until_the_last_token_it_signed_has_ended():
    ring = advanced((), START, LIVES, numbered())
    last_good = START + DAY + LIVES.ttl_s + SKEW_S
    assert verifying(ring, "key-1", last_good - 0.001) is not None
    assert verifying(ring, "key-1", last_good) is None
    assert verifying(ring, "key-2", START) is None
    assert ring[0].state(last_good) is KeyState.GONE


def test_a_node_that_was_off_for_a_week_signs_with_a_new_key_at_once():
    make = numbered()
    ring = advanced(advanced((), START, LIVES, make), START + 7 * DAY, LIVES, make)
    assert states(ring, START + 7 * DAY) == [("key-2", "active")]


def test_a_clock_that_was_set_back_makes_no_endless_keys():
    make = numbered()
    ring = advanced((), START, LIVES, make)
    ring = advanced(ring, START - DAY, LIVES, make)
    assert states(ring, START - DAY) == [("key-1", "active")]
    assert advanced(ring, START - DAY + 1, LIVES, make) is ring


def test_longer_lives_of_tokens_keep_keys_longer():
    ring = advanced((), START, LIVES, numbered())
    [key] = advanced(ring, START, Lives(rotate_s=DAY, ttl_s=7200.0), numbered())
    assert key.gone_at == ring[0].gone_at + 3600


@given(st.lists(st.floats(1.0, 3 * DAY), min_size=1, max_size=40))
def test_whatever_happens_one_key_signs_and_its_tokens_outlive_no_key(steps):
    make, ring, now, signed = numbered(), (), START, []
    for step in steps:
        now += step
        ring = advanced(ring, now, LIVES, make)
        assert [key.state(now) for key in ring].count(KeyState.ACTIVE) == 1
        for kid, ends_at in signed:
            assert (verifying(ring, kid, now) is not None) or ends_at + SKEW_S <= now
        signed.append((signing(ring, now).kid, now + LIVES.ttl_s))


def test_the_ring_says_when_it_changes_next():
    ring = advanced((), START, LIVES, numbered())
    assert next_change_at((), START, LIVES) is None
    assert next_change_at(ring, START, LIVES) == START + DAY - 3600


def test_a_thumbprint_is_the_one_of_the_standard():
    """The example of RFC 7638, with the members of its RSA key."""
    members = {
        "kty": "RSA",
        "e": "AQAB",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6t"
        "Soc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YG"
        "jQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-b"
        "FTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    }
    assert thumbprint(members) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_a_new_key_is_named_by_its_thumbprint_and_published_without_its_secret():
    kid, pem = new_key()
    key = SigningKey(kid=kid, pem=pem, active_at=0, retiring_at=DAY, gone_at=2 * DAY)
    [shown] = jwks((key,), 1.0)["keys"]
    loaded = load_pem_private_key(pem.encode(), None)
    assert kid == shown["kid"] == thumbprint(jwk(loaded.public_key()))
    assert "d" not in shown
    assert len(base64.urlsafe_b64decode(shown["x"] + "=")) == 32
    assert jwks((key,), 3 * DAY) == {"keys": []}
    assert pem not in json.dumps(shown)


def test_a_key_of_another_kind_is_refused():
    other = SigningKey(kid="x", pem="nothing", active_at=0, retiring_at=1, gone_at=2)
    with pytest.raises(ValueError):  # noqa: PT011
        private_key(other)
