"""How people take part."""

import pytest

from mnedge.bundle.config import shared_defaults
from mnedge.bundle.human import UNSAID, human_control
from mnedge.model.manifest import HumanControl

APPROVAL = {
    "mode": "approval_required",
    "allowed_decisions": ["yes", "no"],
    "timeout_seconds": 30,
    "default_action": "no",
    "blocked_actions": ["publish"],
    "prompt": "Publish?",
}


def said(mode):
    return {"metadata": {"human_control": {"mode": mode}}}


def test_the_config_says_it():
    assert human_control({"human_control": APPROVAL}, said("disabled")) == (
        HumanControl(
            mode="approval_required",
            allowed_decisions=["yes", "no"],
            timeout_s=30,
            default_action="no",
            blocked_actions=["publish"],
            prompt="Publish?",
        )
    )


def test_the_manifest_says_it_where_the_config_does_not():
    assert shared_defaults("b", "B")["human_control"] == UNSAID
    for config in ({}, {"human_control": UNSAID}, {"human_control": {"mode": "x"}}):
        assert human_control(config, {"metadata": {"human_control": APPROVAL}}).timeout_s == 30
    config = {"human_control": {"mode": "disabled", "reason": "nothing is decided"}}
    assert human_control(config, said("approval_required")).mode == "disabled"


def test_the_policy_of_the_steps_says_it_where_nothing_else_does():
    manifest = {"workflow": {"policy": {"human": APPROVAL}}}
    assert human_control({}, manifest).prompt == "Publish?"
    assert human_control({}, {**manifest, **said("notice_only")}).mode == "notice_only"
    assert (
        human_control({}, {"workflow": {"policy": {"human": {"enabled": True}}}}).mode == "disabled"
    )


@pytest.mark.parametrize(
    "declared",
    [{}, [], {"mode": 3}, {"mode": "approval_required", "enabled": False}, {"mode": "disabled"}],
)
def test_nobody_takes_part_where_nothing_says_so(declared):
    assert human_control({"human_control": declared}, {}) == HumanControl()


def test_what_is_malformed_is_left_at_its_default():
    odd = {
        "mode": "approval_required",
        "allowed_decisions": [3],
        "timeout_seconds": -1,
        "default_action": None,
        "blocked_actions": "publish",
        "prompt": 7,
    }
    assert human_control({"human_control": odd}, {}) == HumanControl(mode="approval_required")
