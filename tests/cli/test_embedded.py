"""The desk of this process."""

import pytest

from mnedge.cli import embedded
from mnedge.cli.reach import config_of
from mnedge.cli.verbs import Asked
from mnedge.model.states import JobStatus
from mnedge.runtime.jobs import JobNotFoundError


def test_somebody_asks(monkeypatch):
    assert embedded.who()

    def nobody():
        raise KeyError("no such user")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert embedded.who().startswith("uid ")


async def test_an_empty_store_knows_nothing_and_says_so(home):
    async with embedded.embedded(config_of(Asked())) as here:
        assert await here.jobs(set(JobStatus), None) == []
        assert await here.requests(None) == []
        assert await here.definitions(True) == []
        assert (await here.health())["status"] == "no daemon"
        assert (await here.nodes())[0]["self"] is True
        assert (await here.resources())["pools"] == {}
        with pytest.raises(JobNotFoundError):
            await here.find("last")
