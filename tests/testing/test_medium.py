"""What a power cut may leave of pending changes, and what it may not."""

from random import Random

import pytest

from mnedge.testing.medium import SECTOR_BYTES, File, Medium

CHANCES = range(300)
ROOT = "/disk"


def left_of(act, *, orderly=False):
    """Return everything that a power cut after `act` can leave."""
    found = []
    for chance in CHANCES:
        medium = Medium(ROOT, Random(chance), orderly=orderly)
        act(medium)
        left = {path.removeprefix("/disk/"): c for path, c in medium.cut_power().items()}
        if left not in found:
            found.append(left)
    return found


def put(medium, path, *contents):
    file = medium.file(path)
    for content in contents:
        file.pending.append((sum(len(c) for _, c in file.pending), content))


def test_chance_takes_any_writes_in_sectors():
    def act(medium):
        medium.make("/disk/a")
        medium.sync_folder(ROOT)
        put(medium, "/disk/a", b"1" * SECTOR_BYTES, b"2" * SECTOR_BYTES)

    one, two, hole = b"1" * SECTOR_BYTES, b"2" * SECTOR_BYTES, bytes(SECTOR_BYTES)
    found = [left["a"] for left in left_of(act)]
    assert sorted(found) == sorted([b"", one, one + two, hole + two])


def test_only_the_bytes_of_a_write_can_be_torn():
    file = File(b"old" * 300)
    file.pending.append((100, b"n" * 1000))
    for chance in CHANCES:
        left = file.after_cut(Random(chance))
        assert left[:100] == (b"old" * 300)[:100]
        assert set(left[100:SECTOR_BYTES]) in ({ord("n")}, set(b"old"))


def test_what_is_synced_is_there_in_the_order_of_its_changes():
    file = File()
    file.pending += [(0, b"12345"), (2, None), (3, b"x")]
    file.sync()
    assert file.after_cut(Random(0)) == b"12\0x"


def two_names(medium):
    medium.make("/disk/sub", folder=True)
    medium.sync_folder(ROOT)
    medium.make("/disk/a")
    medium.make("/disk/sub/b")


@pytest.mark.parametrize("orderly,cases", [(False, 4), (True, 3)])
def test_an_orderly_disk_keeps_the_first_changes_of_names_another_one_those_of_each_folder(
    orderly, cases
):
    found = left_of(two_names, orderly=orderly)
    assert len(found) == cases
    assert ({"sub": None, "sub/b": b""} in found) is not orderly


@pytest.mark.parametrize("orderly", [False, True])
def test_an_orderly_disk_takes_all_earlier_names_along(orderly):
    def act(medium):
        two_names(medium)
        medium.sync_folder("/disk/sub")

    assert all("sub/b" in left for left in left_of(act, orderly=orderly))
    assert all("a" in left for left in left_of(act, orderly=orderly)) is orderly


def test_a_move_is_done_or_not_and_never_half():
    def act(medium):
        medium.make("/disk/a")
        medium.make("/disk/b")
        medium.sync_folder(ROOT)
        medium.move("/disk/a", "/disk/b")

    assert [sorted(left) for left in left_of(act)] in ([["a", "b"], ["b"]], [["b"], ["a", "b"]])


def test_a_dropped_name_can_stay():
    def act(medium):
        medium.make("/disk/a")
        medium.sync_folder(ROOT)
        medium.drop("/disk/a")
        assert not medium.has("/disk/a")

    assert sorted(map(len, left_of(act))) == [0, 1]


def test_after_a_power_cut_all_that_is_left_is_durable():
    medium = Medium(ROOT, Random(1), orderly=False)
    two_names(medium)
    left = medium.cut_power()
    assert medium.cut_power() == left
