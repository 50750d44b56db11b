"""What is seen of a node, and what keys do."""

import io

import trio

from mnedge.cli.screen import Screen
from mnedge.cli.top import KEYS, _Top, keys_in, see
from mnedge.cli.verbs import Asked
from tests.cli.test_remote import asking, hang, hanging
from tests.runtime.rig import pipeline, submitted


async def test_open_jobs_are_seen_before_those_that_are_over(tmp_path, autojump_clock):
    async with asking(tmp_path) as (desk, rig):
        rig.executor.work["start"] = hang
        await submitted(rig, hanging(), "open")
        await submitted(rig, pipeline(), "over")
        await trio.sleep(1)
        sight = await see(desk)
        assert [job.job_id for job in sight.jobs] == ["open", "over"]
        assert sight.health["status"] == "ok"
        top = _Top(Screen(Asked(), io.StringIO()), -1, 1.0)
        top.sight = sight
        with trio.CancelScope() as scope:
            for key, chosen in ((b"\x1b[B", 1), (b"j", 1), (b"k", 0)):
                await top.press(desk, KEYS[key], scope)
                assert top.chosen == chosen
            await top.press(desk, KEYS[b"\r"], scope)
            assert top.inside
            assert "open" in top.inside[0].plain
            await top.press(desk, KEYS[b"\x1b"], scope)
            assert top.inside is None
            await top.press(desk, KEYS[b"q"], scope)
            assert scope.cancel_called


def test_keys_that_come_together_are_taken_one_by_one():
    assert [KEYS.get(key, "") for key in keys_in(b"\x1b[B\x1b[A\rqx")] == [
        "down", "up", "enter", "quit", "",
    ]  # fmt: skip
    assert keys_in(b"") == []
    assert keys_in(b"\x1b") == [b"\x1b"]
