"""`mnedge token create|list|revoke`, without a daemon."""

import json

import jwt
import pytest


@pytest.mark.drives("mnedge token create")
@pytest.mark.drives("mnedge token list")
@pytest.mark.drives("mnedge token revoke")
def test_a_token_is_made_listed_and_taken_back(mnedge):
    text = mnedge("token", "create", "--name", "ci", "--scope", "operate", "--ttl", "15m").out
    claims = jwt.decode(text.strip(), options={"verify_signature": False})
    assert (claims["sub"], claims["scope"], claims["exp"] - claims["iat"]) == ("ci", "operate", 900)
    [one] = mnedge("token", "list", "--json").value
    assert (one["token_id"], one["name"], one["revoked"]) == (claims["jti"], "ci", False)
    assert text.strip() not in mnedge("token", "list").out
    mnedge("token", "revoke", claims["jti"])
    [one] = mnedge("token", "list", "--json").value
    assert one["revoked"] is True
    assert "taken back" in mnedge("token", "list").out
    actions = [json.loads(line)["action"] for line in mnedge("audit", "export").out.splitlines()]
    assert actions == ["token.create", "token.revoke"]


def test_programs_get_all_there_is_to_know(mnedge):
    told = mnedge("token", "create", "--name", "ci", "--json").value
    assert {"token", "token_id", "name", "scope", "issued_at", "expires_at"} == set(told)
    assert mnedge("token", "revoke", told["token_id"], "--json").value["revoked"] is True


def test_what_is_asked_wrongly_is_told(mnedge):
    assert "15m" in mnedge("token", "create", "--name", "ci", "--ttl", "soon", code=2).err
    assert "tokenTTL" in mnedge("token", "create", "--name", "ci", "--ttl", "2h", code=2).err
    assert mnedge("token", "create", "--name", "a b", code=2).err
    assert "tok_no" in mnedge("token", "revoke", "tok_no", code=2).err
    assert mnedge("token", "list").out == "no tokens\n"
