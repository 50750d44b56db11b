"""Whose releases are accepted."""

import pytest

from mnedge.updates.envelope import KeyInvalidError, new_key, read_keys
from mnedge.updates.keys import CAME_ALONG, pinned


def test_what_came_along_can_be_read():
    assert CAME_ALONG.is_file()
    assert pinned() == read_keys(CAME_ALONG.read_text().splitlines())


def test_keys_of_the_node_are_added(tmp_path):
    (_, ours), (_, own) = new_key(), new_key()
    came = tmp_path / "keys"
    came.write_text(f"# ours\n{ours}\n")
    assert pinned([own], came) == read_keys([ours, own])
    assert pinned([own], tmp_path / "absent") == read_keys([own])


def test_a_key_that_is_none_is_refused(tmp_path):
    with pytest.raises(KeyInvalidError):
        pinned(["nonsense"], tmp_path / "absent")
