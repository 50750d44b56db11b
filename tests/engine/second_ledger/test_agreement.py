"""The engine's ledger and the second one agree on random graphs and histories.

`make test` plays a fixed share, `make soak` all. A failing seed tells how to see it again.
"""

import pytest

from tests.engine.second_ledger.compare import judged
from tests.engine.second_ledger.wrong import WRONG

SHARE = 1_000
ALL = 10_000
MOST_SEEDS = 400
"""Within how many a wrong rule has to be seen."""


def test_both_ledgers_agree(soak):
    for seed in range(ALL if soak else SHARE):
        difference = judged(seed)
        assert difference is None, difference


@pytest.mark.parametrize("wrong", WRONG, ids=lambda one: one.__name__)
def test_a_ledger_with_one_rule_wrong_is_told_from_the_right_one(wrong):
    seen = (seed for seed in range(MOST_SEEDS) if judged(seed, wrong) is not None)
    assert any(judged(seed) is None for seed in seen)
