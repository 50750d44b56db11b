"""Who asks, and what they may do."""

from enum import StrEnum

from msgspec import Struct


class Scope(StrEnum):
    """What a caller may do; each includes the ones before it."""

    READ = "read"
    """Look at everything but secrets."""
    OPERATE = "operate"
    """Submit, steer and answer jobs."""
    ADMIN = "admin"
    """Tokens, the audit record, configuration."""


_ORDER = tuple(Scope)


class Principal(Struct, frozen=True, kw_only=True):
    """Somebody whom the gateway knows."""

    name: str
    """`user:ada`, `uid:1000`, `token:ci`; what the audit record says."""
    scope: Scope
    kind: str
    """How it was proved: `unix`, `token`."""
    address: str = ""
    token_id: str | None = None

    def may(self, wanted: Scope) -> bool:
        """Tell whether the caller's scope includes this one."""
        return _ORDER.index(wanted) <= _ORDER.index(self.scope)
