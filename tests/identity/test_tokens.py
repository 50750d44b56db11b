"""Bearer tokens: what is good, for how long, and everything that is not."""

import base64
import json
from contextlib import asynccontextmanager

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from mnedge.config.settings import Jwt, Policies, Soul
from mnedge.errors import MnedgeError
from mnedge.identity.keyfile import KeyFile
from mnedge.identity.keys import private_key
from mnedge.identity.refusals import (
    ClockImplausibleError,
    KeyFileUnsafeError,
    TokenInvalidError,
    TokenRevokedError,
)
from mnedge.identity.tokens import TokenRequestError, Tokens, TokenUnknownError
from mnedge.model.access import Scope
from mnedge.part import running
from mnedge.store.memory import MemoryStore

START = 1_800_000_000.0


class Date:
    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> float:
        return self.at


@asynccontextmanager
async def a_node(tmp_path, node="edge", soul=None, store=None):
    date = Date()
    async with running(MemoryStore()) as own:
        yield Tokens((store or own).table, tmp_path, soul or Soul(), node, date), date


async def refused(tokens, text) -> str:
    with pytest.raises(TokenInvalidError) as caught:
        await tokens.verify(text)
    assert caught.value.http_status == 401
    assert text not in str(caught.value) or len(text) < 8
    return caught.value.code


async def test_a_token_says_whose_it_is_and_what_it_may(tmp_path):
    async with a_node(tmp_path) as (tokens, _):
        issued = await tokens.issue("ci", Scope.OPERATE, by="uid:0")
        who = await tokens.verify(issued.token)
        assert (who.name, who.scope, who.kind) == ("token:ci", Scope.OPERATE, "token")
        assert who.token_id == issued.token_id
        claims = jwt.decode(issued.token, options={"verify_signature": False})
        assert claims["aud"] == "mnedge:edge"
        assert claims["iss"] == "soul.mnemos"
        assert claims["exp"] - claims["iat"] == 3600
        assert set(claims) == {
            *("iss", "sub", "aud", "exp", "iat", "nbf", "jti", "scope", "node"),
        }
        header = jwt.get_unverified_header(issued.token)
        assert header["alg"] == "ES256"
        assert header["kid"] == tokens.jwks()["keys"][0]["kid"]


async def test_others_can_verify_it_by_the_published_keys(tmp_path):
    async with a_node(tmp_path) as (tokens, _):
        issued = await tokens.issue("ci", Scope.READ)
        [key] = jwt.PyJWKSet.from_dict(tokens.jwks()).keys
        told = jwt.decode(
            issued.token,
            key,
            algorithms=["ES256"],
            audience="mnedge:edge",
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
        assert told["sub"] == "ci"


async def test_it_is_good_for_an_hour_and_the_skew_across_a_rotation(tmp_path):
    async with a_node(tmp_path) as (tokens, date):
        await tokens.issue("first", Scope.READ)
        date.at = START + 86_400 - 1  # a second before its key stops signing
        issued = await tokens.issue("ci", Scope.READ)
        for age in (0, 3599, 3659):
            date.at = issued.issued_at + age
            await tokens.rotate()
            assert (await tokens.verify(issued.token)).name == "token:ci"
        assert len(tokens.jwks()["keys"]) == 2
        date.at = issued.issued_at + 3661
        assert await refused(tokens, issued.token) in ("auth.expired", "auth.invalid")


async def test_24_rotations_lose_no_token_and_keep_no_key_too_long(tmp_path):
    async with a_node(tmp_path) as (tokens, date):
        living = []
        for _ in range(24 * 4):
            living.append(await tokens.issue("ci", Scope.READ))
            date.at += 86_400 / 4
            living = [one for one in living if one.expires_at > date.at]
            for one in living:
                await tokens.verify(one.token)
            assert len(tokens.jwks()["keys"]) <= 3


async def test_a_token_may_live_shorter_but_not_longer(tmp_path):
    async with a_node(tmp_path) as (tokens, date):
        issued = await tokens.issue("ci", Scope.READ, 60)
        date.at += 121
        assert await refused(tokens, issued.token) == "auth.expired"
        for ttl_s in (3601, 0, -1, float("nan"), float("inf")):
            with pytest.raises(TokenRequestError):
                await tokens.issue("ci", Scope.READ, ttl_s)
        for name in ("", "a b", "x" * 64, "ä", "../x"):
            with pytest.raises(TokenRequestError):
                await tokens.issue(name, Scope.READ)


async def test_a_token_of_another_node_or_audience_is_refused(tmp_path):
    async with a_node(tmp_path / "one") as (one, _), a_node(tmp_path / "two", "other") as (two, _):
        issued = await two.issue("ci", Scope.ADMIN)
        await one.issue("x", Scope.READ)
        assert await refused(one, issued.token) == "auth.invalid"
    # The same keys, but meant for somebody else.
    async with (
        a_node(tmp_path / "one", "renamed") as (tokens, _),
        a_node(tmp_path / "one") as (b, _),
    ):
        issued = await b.issue("ci", Scope.ADMIN)
        assert await refused(tokens, issued.token) == "auth.invalid"
    soul = Soul(jwt=Jwt(issuer="somebody.else"))
    async with a_node(tmp_path / "one", soul=soul) as (tokens, _):
        assert await refused(tokens, issued.token) == "auth.invalid"


def forged(tokens, change=None, *, header=None, key=None, algorithm="ES256"):
    """Return a token signed with the node's own key, but with something about it changed."""
    ring = tokens._keys.read()
    claims = {
        "iss": "soul.mnemos",
        "sub": "eve",
        "aud": "mnedge:edge",
        "exp": int(START) + 600,
        "iat": int(START),
        "nbf": int(START),
        "jti": "tok_x",
        "scope": "admin",
        "node": "edge",
    } | (change or {})
    claims = {name: value for name, value in claims.items() if value is not None}
    headers = {"kid": ring[0].kid} | (header or {})
    key = private_key(ring[0]) if key is None else key
    return jwt.encode(claims, key, algorithm, headers=headers)


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "mnedge:other"},
        {"aud": ["mnedge:edge", "mnedge:other"]},
        {"iss": "somebody"},
        {"nbf": int(START) + 61},
        {"iat": int(START) + 120},
        {"scope": "root"},
        {"scope": None},
        {"aud": None},
        {"exp": None},
        {"jti": None},
        {"exp": "soon"},
        {"exp": 1e400},
        {"jti": 7},
    ],
    ids=str,
)
async def test_a_claim_that_is_not_as_it_should_be_is_a_denial(tmp_path, change):
    async with a_node(tmp_path) as (tokens, _):
        await tokens.issue("x", Scope.READ)
        assert (await tokens.verify(forged(tokens))).name == "token:eve"  # but for the change
        assert await refused(tokens, forged(tokens, change)) == "auth.invalid"


async def test_algorithms_are_not_the_token_s_to_choose(tmp_path):
    async with a_node(tmp_path) as (tokens, _):
        await tokens.issue("x", Scope.READ)
        ring = tokens._keys.read()
        public = private_key(ring[0]).public_key()
        pem = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        good = forged(tokens)
        head, body, signature = good.split(".")
        part = lambda value: base64.urlsafe_b64encode(value).rstrip(b"=").decode()  # noqa: E731
        none = part(json.dumps({"alg": "none", "kid": ring[0].kid}).encode())
        import hashlib
        import hmac

        hs = part(json.dumps({"alg": "HS256", "kid": ring[0].kid}).encode())
        mac = hmac.new(pem, f"{hs}.{body}".encode(), hashlib.sha256).digest()
        stranger = ec.generate_private_key(ec.SECP256R1())
        for text in (
            f"{none}.{body}.",
            f"{none}.{body}.{signature}",
            f"{hs}.{body}.{part(mac)}",
            f"{head}.{body}.",
            f"{head}.{body}.{signature[:-4]}AAAA",
            forged(tokens, key=stranger),
            forged(tokens, header={"kid": "unknown"}),
            f"{part(json.dumps({'alg': 'ES256'}).encode())}.{body}.{signature}",
            f"{part(json.dumps({'alg': 'ES256', 'kid': 7}).encode())}.{body}.{signature}",
            forged(tokens, header={"crit": ["exp"], "exp": 1}),
            forged(tokens, header={"jwk": {"kty": "EC"}}, key=stranger),
            "",
            "a.b.c",
            "x" * 5000,
            "é.ü.ö",
            "\ud800",
        ):
            assert await refused(tokens, text) == "auth.invalid"


async def test_a_revoked_token_is_refused_at_once_and_listed_as_such(tmp_path):
    async with a_node(tmp_path) as (tokens, date):
        kept, gone = await tokens.issue("ci", Scope.READ), await tokens.issue("ci", Scope.READ)
        await tokens.verify(gone.token)
        assert (await tokens.revoke(gone.token_id)).revoked
        with pytest.raises(TokenRevokedError):
            await tokens.verify(gone.token)
        await tokens.verify(kept.token)
        assert {one.token_id: one.revoked for one in await tokens.list()} == {
            kept.token_id: False,
            gone.token_id: True,
        }
        with pytest.raises(TokenUnknownError):
            await tokens.revoke("tok_nothing")
        await tokens.revoke_name("ci")
        assert await refused(tokens, kept.token) == "auth.revoked"
        date.at += 1
        await tokens.verify((await tokens.issue("ci", Scope.READ)).token)


async def test_what_has_ended_is_forgotten(tmp_path):
    async with running(MemoryStore()) as store, a_node(tmp_path, store=store) as (tokens, date):
        issued = await tokens.issue("ci", Scope.READ)
        await tokens.revoke(issued.token_id)
        assert "eyJ" not in str(await store.table.scan("")), "no text of a token is kept"
        date.at += 3601
        assert list(await tokens.list()) == []
        date.at += 60
        await tokens.prune()
        assert await store.table.scan("tokens/") == []


async def test_no_token_is_judged_by_a_clock_that_is_wrong(tmp_path):
    async with a_node(tmp_path) as (tokens, date):
        issued = await tokens.issue("ci", Scope.READ)
        date.at = 1000.0
        with pytest.raises(ClockImplausibleError):
            await tokens.verify(issued.token)
        with pytest.raises(ClockImplausibleError):
            await tokens.issue("ci", Scope.READ)
        await tokens.rotate()
        date.at = START
        await tokens.verify(issued.token)


async def test_keys_that_others_can_read_deny_everybody(tmp_path):
    async with a_node(tmp_path) as (tokens, _):
        issued = await tokens.issue("ci", Scope.READ)
        KeyFile(tmp_path).path.chmod(0o644)
        with pytest.raises(KeyFileUnsafeError) as caught:
            await tokens.verify(issued.token)
        assert isinstance(caught.value, MnedgeError)


async def test_settings_count_as_they_are_now(tmp_path):
    async with running(MemoryStore()) as store:
        souls = [Soul()]
        tokens = Tokens(store.table, tmp_path, lambda: souls[0], "edge", lambda: START)
        issued = await tokens.issue("ci", Scope.READ)
        await tokens.verify(issued.token)
        souls[0] = replace(Soul(), jwt=Jwt(audience="another"), policies=Policies(token_ttl=60))
        assert await refused(tokens, issued.token) == "auth.invalid"
        with pytest.raises(TokenRequestError):
            await tokens.issue("ci", Scope.READ, 61)


async def test_a_running_node_rotates_by_itself_and_an_unused_one_writes_nothing(
    tmp_path, autojump_clock
):
    import trio

    async with running(MemoryStore()) as store:
        date = lambda: START + trio.current_time()  # noqa: E731
        tokens = Tokens(store.table, tmp_path, Soul(), "edge", date)
        async with running(tokens):
            await trio.sleep(3 * 86_400)
            assert not KeyFile(tmp_path).path.exists()
            first = await tokens.issue("ci", Scope.READ)
            await trio.sleep(86_400 - 1800)
            assert len(tokens.jwks()["keys"]) == 2
            await trio.sleep(86_400)
            kids = {key["kid"] for key in tokens.jwks()["keys"]}
            assert jwt.get_unverified_header(first.token)["kid"] not in kids
            assert list(await tokens.list()) == []
