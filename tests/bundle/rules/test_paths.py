"""Paths that leave their place."""

import pytest

from mnedge.bundle.rules import paths
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check, setting

AT = "nodes[1].config"
INSIDE = "a relative path inside payloads/"
ROOTED = "a path below /sandbox, or a relative one"

CASES = [
    Case("N-08", setting(upload_path="../secrets"), f"{AT}.upload_path", "contains `..`", INSIDE),
    Case("N-08", setting(upload_path="/etc"), f"{AT}.upload_path", "is absolute", INSIDE),
    Case("N-08", setting(upload_path="a\\b"), f"{AT}.upload_path", "backslash"),
    Case("N-08", setting(upload_path=5), f"{AT}.upload_path", "must be a text"),
    Case("N-08", setting(workdir="/etc/cron.d"), f"{AT}.workdir", "outside the sandbox", ROOTED),
    Case("N-08", setting(workdir="/sandbox/../etc"), f"{AT}.workdir", "contains `..`", ROOTED),
    Case("N-08", setting(workdir="/sandboxed"), f"{AT}.workdir", "outside the sandbox"),
    Case("N-08", setting(policy="C:/x"), f"{AT}.policy", "is absolute"),
    Case("N-08", setting(upload_as="a\nb"), f"{AT}.upload_as", "control character"),
    Case(
        "N-08",
        setting(uploads=[{"source": "reader", "target": "../../x"}]),
        f"{AT}.uploads[0].target",
        "contains `..`",
        ROOTED,
    ),
    Case(
        "N-08",
        setting(upload_paths=[{"source": "reader/../../x"}]),
        f"{AT}.upload_paths[0].source",
        "contains `..`",
        INSIDE,
    ),
    Case(
        "N-33",
        setting(upload_path="gone"),
        f"{AT}.upload_path",
        "upload gone of reader",
        "payloads/gone",
        weight="W",
    ),
    Case(
        "N-33",
        setting(upload_paths=[{"source": "mn-skills/a"}]),
        f"{AT}.upload_paths[0].source",
        "not in payloads/",
        weight="W",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(paths, CASES)


@pytest.mark.parametrize(
    "workdir", ["/sandbox", "/sandbox/job/reader", "/mn/job/x/", "reader", "."]
)
def test_work_folders_of_the_sandbox_are_right(workdir):
    parts = Parts()
    parts.settings("reader")["workdir"] = workdir
    assert parts.opened("strict").problems == []


def test_a_root_of_its_own_is_right():
    parts = Parts()
    parts.settings("reader").update(sandbox_upload_path="/app", workdir="/app/reader")
    assert parts.opened("strict").problems == []


def test_a_skill_package_of_another_launcher_gets_its_own_hint():
    parts = Parts()
    parts.settings("reader")["upload_paths"] = [{"source": "mn-skills/a"}]
    assert "staged by other launchers" in parts.opened().warnings[0].help


def test_upload_path_does_not_count_where_upload_paths_are_given():
    parts = Parts()
    parts.settings("reader").update(upload_path="gone", upload_paths=[{"source": "reader"}])
    assert parts.opened("strict").problems == []
