"""What all claims keep to. Subclass it in a test module that has a fixture `processes`."""

from typing import Protocol

import trio

from mnedge.ports import Claims


class Processes(Protocol):
    """Several processes on one store, which can be gone without a word."""

    async def claims(self, holder: str) -> Claims:
        """Return the claims as the process of that name sees them."""

    def perish(self, holder: str) -> None:
        """Let that process be gone."""


class ClaimsContract:
    """Tests of the Claims port."""

    async def test_a_free_key_is_granted_and_names_its_holder(self, processes: Processes) -> None:
        claims = await processes.claims("one")
        assert await claims.holder("job/1") is None
        claim = await claims.claim("job/1")
        assert claim is not None
        assert (claim.key, claim.holder) == ("job/1", "one")
        assert await claims.holder("job/1") == "one"

    async def test_a_held_key_is_not_granted_again(self, processes: Processes) -> None:
        one, two = await processes.claims("one"), await processes.claims("two")
        assert await one.claim("job/1") is not None
        assert await two.claim("job/1") is None
        assert await one.claim("job/1") is None
        assert await two.claim("job/2") is not None
        assert await two.holder("job/1") == "one"

    async def test_a_released_key_is_free(self, processes: Processes) -> None:
        one, two = await processes.claims("one"), await processes.claims("two")
        claim = await one.claim("job/1")
        assert claim is not None
        await one.release(claim)
        assert await one.holder("job/1") is None
        assert await two.claim("job/1") is not None

    async def test_a_key_is_free_when_its_holder_is_gone(self, processes: Processes) -> None:
        one, two = await processes.claims("one"), await processes.claims("two")
        assert await one.claim("job/1") is not None
        processes.perish("one")
        assert await two.holder("job/1") is None
        assert await two.claim("job/1") is not None
        assert await two.holder("job/1") == "two"

    async def test_the_epoch_grows_with_every_claim(self, processes: Processes) -> None:
        one, two = await processes.claims("one"), await processes.claims("two")
        epochs = []
        for claims in (one, two, one, one):
            claim = await claims.claim("job/1")
            assert claim is not None
            epochs.append(claim.epoch)
            await claims.release(claim)
        processes.perish("one")
        claim = await two.claim("job/1")
        assert claim is not None
        epochs.append(claim.epoch)
        assert epochs == sorted(set(epochs))

    async def test_a_release_that_comes_late_takes_nothing_from_the_new_holder(
        self, processes: Processes
    ) -> None:
        one, two = await processes.claims("one"), await processes.claims("two")
        old = await one.claim("job/1")
        assert old is not None
        await one.release(old)
        assert await two.claim("job/1") is not None
        await one.release(old)
        assert await two.holder("job/1") == "two"

    async def test_of_many_who_ask_at_once_one_is_granted(self, processes: Processes) -> None:
        asking = [await processes.claims(f"process {number}") for number in range(5)]
        granted = []

        async def ask(claims: Claims) -> None:
            claim = await claims.claim("leader")
            if claim is not None:
                granted.append(claim)

        async with trio.open_nursery() as nursery:
            for claims in asking:
                nursery.start_soon(ask, claims)
        assert len(granted) == 1
        assert await asking[0].holder("leader") == granted[0].holder
