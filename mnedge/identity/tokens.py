"""Bearer tokens: JWTs that this node signs with ES256 and verifies by its own clock.

A token says whose it is (`sub`), for whom (`aud`), what it may (`scope`) and until when. Whatever
goes wrong while one is verified is a denial. Source: platform 1.b.
"""

import re
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from hashlib import sha256
from math import floor, isfinite
from pathlib import Path
from secrets import token_hex
from typing import Any

import msgspec
import trio
from msgspec import Struct
from msgspec.structs import replace

from mnedge.config.settings import Soul
from mnedge.errors import ConflictError, MnedgeError, NotFoundError, UsageError
from mnedge.identity.keyfile import KeyFile
from mnedge.identity.keys import (
    ALGORITHM,
    SKEW_S,
    Lives,
    SigningKey,
    jwks,
    next_change_at,
    private_key,
    signing,
    verifying,
)
from mnedge.identity.refusals import (
    ClockImplausibleError,
    TokenExpiredError,
    TokenInvalidError,
    TokenRevokedError,
)
from mnedge.identity.revocations import Revocations
from mnedge.identity.signatures import signed
from mnedge.model.access import Principal, Scope
from mnedge.part import Part
from mnedge.ports import Table

PLAUSIBLE_AT = 1_735_689_600.0
"""2025-01-01: no machine that runs this program lives before; its clock is wrong if it says so."""
LONGEST_TOKEN_CHARS = 4096
_ISSUED = "tokens/issued/"
_REMEMBERED = 512
_NAP_S = 1800.0
"""A clock may be stepped and a machine may sleep: look at the date at least so often."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,62}")
_REQUIRED = ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "scope", "node"]


class TokenRequestError(UsageError):
    """A token was asked for that this node does not give."""

    code = "token.request"


class TokenUnknownError(NotFoundError):
    """No token with that id was issued by this node, or it has ended long ago."""

    code = "token.unknown"


class Issued(Struct, frozen=True, kw_only=True):
    """A new token; its text is shown once and kept nowhere."""

    token: str
    token_id: str
    name: str
    scope: Scope
    issued_at: float
    expires_at: float


class TokenRecord(Struct, frozen=True, kw_only=True):
    """What the node remembers of a token."""

    token_id: str
    name: str
    scope: Scope
    issued_at: float
    expires_at: float
    issued_by: str = ""
    revoked: bool = False


class _Verified(Struct, frozen=True):
    principal: Principal
    kid: str
    token_id: str
    name: str
    issued_at: float
    not_before: float
    expires_at: float


class Tokens(Part):
    """Issues, verifies and takes back tokens; while it runs it also renews its keys in time."""

    def __init__(
        self,
        table: Table,
        data_dir: Path,
        soul: Soul | Callable[[], Soul],
        node: str,
        now: Callable[[], float],
    ) -> None:
        self._table = table
        self._keys = KeyFile(data_dir)
        self._soul: Callable[[], Soul] = _always(soul) if isinstance(soul, Soul) else soul
        self.node = node
        self._now = now
        self._revocations = Revocations(table, now)
        self._remembered: OrderedDict[bytes, _Verified] = OrderedDict()

    @property
    def audience(self) -> str:
        """Whom tokens of this node are for."""
        return self._soul().jwt.audience or f"mnedge:{self.node}"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow revocations and renew keys; a node that never issued a token writes nothing."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._revocations.run)
            task_status.started()
            while True:
                await self.rotate()
                await self.prune()
                await trio.sleep(self._nap_s())

    async def issue(
        self, name: str, scope: Scope, ttl_s: float | None = None, *, by: str = ""
    ) -> Issued:
        """Return a new token. `ttl_s`: the longest that is allowed, unless given.

        Raises: TokenRequestError; ClockImplausibleError; KeyFileUnsafeError.
        """
        now = self._plausible_now()
        longest_s = self._soul().policies.token_ttl
        ttl_s = longest_s if ttl_s is None else ttl_s
        if not _NAME.fullmatch(name):
            raise TokenRequestError(
                f"a token cannot be called {name!r}",
                hint="up to 63 letters, digits and . _ @ : -, the first a letter or digit",
            )
        if not isfinite(ttl_s) or not 1 <= ttl_s <= longest_s:
            raise TokenRequestError(
                f"a token may live 1 to {longest_s:g} seconds, not {ttl_s:g}",
                hint="ask for less, or raise soul.policies.tokenTTL",
            )
        ring = self._keys.advance(now, self._lives())
        issued_at = floor(now)
        record = TokenRecord(
            token_id=f"tok_{token_hex(10)}",
            name=name,
            scope=scope,
            issued_at=issued_at,
            expires_at=issued_at + floor(ttl_s),
            issued_by=by,
        )
        text = self._signed(record, signing(ring, now))
        await self._table.put(_ISSUED + record.token_id, msgspec.json.encode(record), if_version=0)
        return Issued(
            token=text,
            token_id=record.token_id,
            name=name,
            scope=scope,
            issued_at=record.issued_at,
            expires_at=record.expires_at,
        )

    async def verify(self, text: str) -> Principal:
        """Return whose token it is.

        Raises: TokenInvalidError, or one that narrows it; any other MnedgeError is a denial too.
        """
        now = self._plausible_now()
        verified = self._signature_checked(text, now)
        if now - SKEW_S >= verified.expires_at:
            raise TokenExpiredError(
                "this token has ended",
                hint="get a new one with: mnedge token create",
                details={"expired_at": verified.expires_at},
            )
        if verified.not_before > now + SKEW_S or verified.issued_at > now + SKEW_S:
            raise TokenInvalidError("this token is not good yet", hint="check the clocks")
        if await self._revocations.holds(verified.token_id, verified.name, verified.issued_at):
            raise TokenRevokedError("this token was taken back")
        return verified.principal

    async def revoke(self, token_id: str) -> TokenRecord:
        """Take one token back.

        Raises: TokenUnknownError.
        """
        row = await self._table.get(_ISSUED + token_id)
        if row is None:
            raise TokenUnknownError(
                f"no living token has the id {token_id!r}", hint="see mnedge token list"
            )
        record = msgspec.json.decode(row.value, type=TokenRecord)
        await self._revocations.revoke_id(token_id, record.expires_at + SKEW_S)
        return replace(record, revoked=True)

    async def revoke_name(self, name: str) -> None:
        """Take back every token of that name that was issued until now."""
        await self._revocations.revoke_name(name, self._now() + self._lives().kept_s)

    async def list(self) -> Sequence[TokenRecord]:
        """Return the tokens that have not ended, the oldest first; never their text."""
        now = self._now()
        found = [record for record in await self._records() if record.expires_at > now]
        return sorted(
            [replace(record, revoked=await self._is_revoked(record)) for record in found],
            key=lambda record: (record.issued_at, record.token_id),
        )

    def jwks(self) -> dict[str, Any]:
        """Return the public keys by which others verify tokens of this node."""
        return jwks(self._keys.read(), self._now())

    async def rotate(self) -> None:
        """Renew the keys if it is time; without keys there is nothing to renew."""
        if self._keys.read() and self._now() >= PLAUSIBLE_AT:
            self._keys.advance(self._now(), self._lives())

    async def prune(self) -> None:
        """Forget tokens that have ended, and that they were taken back."""
        for record in await self._records():
            if record.expires_at + SKEW_S < self._now():
                await self._forget(record.token_id)
        await self._revocations.prune()

    async def _forget(self, token_id: str) -> None:
        try:
            await self._table.delete(_ISSUED + token_id, sync=False)
        except ConflictError:
            return

    async def _records(self) -> Sequence[TokenRecord]:
        records: deque[TokenRecord] = deque()
        after = ""
        while rows := await self._table.scan(_ISSUED, after=after):
            after = rows[-1].key
            records.extend(msgspec.json.decode(row.value, type=TokenRecord) for row in rows)
        return records

    async def _is_revoked(self, record: TokenRecord) -> bool:
        return await self._revocations.holds(record.token_id, record.name, record.issued_at)

    def _signed(self, record: TokenRecord, key: SigningKey) -> str:
        claims = {
            "iss": self._soul().jwt.issuer,
            "sub": record.name,
            "aud": self.audience,
            "exp": int(record.expires_at),
            "iat": int(record.issued_at),
            "nbf": int(record.issued_at),
            "jti": record.token_id,
            "scope": str(record.scope),
            "node": self.node,
        }
        return signed(claims, key)

    def _signature_checked(self, text: str, now: float) -> _Verified:
        """Return what the token says, if this node said it.

        What was found good is remembered by its hash; the key must still be there.
        """
        asked = f"{self._soul().jwt.issuer}\0{self.audience}\0{text}"
        mark = sha256(asked.encode(errors="surrogatepass")).digest()
        known = self._remembered.get(mark)
        if known is not None:
            self._remembered.move_to_end(mark)
        else:
            try:
                known = self._claims(text, now)
            except MnedgeError:
                raise
            except Exception:
                raise _invalid() from None
            self._remembered[mark] = known
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        if verifying(self._keys.read(), known.kid, now) is None:
            raise TokenInvalidError("this token was signed with a key that is gone")
        return known

    def _claims(self, text: str, now: float) -> _Verified:
        """Return the claims of a token whose signature, issuer and audience are right."""
        import jwt

        if len(text) > LONGEST_TOKEN_CHARS:
            raise TokenInvalidError("this is too long for a token")
        header = jwt.get_unverified_header(text)
        kid = header.get("kid")
        key = verifying(self._keys.read(), kid, now) if isinstance(kid, str) else None
        if key is None or header.get("alg") != ALGORITHM or "crit" in header:
            raise TokenInvalidError(
                "this token was not signed by this node, or its key is gone",
                hint="get one with: mnedge token create",
            )
        claims = jwt.decode(
            text,
            private_key(key).public_key(),
            algorithms=[ALGORITHM],
            audience=self.audience,
            issuer=self._soul().jwt.issuer,
            # The times are judged by our clock, not by PyJWT's.
            options={
                "require": _REQUIRED,
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
                "strict_aud": True,
            },
        )
        name, token_id = claims["sub"], claims["jti"]
        times = [claims[key] for key in ("iat", "nbf", "exp")]
        if not isinstance(name, str) or not isinstance(token_id, str):
            raise TokenInvalidError("this token does not say whose it is")
        if not all(isinstance(t, int | float) and isfinite(t) for t in times):
            raise TokenInvalidError("this token does not say when it is good")
        issued_at, not_before, expires_at = map(float, times)
        return _Verified(
            Principal(
                name=f"token:{name}", scope=Scope(claims["scope"]), kind="token", token_id=token_id
            ),
            key.kid,
            token_id,
            name,
            issued_at,
            not_before,
            expires_at,
        )

    def _lives(self) -> Lives:
        soul = self._soul()
        return Lives(rotate_s=soul.jwt.rotate_hours * 3600, ttl_s=soul.policies.token_ttl)

    def _plausible_now(self) -> float:
        now = self._now()
        if now < PLAUSIBLE_AT:
            raise ClockImplausibleError(
                "this machine's date is wrong, so no token can be judged",
                hint="set the clock; the unix socket works without tokens",
                details={"now": now},
            )
        return now

    def _nap_s(self) -> float:
        now = self._now()
        due_at = next_change_at(self._keys.read(), now, self._lives())
        return _NAP_S if due_at is None else min(max(due_at - now, 1.0), _NAP_S)


def _always(soul: Soul) -> Callable[[], Soul]:
    return lambda: soul


def _invalid() -> TokenInvalidError:
    """Return the denial for whatever a library said; what it said may hold parts of the token."""
    return TokenInvalidError(
        "this is no token of this node",
        hint="get one with: mnedge token create",
    )
