"""Hosts as people write them."""

import pytest

from mnedge.model.addresses import is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.10", "::1"])
def test_only_this_machine_is_behind_it(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "*", "0.0.0.0", "::", "192.0.2.1", "localhost.example.net", "[::1]", "127.1"]
)
def test_others_may_be_behind_it(host):
    assert not is_loopback(host)
