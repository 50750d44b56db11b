"""The claims suite notices claims that break their word."""

import pytest

from mnedge.ports import Claim, Epoch
from mnedge.store.memory import MemoryClaims, MemoryStore
from mnedge.testing.claims_contract import ClaimsContract

SUITE = ClaimsContract()


class Generous(MemoryClaims):
    """Grants what is held."""

    async def claim(self, key):
        claim = await super().claim(key)
        return claim or Claim(key, self._holder, Epoch(9, 9))


class Standing(MemoryClaims):
    """Grants every claim with the same epoch."""

    async def claim(self, key):
        claim = await super().claim(key)
        if claim is not None:
            claim = self._contents.claims[key] = Claim(key, claim.holder, Epoch(0, 1))
        return claim


class Trusting(MemoryClaims):
    """Lets go whoever holds the key."""

    async def release(self, claim):
        self._contents.claims.pop(claim.key, None)


class Faithful(MemoryClaims):
    """Never takes anything from the dead."""

    async def claim(self, key):
        return None if key in self._contents.claims else await super().claim(key)


class Processes:
    def __init__(self, kind):
        self._store = MemoryStore("nobody")
        self._kind = kind

    async def claims(self, holder):
        claims = self._store.beside(holder).claims
        claims.__class__ = self._kind
        return claims

    def perish(self, holder):
        self._store.perish(holder)


@pytest.mark.parametrize(
    "kind,test",
    [
        (Generous, SUITE.test_a_held_key_is_not_granted_again),
        (Generous, SUITE.test_of_many_who_ask_at_once_one_is_granted),
        (Standing, SUITE.test_the_epoch_grows_with_every_claim),
        (Trusting, SUITE.test_a_release_that_comes_late_takes_nothing_from_the_new_holder),
        (Faithful, SUITE.test_a_key_is_free_when_its_holder_is_gone),
    ],
)
async def test_broken_claims_are_caught(notices, kind, test):
    await test(Processes(MemoryClaims))
    assert await notices(test, Processes(kind))
