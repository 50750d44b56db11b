"""No secret survives, and nothing else is lost."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.model.redaction import (
    REDACTED,
    Redactor,
    is_secret_name,
    redactor_for,
    run_store_secrets,
    worker_secrets,
)

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\ndef==\n-----END RSA PRIVATE KEY-----"
SECRET = 'pa"ss\\word é%42'

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
names = st.text(max_size=8) | st.sampled_from(
    ["api_key", "Authorization", "total_tokens", "token", "auth_env", "note", "my_SECRET_x"]
)
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    "name",
    ["password", "API_KEY", "x-authorization-y", "Cookies", "private_key_pem", "credentials"],
)
def test_a_field_with_a_secret_name_is_hidden(name):
    assert Redactor().tree({"a": {name: "s"}}) == {"a": {name: REDACTED}}


@pytest.mark.parametrize(
    "tree",
    [
        {"total_tokens": 12, "input_tokens": "many", "max_tokens": None},
        {"token_budget": "12k", "headers_env": "API_TOKEN"},
        {"token": 7, "secret": True, "password": None},
        {"token_totals": {"calls": 3, "by_model": [1, 2.5, {"a": None}]}},
        {"keyboard": "azerty", "author": "somebody", "monkey": "x"},
    ],
)
def test_token_counts_and_harmless_names_stay(tree):
    assert Redactor().tree(tree) is not None
    assert Redactor().tree(tree) == tree


def test_a_tree_of_numbers_with_one_text_in_it_is_hidden():
    assert Redactor().tree({"token": {"n": 1, "t": ["x"]}}) == {"token": REDACTED}


def test_extra_fields_match_a_part_of_a_name_and_hide_numbers():
    redactor = Redactor(extra_fields=["SSN", " Straße ", ""])
    tree = {"client_ssn_hash": 12, "straße 3": [1], "STRASSE": "shown", "x": "y"}
    assert redactor.tree(tree) == {
        "client_ssn_hash": REDACTED,
        "straße 3": REDACTED,
        "STRASSE": "shown",
        "x": "y",
    }


def test_an_extra_field_that_is_known_anyway_spares_numbers():
    assert Redactor(extra_fields=["token"]).tree({"tokens_used": 5}) == {"tokens_used": 5}


@pytest.mark.parametrize(
    "text, clean",
    [
        ("Authorization: Bearer abc.def-123", f"Authorization: Bearer {REDACTED}"),
        ("bearer of news", "bearer of news"),
        (f"before {KEY} after", f"before {REDACTED} after"),
        (KEY.partition("-----END")[0], REDACTED),
        ("redis://user:p@ss@host:1/0", f"redis://{REDACTED}@host:1/0"),
        ("redis://:hunter2@host", f"redis://{REDACTED}@host"),
        ("http://host/a:b@c", "http://host/a:b@c"),
        ("mail me@example.org, see http://host", "mail me@example.org, see http://host"),
    ],
)
def test_telltale_text_is_hidden(text, clean):
    assert Redactor().text(text) == clean
    assert Redactor().tree({"note": [text]}) == {"note": [clean]}
    assert Redactor().text(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"x{SECRET}y{SECRET}",
        json.dumps({"k": SECRET}),
        json.dumps({"k": SECRET}, ensure_ascii=False),
        json.dumps(json.dumps([SECRET]))[1:-1].replace("\\\\", "\\").replace('\\"', '"'),
    ],
)
def test_a_secret_value_disappears_also_inside_json_within_text(text):
    clean = Redactor([SECRET]).tree({"stdout": text})["stdout"]
    assert SECRET not in clean
    assert json.dumps(SECRET)[1:-1] not in clean


def test_the_longest_of_overlapping_values_goes_first():
    redactor = Redactor(["hunter22", "hunter22-longer"])
    assert redactor.text("hunter22-longer") == REDACTED


def test_names_of_fields_and_bytes_are_cleaned_too():
    redactor = Redactor(["hunter22"])
    assert redactor.tree({"x hunter22": b"a hunter22 b"}) == {
        f"x {REDACTED}": f"a {REDACTED} b".encode()
    }


def test_a_clean_tree_is_given_back_as_it_is():
    tree = {"a": [1, "two", {"three": None}], "url": "http://host/path"}
    assert Redactor(["hunter22"], ["ssn"]).tree(tree) is tree


def test_texts_keeps_fields_whatever_their_names():
    tree = {"password_policy": "long ones", "note": "hunter22"}
    assert Redactor(["hunter22"]).texts(tree) == {"password_policy": "long ones", "note": REDACTED}


def test_what_was_given_is_never_changed():
    tree = {"a": [{"password": "x"}], "b": "hunter22"}
    before = json.dumps(tree)
    Redactor(["hunter22"]).tree(tree)
    assert json.dumps(tree) == before


def test_endless_nesting_is_no_hindrance():
    tree: object = "hunter22"
    for _ in range(50_000):
        tree = [tree]
    found = Redactor(["hunter22"]).tree({"a": tree})["a"]
    while isinstance(found, list):
        found = found[0]
    assert found == REDACTED


def test_a_value_that_is_no_text_at_all_hinders_nothing():
    redactor = Redactor([os_bytes := b"\xff secret".decode(errors="surrogateescape")])
    assert redactor.text(f"x {os_bytes}") == f"x {REDACTED}"
    assert redactor.tree({"a": "plain"}) == {"a": "plain"}
    assert redactor.tree({"a": os_bytes}) == {"a": REDACTED}
    assert redactor.tree({"a": b"\xff secret"}) == {"a": REDACTED.encode()}


def test_the_environment_gives_long_values_of_telling_names():
    environment = {
        "API_TOKEN": "12345678",
        "DB_PASSWORD": "short",
        "AWS_ACCESS_KEY_ID": "AKIA123456",
        "HOME": "/somewhere/long",
        "MAX_TOKENS": "1000000000",
    }
    assert run_store_secrets(environment) == {"12345678"}
    assert worker_secrets({**environment, "A_KEY": "12345"}) == {
        "12345678",
        "AKIA123456",
        "1000000000",
    }


def test_the_config_names_fields_and_may_switch_environment_off():
    environment = {"API_TOKEN": "12345678"}
    config = {"logging": {"redact_fields": ["ssn", 5]}, "privacy": {"redact_fields": ["iban"]}}
    redactor = redactor_for(config, environment, more_values=["tower-of-"])
    assert redactor.tree({"ssn": 1, "iban": 2, "x": "12345678 tower-of-"}) == {
        "ssn": REDACTED,
        "iban": REDACTED,
        "x": f"{REDACTED} {REDACTED}",
    }
    off = {"logging": {"redact_env_secrets": False}, "privacy": "odd"}
    assert redactor_for(off, environment).text("12345678") == "12345678"


def test_a_cookie_name_is_secret_and_a_cooking_name_is_not():
    assert is_secret_name("SetCookie")
    assert not is_secret_name("cooking")


@given(tree=trees, secret=st.text("abcdefgh\"\\\n'é€", min_size=6, max_size=12), data=st.data())
def test_no_secret_value_survives_wherever_it_stands(tree, secret, data):
    place = data.draw(st.sampled_from(["value", "inside", "key", "json"]))
    hidden = {
        "value": [secret],
        "inside": f"before {secret} after",
        "key": {f"{secret}!": 1},
        "json": json.dumps({"k": secret}),
    }[place]
    clean = Redactor([secret]).tree({"tree": tree, "hidden": hidden})
    written = msgspec.json.encode(clean).decode()
    assert secret not in _all_text(clean)
    assert msgspec.json.encode(secret).decode()[1:-1] not in written


def test_numbers_under_a_secret_name_are_hidden_whole_if_one_of_them_is():
    clean = Redactor([], ["note"]).tree({"api_key": {"note": 7, "count": 1}})
    assert clean == {"api_key": REDACTED}
    assert Redactor([], ["note"]).tree({"api_key": {"count": 1}}) == {"api_key": {"count": 1}}


@given(trees)
def test_redacting_twice_changes_nothing_more(tree):
    redactor = Redactor(["hunter22"], ["note"])
    once = redactor.tree(tree)
    assert redactor.tree(once) == once


@given(trees)
def test_what_is_not_hidden_stays_the_same(tree):
    clean = Redactor().tree(tree)
    for before, after in _pairs(tree, clean):
        assert after == before or REDACTED in str(after)


@given(trees)
def test_the_quick_look_misses_nothing(tree):
    redactor = Redactor(["hunter22"], ["note"])
    encoded = msgspec.json.encode(tree)
    if not redactor.touches_text(encoded) and not redactor.touches_names(encoded):
        assert redactor._copied(tree) == tree


def _all_text(tree) -> str:
    if isinstance(tree, dict):
        return "\0".join(str(key) + "\0" + _all_text(value) for key, value in tree.items())
    if isinstance(tree, list):
        return "\0".join(map(_all_text, tree))
    return str(tree)


def _pairs(before, after):
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        for key in before:
            yield from _pairs(before[key], after[key])
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for one, other in zip(before, after, strict=True):
            yield from _pairs(one, other)
    else:
        yield before, after
