"""Whether this node takes new work: an operator may close it for maintenance, or empty it.

Key `node/eligibility`. What runs goes on; only what is new is refused.
"""

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mnedge.errors import UnavailableError
from mnedge.runtime.jobs import Stores

KEY = "node/eligibility"


class NodeClosedError(UnavailableError):
    """An operator has closed this node for new work."""

    code = "node.closed"


class Eligibility(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What operators decided about this node."""

    maintenance: bool = False
    draining: bool = False
    drain_status: str = ""
    """`draining`, `complete`, `blocked_no_placement`; empty: it was never emptied."""
    reason: str = ""
    by: str = ""
    since: float = 0.0
    operation_id: str = ""
    """The operation that empties it."""

    @property
    def open(self) -> bool:
        """Tell whether new work is taken."""
        return not (self.maintenance or self.draining)

    @property
    def status(self) -> str:
        """Return the node's status as lists of nodes show it."""
        if self.maintenance:
            return "maintenance"
        return "draining" if self.draining else "healthy"


async def eligibility(stores: Stores) -> Eligibility:
    """Return what operators decided last."""
    row = await stores.table.get(KEY)
    return Eligibility() if row is None else _decode(row.value)


async def decide(stores: Stores, decided: Eligibility) -> None:
    """Have it so from now on."""
    await stores.table.put(KEY, _encode(decided))


def undrained(decided: Eligibility) -> Eligibility:
    """Return what operators decided, without an emptying that is under way."""
    return replace(decided, draining=False, drain_status="", operation_id="")


async def admit(stores: Stores) -> None:
    """Refuse new work if the node is closed; whoever submits asks first.

    Raises: NodeClosedError.
    """
    found = await eligibility(stores)
    if not found.open:
        why = f": {found.reason}" if found.reason else ""
        raise NodeClosedError(
            f"this node takes no new work, it is {_WORDS[found.status]}{why}",
            hint="mn node undrain, or mn node maintenance --disable, opens it again",
            details={"status": found.status, "since": found.since, "by": found.by},
        )


_WORDS = {"maintenance": "in maintenance", "draining": "being emptied"}
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Eligibility).decode
