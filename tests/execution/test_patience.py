import errno

import pytest
import trio

from mnedge.errors import UnavailableError
from mnedge.execution.patience import insist, refused


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_cannot_be_written_is_known(number):
    found = refused(OSError(number, "no way", "/a/file"))
    assert found is not None
    assert found.message == "no way: /a/file"
    assert found.hint


def test_other_errors_are_others():
    assert refused(OSError(errno.EACCES, "no way")) is None


async def test_what_cannot_be_done_is_tried_again_and_told_once(autojump_clock):
    told, tries = [], []

    async def act():
        tries.append(trio.current_time())
        if len(tries) < 4:
            raise UnavailableError("full")
        return "done"

    assert await insist(act, lambda *note: told.append(note)) == "done"
    assert len(tries) == 4
    assert tries[-1] - tries[0] == pytest.approx(3)
    assert told == [("executor_waits_for_disk", {"reason": "full", "code": "unavailable"})]


async def test_other_errors_go_through():
    async def act():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await insist(act, lambda *_: None)
