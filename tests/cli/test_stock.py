"""What definitions look like; tests/live drives the verbs."""

import io

from mnedge.cli import stock
from mnedge.cli.screen import Screen
from mnedge.cli.verbs import Asked
from mnedge.runtime.definitions import Definition

ONE = Definition(
    definition_id="primes", graph_id="g", job_name="j", blueprint_id="prime_range_scan",
    bundle_digest="d", created_at=1.0, updated_at=2.0, created_by="ada",
)  # fmt: skip


def test_a_definition_is_told_with_what_can_be_done_next():
    stream = io.StringIO()
    stock._tell(Screen(Asked(), stream), ONE, "Kept", "mnedge definition start primes")
    text = stream.getvalue()
    assert text.startswith("✓ Kept: primes")
    assert "next       mnedge definition start primes" in text
    assert "by         ada" in text


def test_a_question_says_where(home, monkeypatch):
    monkeypatch.delenv("MNEDGE_HOST", raising=False)
    assert stock.where_of(Asked()) == "this machine"
    assert stock.where_of(Asked(host="edge")) == "edge"
