"""The file of signing keys: shared by processes, refused when it is not safe."""

import pytest

from mnedge.identity.keyfile import KeyFile
from mnedge.identity.keys import KeyState, Lives, signing
from mnedge.identity.refusals import KeyFileDamagedError, KeyFileUnsafeError

LIVES = Lives(rotate_s=86_400.0, ttl_s=3600.0)
START = 1_800_000_000.0


def test_nothing_is_written_until_a_key_is_needed(tmp_path):
    keys = KeyFile(tmp_path)
    assert keys.read() == ()
    assert not keys.path.exists()


def test_two_processes_share_one_ring(tmp_path):
    one, other = KeyFile(tmp_path), KeyFile(tmp_path)
    ring = one.advance(START, LIVES)
    assert other.read() == ring == other.advance(START, LIVES)
    later = START + 86_400
    moved = other.advance(later, LIVES)
    assert signing(moved, later).kid != signing(ring, START).kid
    assert one.read() == moved
    assert [key.state(later) for key in moved] == [KeyState.RETIRING, KeyState.ACTIVE]


def test_a_ring_that_is_as_it_should_be_is_not_written_again(tmp_path):
    keys = KeyFile(tmp_path)
    keys.advance(START, LIVES)
    before = keys.path.stat().st_ino
    keys.advance(START + 60, LIVES)
    assert keys.path.stat().st_ino == before


def test_keys_that_others_can_read_are_not_used(tmp_path):
    keys = KeyFile(tmp_path)
    keys.advance(START, LIVES)
    keys.path.chmod(0o644)
    for use in (KeyFile(tmp_path).read, keys.read, lambda: keys.advance(START, LIVES)):
        with pytest.raises(KeyFileUnsafeError):
            use()


def test_a_damaged_file_says_how_to_go_on(tmp_path):
    keys = KeyFile(tmp_path)
    keys.advance(START, LIVES)
    keys.path.write_bytes(b'{"keys": 3}')
    with pytest.raises(KeyFileDamagedError, match="holds no signing keys") as caught:
        keys.read()
    assert "delete it" in caught.value.hint
