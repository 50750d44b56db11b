import os

import pytest
import trio

from mnedge.testing.spawner import a_spawner


@pytest.mark.live
async def test_it_starts_a_process_and_ends_it(tmp_path):
    spawner = a_spawner()
    process = spawner.start(
        ("sleep", "300"),
        token=f"testing-{os.getpid()}/a/1",
        environment={"PATH": os.environ["PATH"]},
        directory=str(tmp_path),
    )
    with trio.fail_after(20):
        assert (await process.end()).signal == 9
    assert await spawner.sweep([f"testing-{os.getpid()}/"]) == 0
