"""Secrets that stand where everybody reads them."""

import pytest

from mnedge.bundle.rules import secrets
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check

FILE = "config/default.json"


def environment(**variables):
    return lambda p: p.settings("reader").update(environment=variables)


def secret_section(**values):
    return lambda p: p.config["metadata"].update(values)


KEY = "sk-" + "a1B2" * 6

CASES = [
    Case(
        "C-40",
        environment(MAIL_API_KEY="qL8vN2xR"),
        "nodes[1].config.environment.MAIL_API_KEY",
        "MAIL_API_KEY looks like",
        weight="E/s",
    ),
    Case(
        "C-40",
        secret_section(note=f"use {KEY}"),
        "metadata.note",
        "note looks like",
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-40",
        secret_section(url="postgres://ann:hunter2@db/x"),
        "metadata.url",
        "url looks like",
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-40",
        secret_section(hosts=["https://ann:hunter2@h"]),
        "metadata.hosts[0]",
        "a value looks like",
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-40",
        lambda p: p.files.update({"config/overwrite.json": b'{"db": {"password": "hunter2"}}'}),
        "db.password",
        "password looks like",
        file="config/overwrite.json",
        weight="E/s",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(secrets, CASES)


def test_what_stands_there_is_never_shown():
    parts = Parts()
    secret_section(api_key=KEY)(parts)
    told = str([problem.record() for problem in parts.opened("strict").problems])
    assert "api_key" in told
    assert KEY not in told


@pytest.mark.parametrize(
    "key, value",
    [
        ("api_key", ""),
        ("api_key", "changeme"),
        ("api_key", "<your key>"),
        ("api_key", "your-key-here"),
        ("api_key", "***"),
        ("api_key", "${env.MAIL_API_KEY}"),
        ("api_key", "$MAIL_API_KEY"),
        ("api_key", "MAIL_API_KEY"),
        ("api_key_env", "mail_key"),
        ("MAX_TOKENS", "700"),
        ("token_budget", "many"),
        ("token", "700"),
        ("cookie", "ask the operator for it"),
        ("uri", "rtsp://camera:8554/door"),
        ("uri", "https://${env.USER}:${env.PASSWORD}@host"),
    ],
)
def test_what_is_no_secret_is_left_alone(key, value):
    parts = Parts()
    secret_section(**{key: value})(parts)
    assert parts.opened("strict").problems == []
