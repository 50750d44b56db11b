import pytest
import trio

from mnedge.execution.hotplug import FolderWatch

pytestmark = pytest.mark.live
SOON_S = 5.0


@pytest.fixture
def watch():
    watch = FolderWatch()
    yield watch
    watch.close()


async def told(watch):
    with trio.fail_after(SOON_S):
        return await watch.changed()


async def silent(watch):
    with trio.move_on_after(0.1) as waiting:
        await watch.changed()
    return waiting.cancelled_caught


async def test_what_comes_goes_and_is_renamed_is_told_to_who_follows_the_folder(watch, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.mkdir(), b.mkdir()
    assert watch.follow({"one": [str(a)], "two": [str(a), str(b)]}) == {"one", "two"}
    (a / "node").touch()
    assert await told(watch) == {"one", "two"}
    (b / "node").touch()
    assert await told(watch) == {"two"}
    (b / "node").rename(b / "other")
    assert await told(watch) == {"two"}
    (b / "other").unlink()
    assert await told(watch) == {"two"}


async def test_reading_and_writing_a_node_is_nobodys_business(watch, tmp_path):
    (tmp_path / "node").touch()
    watch.follow({"one": [str(tmp_path)]})
    (tmp_path / "node").write_text("x")
    (tmp_path / "node").chmod(0o600)
    assert await silent(watch)


async def test_a_folder_that_is_not_there_yet_is_awaited_step_by_step(watch, tmp_path):
    wanted = {"one": [str(tmp_path / "bus" / "usb")]}
    assert watch.follow(wanted) == {"one"}
    (tmp_path / "bus" / "usb").mkdir(parents=True)
    assert await told(watch) == {"one"}
    assert watch.follow(wanted) == {"one"}, "a new folder is watched: what is in it is to be seen"
    assert watch.follow(wanted) == set()
    (tmp_path / "bus" / "usb" / "001").touch()
    assert await told(watch) == {"one"}


async def test_a_folder_that_vanishes_is_told_and_awaited_again(watch, tmp_path):
    folder = tmp_path / "dri"
    folder.mkdir()
    wanted = {"one": [str(folder)]}
    watch.follow(wanted)
    folder.rmdir()
    assert await told(watch) == {"one"}
    watch.follow(wanted)
    folder.mkdir()
    while not watch.follow(wanted):
        await told(watch)
    (folder / "card0").touch()
    assert await told(watch) == {"one"}


async def test_who_follows_a_folder_no_more_hears_of_it_no_more(watch, tmp_path):
    watch.follow({"one": [str(tmp_path)]})
    watch.follow({})
    (tmp_path / "node").touch()
    await silent(watch)
    assert await silent(watch)


async def test_more_than_the_kernel_remembers_is_a_reason_for_everybody_to_look(watch, tmp_path):
    watch.follow({"one": [str(tmp_path)], "two": ["/"]})
    assert watch._read(b"\xff\xff\xff\xff" + (0x4000).to_bytes(4, "little") + bytes(8)) == {
        "one",
        "two",
    }
