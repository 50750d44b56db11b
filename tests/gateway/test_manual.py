"""The manual: every page has a summary, can be found, and speaks of verbs that exist."""

import inspect
import json
import re
from pathlib import Path

import click
import pytest

from mnedge import config
from mnedge.bundle.triggers import POLICY_NAMES, RULE_NAMES
from mnedge.cli.root import root
from mnedge.gateway import manual

PAGES = manual.pages()
REQUIRED_OF_AN_APPROVAL = (
    "allowed_decisions",
    "timeout_seconds",
    "default_action",
    "blocked_actions",
)
KEYS_OF_A_GATE = (
    "approval_mode",
    "approval_timeout_seconds",
    "decision_message_types",
    "rejected_message_type",
    "emit_type",
)


def test_the_manual_begins_with_the_quickstart():
    assert [page.topic for page in PAGES][:5] == [
        "quickstart",
        "blueprints",
        "workflows",
        "people",
        "running",
    ]
    assert {"recovery", "cli", "configuration", "plugins", "glossary"} <= {p.topic for p in PAGES}


def test_every_page_has_its_place_in_the_reading_order():
    assert sorted(page.topic for page in PAGES) == sorted(manual.ORDER)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.topic)
def test_a_page_says_in_one_line_what_it_is_about(page):
    assert page.title
    assert 10 < len(page.summary) < 100
    assert page.summary.endswith(".")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.topic)
def test_a_page_names_only_pages_that_exist(page):
    named = set(re.findall(r"mnedge docs ([a-z-]+)", page.text))
    assert named <= {page.topic for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.topic)
def test_a_page_names_only_verbs_that_exist(page):
    ctx = click.Context(root)
    for words in re.findall(r"mnedge ((?:blueprint|job|run) [a-z-]+)", page.text):
        noun, verb = words.split()
        group = root.get_command(ctx, noun)
        assert isinstance(group, click.Group)
        assert verb in group.commands, f"mnedge {words}"


def sources():
    package = Path(manual.__file__).resolve().parents[1]
    return "\n".join(file.read_text() for file in package.rglob("*.py"))


def test_the_manual_names_only_variables_that_are_read_or_set():
    client = (Path(__file__).parents[1] / "interop").glob("*.py")  # what the published client reads
    build = (Path(__file__).parents[2] / "packaging").glob("[a-z]*.*")  # `make binary` reads it
    text = sources() + "".join(path.read_text() for path in (*client, *build))
    named = set(re.findall(r"\bMN(?:EDGE)?_[A-Z_]+[A-Z]\b", "".join(page.text for page in PAGES)))
    unknown = {name for name in named if name not in text and name.removeprefix("MN_") not in text}
    assert not unknown


def test_every_setting_of_the_node_stands_in_the_manual():
    settings = set(re.findall(r"MN(?:EDGE)?_[A-Z_]+", inspect.getsource(config)))
    page = manual.find("configuration").text
    assert not {name for name in settings if name not in page}


def test_every_name_of_a_rule_and_of_a_policy_stands_in_the_manual():
    page = manual.find("workflows").text
    assert [name for name in (*RULE_NAMES, *POLICY_NAMES) if f"`{name}`" not in page] == []


def test_every_key_of_human_control_and_of_a_gate_stands_in_the_manual():
    page = manual.find("people").text
    [shown] = re.findall(r"(?ms)^```json\n(.*?)^```$", page)
    control = json.loads(shown)["human_control"]
    assert {"enabled", "mode", *REQUIRED_OF_AN_APPROVAL} <= set(control)
    assert [name for name in (*control, *KEYS_OF_A_GATE) if f"`{name}`" not in page] == []


def test_a_page_is_found_by_its_name_or_a_beginning_that_is_its_own():
    assert manual.find("recovery").topic == "recovery"
    assert manual.find("Reco").topic == "recovery"
    assert manual.find("cli.md").topic == "cli"


def test_an_unknown_page_is_answered_with_near_ones():
    with pytest.raises(manual.PageNotFoundError) as refused:
        manual.find("recovry")
    assert "recovery" in refused.value.hint
    with pytest.raises(manual.PageNotFoundError) as refused:
        manual.find("zzz")
    assert "quickstart" in refused.value.hint


def test_a_file_is_read_as_a_page():
    page = manual.parsed("t", "# A title\n\n<!-- made -->\nFirst line\nof it. Second.\n\nRest.\n")
    assert page[:3] == ("t", "A title", "First line of it.")
    assert manual.parsed("bare", "").summary == ""
