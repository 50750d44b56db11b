"""What `file` does beyond the contract of connectors."""

import base64
import os

import pytest
import trio

from mnedge.errors import UnavailableError, UsageError
from mnedge.ports import Connector
from mnedge_connectors import file
from mnedge_connectors.file import File, PathForbiddenError, connectors

pytestmark = pytest.mark.live

READY = {"settle_s": 0, "interval_s": 0.1}


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "bundle"
    (place / "in").mkdir(parents=True)
    (place / "in" / "a.json").write_text('{"n": 1}')
    return place


class Placed:
    """A connector that reads for the job whose bundle lies here."""

    def __init__(self, folder, allowed=()):
        self.connector: Connector = File(allowed)
        self.folder = folder

    async def read(self, settings, cursor=None):
        return await self.connector.read(settings, cursor, folder=str(self.folder))

    def check(self, settings):
        return self.connector.check(settings)


async def bodies(connector: Placed, **settings):
    return [item.body for item in (await connector.read({**READY, **settings})).items]


async def test_a_file_is_read_as_its_name_or_the_settings_say(folder):
    (folder / "in" / "b.txt").write_text("Grüße")
    connector = Placed(folder)
    (found,) = await bodies(connector, path="in/a.json")
    assert found["content"] == {"n": 1}
    assert (found["path"], found["size_bytes"], found["change"]) == ("a.json", 8, "added")
    (found,) = await bodies(connector, path="in/b.txt")
    assert found["content"] == "Grüße"
    (found,) = await bodies(connector, path="in/b.txt", read="bytes")
    assert base64.b64decode(found["content"]).decode() == "Grüße"
    (found,) = await bodies(connector, path="in/b.txt", read="name")
    assert "content" not in found


async def test_a_folder_gives_what_fits_the_pattern_the_oldest_first(folder):
    for age, name in enumerate(("new.csv", "old.csv", "other.txt", ".hidden.csv", "deep/x.csv")):
        path = folder / "in" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
        os.utime(path, (1000 - age, 1000 - age))
    connector = Placed(folder)
    assert [b["path"] for b in await bodies(connector, path="in", pattern="*.csv")] == [
        "old.csv",
        "new.csv",
    ]
    deep = await bodies(connector, path="in", pattern="**/*.csv")
    assert [body["path"] for body in deep] == ["deep/x.csv", "old.csv", "new.csv"]


async def test_what_cannot_be_read_in_a_folder_is_told_and_the_rest_is_read(folder):
    (folder / "in" / "bad.json").write_text("{")
    (folder / "in" / "large.json").write_text("1" * 100)
    found = {b["path"]: b for b in await bodies(Placed(folder), path="in", max_bytes=50)}
    assert found["a.json"]["content"] == {"n": 1}
    assert found["bad.json"]["content"] is None
    assert found["bad.json"]["content_error"].startswith("bad.json is not JSON")
    assert found["large.json"]["content_error"] == "large.json is larger than 50 bytes"


async def test_a_single_file_that_cannot_be_read_is_worth_another_try(folder):
    (folder / "in" / "a.json").write_text("{")
    with pytest.raises(UnavailableError, match="is not JSON"):
        await bodies(Placed(folder), path="in/a.json")


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "in/way/out", "in/link.json"])
async def test_nothing_outside_is_read_also_not_through_links(folder, path):
    (folder.parent / "secret").write_text("x")
    (folder / "in" / "way").symlink_to("..")
    (folder / "in" / "link.json").symlink_to("../../secret")
    (folder / "out").symlink_to("..")
    connector = Placed(folder)
    path = path if path != "in/way/out" else "in/way/out/secret"
    if "in/" not in path:
        assert connector.check({"path": path}) == [f"{path} is outside the bundle"]
    with pytest.raises(UsageError, match="outside the bundle"):
        await connector.read({"path": path})


async def test_links_out_of_a_folder_are_left_out_and_the_operators_folders_are_open(folder):
    outside = folder.parent / "elsewhere"
    outside.mkdir()
    (outside / "x.json").write_text("2")
    (folder / "in" / "link.json").symlink_to(outside / "x.json")
    assert [b["path"] for b in await bodies(Placed(folder), path="in")] == ["a.json"]
    opened = Placed(folder, [str(outside)])
    assert {b["path"] for b in await bodies(opened, path="in")} == {"a.json", "link.json"}
    assert [b["content"] for b in await bodies(opened, path=str(outside))] == [2]


async def test_a_file_that_leads_elsewhere_by_the_time_it_is_opened_is_not_read(
    folder, monkeypatch
):
    secret = folder.parent / "secret.json"
    secret.write_text('{"n": 1}')
    opened = os.open

    def swapped(path, flags, *more):
        if str(path).endswith("a.json"):
            os.unlink(path)
            os.symlink(secret, path)
        return opened(path, flags, *more)

    monkeypatch.setattr(file.os, "open", swapped)
    with pytest.raises(PathForbiddenError):
        await bodies(Placed(folder), path="in/a.json")


async def test_what_is_no_plain_file_does_not_hang_it(folder):
    os.mkfifo(folder / "in" / "pipe.json")
    with trio.fail_after(5):
        assert [b["path"] for b in await bodies(Placed(folder), path="in")] == ["a.json"]
        with pytest.raises(UsageError, match="no plain file"):
            await bodies(Placed(folder), path="in/pipe.json")


async def test_a_file_that_was_just_written_is_waited_for_at_first_and_left_for_later_then(folder):
    connector = Placed(folder)
    settings = {"path": "in", "settle_s": 0.6, "interval_s": 0.1}
    (folder / "in" / "a.json").write_text('{"n": 2}')
    with trio.fail_after(10):
        first = await connector.read(settings)
        assert [item.body["content"] for item in first.items] == [{"n": 2}]
        (folder / "in" / "a.json").write_text('{"n": 333}')
        begun = trio.current_time()
        second = await connector.read(settings, first.cursor)
    assert [item.body["content"] for item in second.items] == [{"n": 333}]
    assert trio.current_time() - begun >= 0.4


async def test_a_file_that_is_always_being_written_is_told(folder):
    (folder / "in" / "a.json").touch()
    later = 2 * 10**9
    os.utime(folder / "in" / "a.json")
    connector = Placed(folder)
    settings = {"path": "in/a.json", "settle_s": 3600, "interval_s": 0.1}
    with trio.move_on_after(0.3):
        await connector.read(settings)
        pytest.fail("it was read")
    os.utime(folder / "in" / "a.json", (later, later))
    assert (await connector.read({**settings, "read": "name"})).items  # its clock is wrong, no more


async def test_a_change_of_a_known_file_is_an_update_and_another_item(folder):
    connector = Placed(folder)
    first = await connector.read({**READY, "path": "in"})
    (folder / "in" / "a.json").write_text('{"n": 22}')
    with trio.fail_after(10):
        second = await connector.read({**READY, "path": "in"}, first.cursor)
    (item,) = second.items
    assert item.body["change"] == "updated"
    assert item.event == "folder_content_changed"
    assert item.source_ref["path"] == "in/a.json"
    assert item.item_id != first.items[0].item_id


async def test_many_new_files_come_in_bounded_batches_none_twice(folder):
    connector = Placed(folder)
    cursor = (await connector.read({**READY, "path": "in"})).cursor
    for number in range(250):
        (folder / "in" / f"n{number:03}.json").write_text(str(number))
    sizes, names = [], []
    with trio.fail_after(20):
        while len(names) < 250:
            batch = await connector.read({**READY, "path": "in"}, cursor)
            cursor = batch.cursor
            sizes.append(len(batch.items))
            names += [item.body["path"] for item in batch.items]
    assert sizes == [100, 100, 50]
    assert len(set(names)) == 250


async def test_as_many_files_as_may_be_have_their_marks_in_one_cursor(folder):
    for number in range(file.MOST_FILES - 1):
        (folder / "in" / f"{number:05}").touch()
    batch = await Placed(folder).read({**READY, "path": "in", "read": "name"})
    assert len(batch.items) == file.MOST_FILES
    assert len(batch.cursor) <= 64 << 10
    (folder / "in" / "00001").write_text("changed")
    (item,) = (await Placed(folder).read({**READY, "path": "in"}, batch.cursor)).items
    assert item.body["content"] == "changed"


async def test_too_many_files_and_too_much_of_them_are_refused_by_name(folder, monkeypatch):
    for number in range(5):
        (folder / "in" / f"n{number}.json").write_text("1" * 20)
    monkeypatch.setattr(file, "MOST_BYTES", 60)
    with pytest.raises(UsageError, match="in holds more than 0 MiB to begin with"):
        await bodies(Placed(folder), path="in", max_bytes=30)
    monkeypatch.setattr(file, "MOST_FILES", 3)
    with pytest.raises(UsageError, match="in holds more than 3 files"):
        await bodies(Placed(folder), path="in", max_bytes=30)


@pytest.mark.parametrize(
    "settings, problem",
    [
        ({}, "path has to name a file or a folder, as in payloads/readings"),
        ({"path": "in", "read": "xml"}, "read has to be one of json, text, bytes, name"),
        ({"path": "in", "pattern": ""}, "pattern has to be a text such as *.json"),
        ({"path": "in", "max_bytes": 0}, "max_bytes has to be a whole number of 1 to 16777216"),
        ({"path": "in", "interval_s": 0}, "interval_s has to be a number of 0.1 to 3600"),
        ({"path": "in", "settle_s": "x"}, "settle_s has to be a number of 0 to 3600"),
    ],
)
def test_each_setting_is_checked(folder, settings, problem):
    (found,) = Placed(folder).check(settings)
    assert found.startswith(problem)


async def test_a_cursor_of_somebody_else_is_refused(folder):
    with pytest.raises(UsageError, match="no cursor of file"):
        await Placed(folder).read({**READY, "path": "in"}, "not base64!")


def test_the_plugin_brings_it(folder):
    (connector,) = connectors(allowed=[str(folder)])
    assert connector.name == "file"
