"""What a shell reads."""

import pytest


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_asks_for_our_words(mnedge, shell):
    told = mnedge("completion", shell).out
    assert "_MNEDGE_COMPLETE" in told
    assert "mnedge" in told


def test_a_shell_that_is_not_known_is_refused(mnedge):
    assert "bash" in mnedge("completion", "tcsh", code=2).err
