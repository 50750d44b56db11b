import json

import pytest

from mnedge.errors import UnavailableError, UsageError
from mnedge.testing.skill_contract import a_delivery
from mnedge_skills.file import File, PathForbiddenError, skills

pytestmark = pytest.mark.live


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "skills"


@pytest.mark.parametrize("path", ["../out.jsonl", "/etc/out.jsonl", "a/../../out.jsonl", "..", "/"])
async def test_a_path_outside_is_refused(folder, path):
    file = File(str(folder))
    assert file.check({"path": path})
    with pytest.raises(UsageError):
        await file.deliver(a_delivery(), {"path": path})
    assert not folder.exists()


async def test_a_link_leads_nowhere_else(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "alerts.jsonl").symlink_to(outside / "alerts.jsonl")
    file = File(str(folder))
    with pytest.raises(UsageError):
        await file.deliver(a_delivery(), {"path": "link/a.jsonl"})
    with pytest.raises(UnavailableError):
        await file.deliver(a_delivery(), {"path": "alerts.jsonl"})
    assert list(outside.iterdir()) == []


async def test_the_operator_may_open_another_folder(folder, tmp_path):
    (file,) = skills(str(folder), [str(tmp_path / "open")])
    path = tmp_path / "open" / "a.jsonl"
    assert file.check({"path": str(path)}) == []
    await file.deliver(a_delivery(), {"path": str(path)})
    assert json.loads(path.read_text())["delivery_id"] == "delivery-1"
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_full_file_is_put_aside_and_the_oldest_is_dropped(folder):
    file, settings = File(str(folder)), {"path": "a.jsonl", "max_bytes": 1024, "keep": 2}
    for number in range(40):
        await file.deliver(a_delivery(number), settings)
    assert sorted(path.name for path in folder.iterdir()) == ["a.jsonl", "a.jsonl.1", "a.jsonl.2"]
    lines = [
        json.loads(line)["body"]["number"]
        for name in ("a.jsonl.2", "a.jsonl.1", "a.jsonl")
        for line in (folder / name).read_text().splitlines()
    ]
    assert lines == list(range(lines[0], 40)), "nothing between is missing"
    assert all(path.stat().st_size <= 1024 for path in folder.iterdir())


async def test_without_room_for_old_ones_the_full_file_is_dropped(folder):
    file, settings = File(str(folder)), {"path": "a.jsonl", "max_bytes": 1024, "keep": 0}
    for number in range(20):
        await file.deliver(a_delivery(number), settings)
    assert [path.name for path in folder.iterdir()] == ["a.jsonl"]


async def test_a_line_that_a_crash_cut_short_stays_alone(folder):
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"delivery_id":"delivery-1","ki')
    await File(str(folder)).deliver(a_delivery(), {"path": "a.jsonl"})
    cut, whole = (folder / "a.jsonl").read_text().splitlines()
    assert json.loads(whole)["title"] == a_delivery().title
    assert cut == '{"delivery_id":"delivery-1","ki'


async def test_what_stands_there_is_not_written_again_even_by_another_process(folder):
    for _ in range(2):
        await File(str(folder)).deliver(a_delivery(), {"path": "a.jsonl"})
    assert len((folder / "a.jsonl").read_text().splitlines()) == 1


async def test_a_pipe_is_no_file(folder):
    import os

    folder.mkdir()
    os.mkfifo(folder / "pipe")
    with pytest.raises(PathForbiddenError):
        await File(str(folder)).deliver(a_delivery(), {"path": "pipe"})


@pytest.mark.parametrize(
    "settings",
    [{"path": ""}, {"path": 3}, {"path": "a/"}, {"path": "a\0b"}, {"path": "a", "max_bytes": 1},
     {"path": "a", "keep": -1}, {"path": "a", "keep": True}, {"path": "a", "mode": 1}],
)  # fmt: skip
def test_settings_that_make_no_sense_are_told(folder, settings):
    assert File(str(folder)).check(settings)
