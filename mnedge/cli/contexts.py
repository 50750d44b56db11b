"""Other nodes by name: addresses, how they are trusted, and where the token for each stands.

They are kept in `contexts.yaml` beside the data directory of this user, readable for him alone. A
token itself is never in it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from mnedge.cli.verbs import near
from mnedge.durable import write_whole
from mnedge.errors import ConflictError, NotFoundError, UsageError

FILE = "contexts.yaml"
HERE = "here"
"""Names this machine."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_URL = re.compile(r"https?://[^\s/?#,]+/?")
_FINGERPRINT = re.compile(r"(sha256:)?([0-9a-f]{2}:?){31}[0-9a-f]{2}", re.IGNORECASE)


class ContextNotFoundError(NotFoundError):
    """No node goes by this name."""

    code = "context.not_found"


class ContextInvalidError(UsageError):
    """What is said about a node cannot be used."""

    code = "context.invalid"


class ContextsUnreadableError(ConflictError):
    """The file of contexts is none that mnedge wrote."""

    code = "context.unreadable"


class TokenUnreadableError(UsageError):
    """The file that should hold the token cannot be read."""

    code = "context.token_unreadable"


class Context(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A node somewhere."""

    url: str
    token_file: str = ""
    ca: str = ""
    """A file with the certificates that may have signed the node's."""
    fingerprint: str = ""
    """SHA-256 of the certificate that the node must show."""


class Contexts(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """All nodes that were named."""

    current: str = ""
    """The one that is asked if none is named; empty: this machine."""
    contexts: dict[str, Context] = field(default_factory=dict)


def place(environ: Mapping[str, str]) -> Path:
    """Return where the names are kept."""
    home = environ.get("MN_HOME") or "~/.mn"
    return Path(home).expanduser() / "mnedge" / FILE


def read(environ: Mapping[str, str]) -> Contexts:
    """Return what is kept. Raises: ContextsUnreadableError."""
    path = place(environ)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Contexts()
    import yaml

    try:
        return msgspec.convert(yaml.safe_load(content) or {}, Contexts)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ContextsUnreadableError(
            f"{path} cannot be read: {' '.join(str(error).split())[:200]}",
            hint="mend it, or move it away and add the nodes again",
        ) from error


def current(environ: Mapping[str, str]) -> str:
    """Return the name of the node that is asked if none is named; empty: this machine."""
    return read(environ).current if place(environ).is_file() else ""


def write(environ: Mapping[str, str], contexts: Contexts) -> None:
    """Keep it, whole or not at all, readable for this user alone."""
    import yaml

    path = place(environ)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = yaml.safe_dump(msgspec.to_builtins(contexts), sort_keys=False)
    write_whole(path, content.encode(), 0o600)


def checked(name: str, context: Context) -> Context:
    """Return the context if it can be used under this name, its paths made absolute.

    Raises: ContextInvalidError.
    """
    if name == HERE or _NAME.fullmatch(name) is None:
        raise ContextInvalidError(
            f"{name!r} cannot name a node", hint="letters, digits, '.', '_' and '-'"
        )
    if _URL.fullmatch(context.url) is None:
        raise ContextInvalidError(
            f"{context.url!r} is no address of a node", hint="such as https://edge1:8443"
        )
    if context.fingerprint and _FINGERPRINT.fullmatch(context.fingerprint) is None:
        raise ContextInvalidError(
            f"{context.fingerprint!r} is no SHA-256 of a certificate",
            hint="64 hex digits; `mnedge doctor --security` on the node shows it",
        )
    paths = {
        key: str(Path(value).expanduser().absolute())
        for key in ("token_file", "ca")
        if (value := getattr(context, key))
    }
    for path in paths.values():
        if not Path(path).is_file():
            raise ContextInvalidError(f"{path} is no file")
    return msgspec.structs.replace(context, url=context.url.rstrip("/"), **paths)


def found(name: str, environ: Mapping[str, str]) -> Context:
    """Return the node of this name, or at this address. Raises: ContextNotFoundError."""
    if "://" in name:
        return checked("address", Context(url=name))
    known = read(environ).contexts
    if name in known:
        return known[name]
    offered = near(name, known)
    meant = f"did you mean {' or '.join(offered)}? " if offered else ""
    raise ContextNotFoundError(
        f"no node is called {name!r}",
        hint=f"{meant}`mnedge context list` shows them; `mnedge context add NAME URL` adds one",
        details={"near": offered},
    )


def token_of(context: Context, token_file: str | None, environ: Mapping[str, str]) -> str:
    """Return the token to show: of the option, of MNEDGE_TOKEN, of the context; may be empty.

    Raises: TokenUnreadableError.
    """
    if token_file is None and environ.get("MNEDGE_TOKEN"):
        return environ["MNEDGE_TOKEN"].strip()
    named = token_file or context.token_file
    if not named:
        return ""
    try:
        return Path(named).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise TokenUnreadableError(
            f"the token file {named} cannot be read: {why}",
            hint="`mnedge token issue` on the node makes a token",
        ) from None


def shown(name: str, context: Context, current: str) -> dict[str, Any]:
    """Return a context for programs."""
    return {"name": name, "current": name == current, **msgspec.structs.asdict(context)}
