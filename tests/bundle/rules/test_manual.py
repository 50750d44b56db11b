"""The manual's page of rules."""

from mnedge.bundle.rules.__main__ import PAGE
from mnedge.bundle.rules.all import RULES
from mnedge.bundle.rules.manual import text


def test_the_page_in_the_manual_is_current():
    """`python -m mnedge.bundle.rules` writes it."""
    assert PAGE.read_text(encoding="utf-8") == text()


def test_every_rule_has_a_row():
    rows = [line for line in text().splitlines() if line.startswith("| ")]
    for item in RULES:
        start = f"| {item.rule_id} | {item.severity} |"
        assert sum(row.startswith(start) and f"`{item.code}`" in row for row in rows) == 1


def test_no_cell_breaks_its_row():
    for line in text().splitlines():
        if line.startswith("| "):
            assert line.replace("\\|", "").count("|") in (3, 5, 7)
