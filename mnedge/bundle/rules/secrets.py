"""The rule about secrets that stand where everybody can read them."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from mnedge.bundle.problem import At
from mnedge.bundle.rules.registry import STRICT, Found, rule
from mnedge.bundle.subject import Subject
from mnedge.model.redaction import FRAGMENTS

_SHAPES = re.compile(
    r"\bsk-[A-Za-z0-9_-]{16,}|\bxox[bp]-[A-Za-z0-9-]{10,}|\bghp_[A-Za-z0-9]{20,}"
    r"|\bAKIA[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b[a-z][a-z0-9+.-]*://[^\s/:@{}$]+:[^\s/@{}$]+@"
)
_PERHAPS = re.compile(rb'sk-|xox[bp]-|ghp_|AKIA|-----BEGIN|:\\?/\\?/[^\s"]*@|\\u')
"""Without a match in the whole file, no text in it can have one of the shapes."""
_PERHAPS_BY_NAME = re.compile(
    rb'(?:%s)[^"]*"\s*:|\\u' % b"|".join(re.escape(name.encode()) for name in FRAGMENTS),
    re.IGNORECASE,
)
"""Without a match in the whole file, no member of it has a name that tells of a secret."""
_FRAGMENT = re.compile("|".join(map(re.escape, FRAGMENTS)))
_PLACEHOLDER = re.compile(
    r"|<.*>|your[-_ ].*|change[-_ ]?me|\*+|x{3,}|none|null|dummy|placeholder|example.*|not[-_].*"
    r"|redacted|\[redacted\]|todo|test|fake|mock",
    re.IGNORECASE | re.DOTALL,
)
_REFERENCE = re.compile(r"\$\{[^}]*\}|\$[A-Za-z_][A-Za-z0-9_]*|[A-Z][A-Z0-9_]{3,}")
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
        places: list[At] = []
        by_shape = _PERHAPS.search(document.content) is not None
        if by_shape or _PERHAPS_BY_NAME.search(document.content):
            _look(document.value, (), "", by_shape, places)
        for at in places:
            name = at[-1] if at and isinstance(at[-1], str) else "a value"
            yield Found(
                file=document.name,
                at=at,
                message=f"{name} looks like a literal secret",
                expected="the name of an environment variable",
            )


def _look(value: Any, at: At, key: str, by_shape: bool, places: list[At]) -> None:
    """Gather the places below `at` that look like secrets, in document order."""
    if isinstance(value, str):
        if _is_secret(key, value, by_shape):
            places.append(at)
    elif isinstance(value, dict):
        for name, member in value.items():
            if member and isinstance(member, str | dict | list):
                _look(member, (*at, name), name, by_shape, places)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            if member and isinstance(member, str | dict | list):
                _look(member, (*at, index), "", by_shape, places)


def _is_secret(key: str, value: str, by_shape: bool) -> bool:
    if by_shape and _SHAPES.search(value):
        return True
    if not _names_a_secret(key):
        return False
    harmless = (_PLACEHOLDER, _REFERENCE, _NUMBER)
    return " " not in value.strip() and not any(known.fullmatch(value) for known in harmless)


@lru_cache(maxsize=4096)
def _names_a_secret(key: str) -> bool:
    lower = key.lower()
    if "tokens" in lower or "token_budget" in lower or lower.endswith(_NO_SECRETS):
        return False
    return _FRAGMENT.search(lower) is not None
