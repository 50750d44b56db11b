import pytest

from mnedge.config.current import Current
from mnedge.config.read import Flags, load_config
from mnedge.daemon.reloading import Reloading


@pytest.fixture
def bench(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("daemon: {grace: 10s}\n")

    def load():
        return load_config({"HOME": "/h"}, Flags(file=str(file)))

    current = Current(load())
    told = []
    reloading = Reloading(
        current, load, begun=lambda: told.append("begun"), done=lambda result: told.append(result)
    )
    return file, current, reloading, told


async def test_what_changed_is_returned_and_told(bench):
    file, current, reloading, told = bench
    followed = []
    reloading.follow(followed.append)
    file.write_text("daemon: {grace: 20s}\nnode: other\n")
    result = await reloading.reload()
    assert result.good
    assert [change.path for change in result.changed] == ["daemon.grace"]
    assert [change.path for change in result.needs_restart] == ["node"]
    assert current().daemon.grace == 20
    assert told == ["begun", result]
    assert followed == [result.changed]
    assert result.summary == "1 setting changed; a restart is needed for node"


async def test_a_bad_file_changes_nothing(bench):
    file, current, reloading, told = bench
    file.write_text("daemon: {grace: 20s}\nnod: other\ndurability: x\n")
    result = await reloading.reload()
    assert not result.good
    assert [problem["location"]["line"] for problem in result.problems] == [2, 3]
    assert current().daemon.grace == 10
    assert told == ["begun", result]


async def test_a_file_that_is_gone_changes_nothing(bench):
    file, current, reloading, _ = bench
    file.unlink()
    result = await reloading.reload()
    assert "there is no configuration file" in result.problems[0]["message"]
    assert current().daemon.grace == 10


async def test_what_breaks_unforeseen_ends_the_reload_all_the_same(bench):
    _, current, _, _ = bench
    told = []

    def broken():
        raise RuntimeError("no idea")

    reloading = Reloading(current, broken, done=told.append)
    with pytest.raises(RuntimeError):
        await reloading.reload()
    assert len(told) == 1


async def test_who_is_told_always_is_told_whatever_comes_of_it(bench):
    file, _, reloading, _ = bench
    asked = []
    reloading.always(lambda: asked.append(True))
    await reloading.reload()
    file.write_text("nonsense: 1")
    await reloading.reload()
    assert len(asked) == 2
