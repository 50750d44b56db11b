"""Every step says what it does."""

from typing import get_args

import pytest

from mnedge.installation.plan import installing
from mnedge.installation.removal import removing
from mnedge.installation.steps import AnyStep
from tests.installation.machines import BARE, WANTED, after

STEPS = [
    *installing(BARE, WANTED).steps,
    *removing(after(BARE, installing(BARE, WANTED)), WANTED.settings, purge=True).steps,
]


def test_plans_use_every_kind_of_step():
    assert {type(step) for step in STEPS} == set(get_args(AnyStep))


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_a_step_tells_a_deed_and_what_it_is_done_to(step):
    deed, what = step.told()
    assert deed
    assert what
    assert "\n" not in deed + what
