"""Who asks, and whether they may.

Unix socket: what the kernel says of the peer (the daemon's own user and root: admin, others whom
the socket's mode lets in: operate), unless a token is shown. TCP: a bearer token, or the console's
cookie that holds one. A request that changes something and is known only by its cookie must show
that it comes from our own page: same origin, and the header `X-Requested-With: mnedge` or the form
field `csrf`.

Three layers, in this order: `Recognition` finds out who asks, the rate limit counts, `Gate` refuses
who is unknown. A gRPC call goes through unrecognised: its application refuses in trailers, with
`refusal_of`.
"""

import hmac
import os
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

import trio
from msgspec.structs import replace

from mnedge.errors import MnedgeError, NotAllowedError
from mnedge.gateway.connection import (
    App,
    Connection,
    Message,
    Receive,
    Send,
    connection_of,
    header,
    is_grpc,
)
from mnedge.gateway.connection import Scope as AsgiScope
from mnedge.identity.refusals import (
    ScopeTooSmallError,
    TokenInvalidError,
    TokenMissingError,
)
from mnedge.model.access import Principal, Scope

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

COOKIE = "mnedge_session"
HOST_COOKIE = "__Host-mnedge_session"
"""Its name over TLS: a browser takes it from this very host only."""
CSRF_FIELD = "csrf"
SIGN_IN = "/sign-in"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LOOK_AGAIN_S = 10.0
"""How long a token is believed while an answer goes on: streams outlive tokens."""
_OPEN = {
    ("GET", "/api/v1/health"),
    ("GET", "/health"),
    ("GET", SIGN_IN),
    ("POST", SIGN_IN),
}
_OPEN_BELOW = ("/.well-known/", "/static/")
_MACHINE_BELOW = ("/api/", "/v1/", "/llm/", "/metrics")
"""Paths whose callers are programs: they get a problem, never a page to sign in."""


class CrossSiteError(NotAllowedError):
    """The request is known by its cookie only and does not prove that our own page sent it."""

    code = "auth.cross_site"


class Verifying(Protocol):
    """What recognises bearer tokens."""

    async def verify(self, text: str) -> Principal:
        """Return whose token it is, or raise a denial."""


class Recognition:
    """Puts the caller, or why there is none, into the request's state."""

    def __init__(self, app: App, tokens: Verifying, *, own_uid: int | None = None) -> None:
        self._app = app
        self._tokens = tokens
        self._own_uid = os.geteuid() if own_uid is None else own_uid

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Recognise the caller and go on."""
        if scope["type"] in ("http", "websocket"):
            state = scope.setdefault("state", {})
            state["principal"], state["refusal"] = None, None
            try:
                state["principal"] = await self._principal(scope, connection_of(scope))
            except MnedgeError as error:
                state["refusal"] = error
            if scope["type"] == "http" and _holds_token(state["principal"]):
                send = self._as_long_as_good(scope, send)
        await self._app(scope, receive, send)

    def _as_long_as_good(self, scope: AsgiScope, send: Send) -> Send:
        """Return `send` that breaks the answer off once the token ended or was taken back."""
        looked_at = trio.current_time()

        async def sending(message: Message) -> None:
            nonlocal looked_at
            if trio.current_time() - looked_at >= LOOK_AGAIN_S:
                looked_at = trio.current_time()
                token = bearer(scope) or cookie_of(scope) or ""
                try:
                    await self._tokens.verify(token)
                except MnedgeError:
                    scope["state"]["told"] = True  # nothing unforeseen: no trace in the log
                    raise
            await send(message)

        return sending

    async def _principal(self, scope: AsgiScope, connection: Connection) -> Principal:
        token = bearer(scope)
        if token is not None:
            found = await self._tokens.verify(token)
            return replace(found, address=address_of(scope))
        if connection.local and connection.uid is not None:
            ours = connection.uid in (0, self._own_uid)
            return Principal(
                name=f"uid:{connection.uid}",
                scope=Scope.ADMIN if ours else Scope.OPERATE,
                kind="unix",
                address=connection.address,
            )
        cookie = cookie_of(scope)
        if cookie is None:
            raise TokenMissingError(
                "this needs a token",
                hint="send it as `Authorization: Bearer …`; mnedge token create makes one",
            )
        found = await self._tokens.verify(cookie)
        self._refuse_cross_site(scope)
        return replace(found, address=address_of(scope), kind="cookie")

    @staticmethod
    def _refuse_cross_site(scope: AsgiScope) -> None:
        if scope["type"] == "http" and scope["method"] in SAFE:
            return
        refuse_other_origins(scope)
        if header(scope, b"x-requested-with") == b"mnedge":
            return
        kind = (header(scope, b"content-type") or b"").split(b";")[0].strip().lower()
        if kind not in (b"application/x-www-form-urlencoded", b"multipart/form-data"):
            raise CrossSiteError(
                "a change that is asked for by cookie needs the header X-Requested-With: mnedge"
            )
        scope["state"]["form_unproved"] = True


def _holds_token(principal: Principal | None) -> bool:
    return principal is not None and principal.kind != "unix"


class Gate:
    """Refuses who is unknown, but for what everybody may see."""

    def __init__(
        self, app: App, *, also_open: Callable[[AsgiScope], bool] = lambda _: False
    ) -> None:
        self._app = app
        self._also_open = also_open

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Let pass or refuse.

        Raises: TokenInvalidError, CrossSiteError or whatever else made the caller unknown.
        """
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        if scope["type"] == "http" and not self._passes(scope):
            refusal = scope["state"]["refusal"]
            if _wants_page(scope) and isinstance(refusal, TokenInvalidError):
                await _to_sign_in(scope, send)
                return
            raise refusal
        await self._app(scope, receive, send)

    def _passes(self, scope: AsgiScope) -> bool:
        return (
            scope["state"]["principal"] is not None
            or is_grpc(scope)
            or is_open(scope["method"], scope["path"])
            or self._also_open(scope)
        )


def is_open(method: str, path: str) -> bool:
    """Tell whether everybody may ask this."""
    method = "GET" if method == "HEAD" else method
    return (method, path) in _OPEN or (method == "GET" and path.startswith(_OPEN_BELOW))


def principal_of(scope: AsgiScope) -> Principal:
    """Return who asks.

    Raises: TokenMissingError, or why the caller is unknown; CrossSiteError if a form that came by
    cookie was not yet proved with `prove_form`.
    """
    state = scope.get("state", {})
    principal = state.get("principal")
    if not isinstance(principal, Principal):
        refusal = state.get("refusal")
        raise refusal if isinstance(refusal, MnedgeError) else TokenMissingError("nobody is known")
    if state.get("form_unproved"):
        raise CrossSiteError(f"the form lacks its field {CSRF_FIELD!r}")
    return principal


def known(scope: AsgiScope) -> Principal | None:
    """Return who asks; None if unknown."""
    principal = scope.get("state", {}).get("principal")
    return principal if isinstance(principal, Principal) else None


def refusal_of(scope: AsgiScope) -> MnedgeError | None:
    """Return why the caller is unknown; None if known. For gRPC: 401 → 16, 403 → 7."""
    try:
        principal_of(scope)
    except MnedgeError as error:
        return error
    return None


def require(request: "HTTPConnection | AsgiScope", wanted: Scope) -> Principal:
    """Return who asks if they may do this.

    Raises: TokenInvalidError (401); ScopeTooSmallError, CrossSiteError (403).
    """
    principal = principal_of(scope_of(request))
    if not principal.may(wanted):
        raise ScopeTooSmallError(
            f"this needs the scope {wanted}; {principal.name} has {principal.scope}",
            hint=f"root has them all; for others: mnedge token create --name NAME --scope {wanted}",
            details={"needed": str(wanted), "held": str(principal.scope)},
        )
    return principal


def scope_of(request: "HTTPConnection | AsgiScope") -> AsgiScope:
    """Return the ASGI scope of a request, or of itself."""
    found: AsgiScope = getattr(request, "scope", request)  # type: ignore[arg-type]
    return found


def bearer(scope: AsgiScope) -> str | None:
    """Return the bearer token that the request shows; None if it shows none.

    Raises: TokenInvalidError for other schemes, and for more than one.
    """
    shown = [bytes(value) for name, value in scope["headers"] if name == b"authorization"]
    if not shown:
        return None
    scheme, _, token = shown[0].strip().partition(b" ")
    token = token.strip()
    if len(shown) > 1 or scheme.lower() != b"bearer" or not token or not token.isascii():
        raise TokenInvalidError("the header Authorization must hold one bearer token")
    return token.decode("ascii")


def address_of(scope: AsgiScope) -> str:
    """Return the address of whoever asks, as far as it is believed."""
    told = scope.get("state", {}).get("client_address")
    if isinstance(told, str):
        return told
    client = scope.get("client")
    return connection_of(scope).address or (str(client[0]) if client else "")


def cookie_name(scope: AsgiScope) -> str:
    """Return how the session cookie is called on this connection."""
    return HOST_COOKIE if scope.get("scheme") == "https" else COOKIE


def cookie_of(scope: AsgiScope) -> str | None:
    """Return the token that the console's cookie holds."""
    values = [bytes(value) for name, value in scope["headers"] if name == b"cookie"]
    jar: SimpleCookie = SimpleCookie()
    for value in values:
        try:
            jar.load(value.decode("latin-1"))
        except CookieError:
            return None
    found = jar.get(cookie_name(scope))
    return found.value if found is not None and found.value else None


def session_cookie(request: "HTTPConnection | AsgiScope", token: str, max_age_s: int = 3600) -> str:
    """Return the `Set-Cookie` value that signs a browser in; `max_age_s` 0 signs it out."""
    scope = scope_of(request)
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    value = token if max_age_s else ""
    return (
        f"{cookie_name(scope)}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict"
        f"{secure}"
    )


def csrf_token(request: "HTTPConnection | AsgiScope") -> str:
    """Return what forms of this session carry in their field `csrf`; it follows from the cookie.

    Empty for a caller who is known otherwise: nothing is checked then.
    """
    cookie = cookie_of(scope_of(request))
    if cookie is None:
        return ""
    mark = hmac.new(cookie.encode(), b"mnedge form", sha256).digest()
    return urlsafe_b64encode(mark).rstrip(b"=").decode()


def prove_form(request: "HTTPConnection | AsgiScope", value: object) -> None:
    """Accept the form if its field `csrf` is right; before, `require` refuses it.

    Raises: CrossSiteError.
    """
    scope = scope_of(request)
    state = scope.get("state", {})
    if not state.get("form_unproved"):
        return
    if not isinstance(value, str) or not hmac.compare_digest(
        csrf_token(scope).encode(), value.encode(errors="surrogatepass")
    ):
        raise CrossSiteError(
            f"the form's field {CSRF_FIELD!r} is not of this session", hint="load the page again"
        )
    state["form_unproved"] = False


def refuse_other_origins(request: "HTTPConnection | AsgiScope") -> None:
    """Return if a browser sent the request from a page of this very server.

    Raises: CrossSiteError; also if the browser does not say where the request comes from.
    """
    scope = scope_of(request)
    site = header(scope, b"sec-fetch-site")
    if site is not None and site != b"same-origin":
        raise CrossSiteError("this request comes from another site")
    origin = header(scope, b"origin")
    if origin is None:
        if site is None:
            raise CrossSiteError("the browser does not say where this request comes from")
        return
    host = header(scope, b"host") or b""
    own = f"{scope.get('scheme', 'http')}://{host.decode('latin-1')}".lower()
    if origin.decode("latin-1").lower() != own:
        raise CrossSiteError("this request comes from another site")


def _wants_page(scope: AsgiScope) -> bool:
    """Tell whether a person's browser asks for a page."""
    return (
        scope["method"] in ("GET", "HEAD")
        and b"text/html" in (header(scope, b"accept") or b"")
        and not scope["path"].startswith(_MACHINE_BELOW)
    )


async def _to_sign_in(scope: AsgiScope, send: Send) -> None:
    query = scope.get("query_string", b"").decode("latin-1")
    wanted = quote(scope["path"]) + (f"?{query}" if query else "")
    place = f"{SIGN_IN}?next={quote(wanted, safe='')}"
    headers: list[tuple[bytes, bytes]] = [
        (b"location", place.encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"content-length", b"0"),
    ]
    start: dict[str, Any] = {"type": "http.response.start", "status": 303, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": b""})


def is_local_path(text: str) -> bool:
    """Tell whether a `next=` leads to a page of ours, not to another server."""
    parts = urlsplit(text)
    return (
        text.startswith("/")
        and not text.startswith(("//", "/\\"))
        and not parts.scheme
        and not parts.netloc
        and text.isprintable()
    )
