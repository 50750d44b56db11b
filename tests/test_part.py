import pytest
import trio

from mnedge.part import Part, running


class Recorder(Part):
    """Says what happens to it."""

    grace_s = 2.0

    def __init__(self, stops_by_itself: bool = True) -> None:
        self.log: list[str] = []
        self._stopping = trio.Event()
        self._stops_by_itself = stops_by_itself

    async def run(self, *, task_status=trio.TASK_STATUS_IGNORED):
        await trio.sleep(1)
        self.log.append("ready")
        task_status.started()
        try:
            await self._stopping.wait()
            if not self._stops_by_itself:
                await trio.sleep_forever()
            self.log.append("finished")
        except trio.Cancelled:
            self.log.append("cut")
            raise

    def stop(self) -> None:
        self.log.append("told")
        self._stopping.set()


async def test_a_part_is_ready_before_the_block_and_gone_after_it(autojump_clock):
    part = Recorder()
    async with running(part):
        part.log.append("block")
    assert part.log == ["ready", "block", "told", "finished"]


async def test_a_part_that_does_not_stop_is_cut_after_its_grace(autojump_clock):
    part = Recorder(stops_by_itself=False)
    async with running(part):
        ended_at = trio.current_time()
    assert part.log == ["ready", "told", "cut"]
    assert trio.current_time() - ended_at == pytest.approx(2.0)


async def test_a_part_that_cannot_start_keeps_the_block_closed():
    class Broken(Part):
        async def run(self, *, task_status=trio.TASK_STATUS_IGNORED):
            raise OSError("no port")

    entered = False
    with pytest.RaisesGroup(OSError, flatten_subgroups=True, allow_unwrapped=True):
        async with running(Broken()):
            entered = True
    assert not entered


def test_a_part_must_say_how_it_runs():
    with pytest.raises(NotImplementedError):
        trio.run(Part().run)
