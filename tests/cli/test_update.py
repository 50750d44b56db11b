"""The words of `mnedge update`."""

import json

import mnedge as program
from mnedge.updates.offer import this_build


def test_the_program_says_what_it_is(mnedge):
    told = json.loads(mnedge("update", "--describe").out)
    assert told["version"] == program.__version__
    assert told["flavour"] == this_build().flavour


def test_the_help_keeps_to_itself_what_only_another_mnedge_asks(mnedge):
    told = mnedge("update", "--help").out
    assert "--rollback" in told
    assert "--finish" in told
    assert "--describe" not in told


def test_another_machine_is_not_updated_from_here(mnedge):
    assert "this machine" in mnedge("update", "x", "--host", "http://other:1", code=2).err
