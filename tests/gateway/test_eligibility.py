import pytest

from mnedge.gateway.eligibility import Eligibility, NodeClosedError, admit, decide, eligibility
from mnedge.part import running
from mnedge.store.memory import MemoryStore


async def test_a_node_is_open_until_an_operator_closes_it():
    async with running(MemoryStore()) as store:
        assert (await eligibility(store)).open
        await admit(store)
        await decide(store, Eligibility(maintenance=True, reason="new disk", by="user:ada"))
        with pytest.raises(NodeClosedError, match="in maintenance: new disk") as raised:
            await admit(store)
        assert raised.value.details["by"] == "user:ada"
        await decide(store, Eligibility(draining=True))
        with pytest.raises(NodeClosedError, match="being emptied"):
            await admit(store)
        await decide(store, Eligibility())
        await admit(store)
