"""The rule about secrets that stand where everybody can read them."""

import re
from collections.abc import Iterator
from typing import Any

from mnedge.bundle.problem import At
from mnedge.bundle.rules.config_sections import FILE
from mnedge.bundle.rules.registry import STRICT, Found, rule
from mnedge.bundle.subject import Subject, texts
from mnedge.model.redaction import FRAGMENTS

_SHAPES = re.compile(
    r"\bsk-[A-Za-z0-9_-]{16,}|\bxox[bp]-[A-Za-z0-9-]{10,}|\bghp_[A-Za-z0-9]{20,}"
    r"|\bAKIA[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b[a-z][a-z0-9+.-]*://[^\s/:@{}$]+:[^\s/@{}$]+@"
)
_PLACEHOLDER = re.compile(
    r"|<.*>|your[-_ ].*|change[-_ ]?me|\*+|x{3,}|none|null|dummy|placeholder|example.*|not[-_].*"
    r"|redacted|\[redacted\]|todo|test|fake|mock",
    re.IGNORECASE | re.DOTALL,
)
_REFERENCE = re.compile(r"\$\{[^}]*\}|\$[A-Za-z_][A-Za-z0-9_]*|[A-Z][A-Z0-9_]{3,}")
_FRAGMENT = re.compile("|".join(map(re.escape, FRAGMENTS)))
_SHORTEST = 8
"""Characters of the shortest text that looks like a secret by its shape."""
_NUMBER = re.compile(r"[0-9.,_]+")
_NO_SECRETS = ("_env", "_ref", "_field", "_fields", "_name", "_path", "_url", "_type", "_header")


@rule(
    "C-40",
    STRICT,
    "*",
    "bundle.literal_secret",
    "a literal secret stands in the bundle",
    help="name an environment variable (<key>_env, ${env.NAME}) and revoke this secret",
)
def no_literal_secrets(subject: Subject) -> Iterator[Found]:
    """Yield each place that looks like a secret; what stands there is never shown."""
    for document in (
        subject.manifest_document,
        subject.config_document,
        subject.overwrite_document,
    ):
        for at, value in texts(document.value):
            if _is_secret(at, value):
                yield Found(
                    file=document.name or FILE,
                    at=at,
                    message=f"{_key(at) or 'a value'} looks like a literal secret",
                    expected="the name of an environment variable",
                )


def _is_secret(at: At, value: str) -> bool:
    if len(value) >= _SHORTEST and _SHAPES.search(value):
        return True
    key = _key(at).lower()
    if not _FRAGMENT.search(key):
        return False
    if "tokens" in key or "token_budget" in key or key.endswith(_NO_SECRETS):
        return False
    harmless = (_PLACEHOLDER, _REFERENCE, _NUMBER)
    return " " not in value.strip() and not any(known.fullmatch(value) for known in harmless)


def _key(at: At) -> str:
    """Return the innermost key; a member of a list goes by the key of the list."""
    last: Any = next((step for step in reversed(at) if isinstance(step, str)), "")
    return str(last) if at and isinstance(at[-1], str) else ""
