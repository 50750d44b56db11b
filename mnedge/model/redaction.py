"""Secrets out of what people can read: by the name of a field, by known values, by tell-tale text.

- A field whose name contains one of `FRAGMENTS`, or of the extra fields, shows `[REDACTED]`.
  Numbers, booleans and null stay, and so do trees that hold nothing else, because otherwise token
  counts vanish; so do fields with one of `EXEMPT_ENDINGS`. An extra field that is no fragment
  itself hides numbers as well.
- A known secret value disappears wherever it stands, also within longer text, and also within JSON
  that stands in a string.
- `Bearer …`, private key blocks and `scheme://user:password@` disappear from any text.

Source: bundle format 6.5, worker contract 3.8.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

REDACTED = "[REDACTED]"
FRAGMENTS = (
    "authorization",
    "cookie",
    "secret",
    "token",
    "password",
    "api_key",
    "apikey",
    "private_key",
    "credential",
)
EXEMPT_ENDINGS = ("_env", "_tokens", "token_budget")
RUN_STORE_SHORTEST = 8
"""Characters a value of the environment must have to be hidden in a run folder."""
WORKER_SHORTEST = 6
"""The same for the results of workers."""

_WORKER_NAMES = re.compile("TOKEN|SECRET|KEY|COOKIE|PASSWORD", re.IGNORECASE)
_BEARER = re.compile(r"\b([Bb]earer|BEARER)(\s+)[A-Za-z0-9._~+/=-]{4,}")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
_URL_LOGIN = re.compile(r"://[^\s/@:]*:[^\s/]*@")
_TELL_TALES = (b"earer", b"EARER", b"PRIVATE KEY-----")
_KNOWN_KEYS_LIMIT = 4096

_json = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder(enc_hook=lambda _: None).encode
"""Writes texts and bytes as they are, without escapes."""
_UNPACKABLE = (UnicodeEncodeError, RecursionError, ValueError, TypeError, OverflowError)


def run_store_secrets(environment: Mapping[str, str]) -> set[str]:
    """Return the values that must not show in a run folder."""
    return {
        value
        for name, value in environment.items()
        if len(value) >= RUN_STORE_SHORTEST and is_secret_name(name)
    }


def worker_secrets(environment: Mapping[str, str]) -> set[str]:
    """Return the values that must not show in what a worker with this environment answers."""
    return {
        value
        for name, value in environment.items()
        if len(value) >= WORKER_SHORTEST and _WORKER_NAMES.search(name)
    }


def is_secret_name(name: str) -> bool:
    """Tell whether a field of this name is hidden whatever it holds, numbers excepted."""
    lower = name.lower()
    return any(f in lower for f in FRAGMENTS) and not lower.endswith(EXEMPT_ENDINGS)


class Redactor:
    """Hides what these values and field names give away; keeps no reference to what it looks at."""

    def __init__(self, secret_values: Iterable[str] = (), extra_fields: Iterable[str] = ()) -> None:
        """`extra_fields` match any field whose name contains one of them, whatever the case."""
        forms = {form for value in secret_values if value for form in _forms(value)}
        self._values = sorted(forms, key=lambda form: (-len(form), form))
        self._shortest = min(map(len, self._values), default=0)
        lower = {name.strip().lower() for name in extra_fields}
        self._extra = tuple(sorted(lower - {""} - set(FRAGMENTS)))
        self._names_ascii = all(name.isascii() for name in self._extra)
        self._raw_needles = tuple(
            value.encode(errors="surrogateescape") for value in self._values if _is_bytes(value)
        )
        self._json_needles = tuple(_json(value)[1:-1] for value in self._values if _is_text(value))
        self._name_needles = tuple(name.encode() for name in (*FRAGMENTS, *self._extra))
        self._known_keys: dict[str, str] = {}

    def text(self, text: str) -> str:
        """Return the text without secret values and tell-tale passages."""
        text = self._without_values(text)
        if "earer" in text or "EARER" in text:
            text = _BEARER.sub(rf"\1\2{REDACTED}", text)
        if "PRIVATE KEY-----" in text:
            text = _PRIVATE_KEY.sub(REDACTED, text)
        if "://" in text:
            text = _URL_LOGIN.sub(f"://{REDACTED}@", text)
        return text

    def tree(self, value: Any) -> Any:
        """Return the value without secrets: the same object if there are none, else a copy."""
        try:
            packed = _pack(value)
        except _UNPACKABLE:
            return self._copied(value)
        if self._touches(packed, self._raw_needles) or self.touches_names(packed):
            return self._copied(value)
        return value

    def texts(self, value: Any) -> Any:
        """Return the value as `tree` does, but with all its fields, whatever their names."""
        try:
            packed = _pack(value)
        except _UNPACKABLE:
            return self._copied(value, names=False)
        if self._touches(packed, self._raw_needles):
            return self._copied(value, names=False)
        return value

    def touches_text(self, encoded: bytes) -> bool:
        """Tell quickly whether JSON may hold text that `text` would change; False is certain."""
        return self._touches(encoded, self._json_needles)

    def touches_names(self, encoded: bytes) -> bool:
        """Tell quickly whether it may hold a field hidden by its name; False is certain."""
        lower = encoded.lower() if self._names_ascii else _lower(encoded)
        return any(needle in lower for needle in self._name_needles)

    @staticmethod
    def _touches(content: bytes, needles: tuple[bytes, ...]) -> bool:
        return (
            any(needle in content for needle in needles)
            or any(tell in content for tell in _TELL_TALES)
            or (b"://" in content and b"@" in content)
        )

    def _without_values(self, text: str) -> str:
        if self._values and len(text) >= self._shortest:
            for value in self._values:
                if value in text:
                    text = text.replace(value, REDACTED)
        return text

    def _copied(self, value: Any, *, names: bool = True) -> Any:
        """Return a clean copy; without recursion, because a body may be nested deeply."""
        top: list[Any] = [value]
        waiting: list[tuple[Any, Any]] = [(top, 0)]
        while waiting:
            container, place = waiting.pop()
            old = container[place]
            match old:
                case str():
                    container[place] = self.text(old)
                case dict():
                    new = container[place] = self._copied_fields(old, names)
                    waiting.extend((new, key) for key in new)
                case list() | tuple():
                    items = container[place] = list(old)
                    waiting.extend((items, at) for at in range(len(items)))
                case bytes():
                    container[place] = self._copied_bytes(old)
                case _:
                    pass
        return top[0]

    def _copied_fields(self, old: dict[Any, Any], names: bool) -> dict[Any, Any]:
        """Return the fields with clean names and without hidden values, one level deep."""
        return {
            self.text(key) if isinstance(key, str) else key: (
                REDACTED if names and isinstance(key, str) and self._hides(key, value) else value
            )
            for key, value in old.items()
        }

    def _hides(self, key: str, value: Any) -> bool:
        match self._kind(key):
            case "extra":
                return self._is_extra(key, value)
            case "fragment":
                return not self._holds_only_numbers(value)
            case _:
                return False

    def _holds_only_numbers(self, value: Any) -> bool:
        """Tell whether a value holds no text at all, also none where a field of it is hidden."""
        waiting = [value]
        while waiting:
            item = waiting.pop()
            if isinstance(item, dict):
                if any(isinstance(key, str) and self._is_extra(key, item[key]) for key in item):
                    return False
                waiting.extend(item.values())
            elif isinstance(item, list | tuple):
                waiting.extend(item)
            elif not (item is None or isinstance(item, bool | int | float)):
                return False
        return True

    def _is_extra(self, key: str, value: Any) -> bool:
        return self._kind(key) == "extra" and value is not None and not isinstance(value, bool)

    def _copied_bytes(self, old: bytes) -> bytes:
        for needle in self._raw_needles:
            old = old.replace(needle, REDACTED.encode())
        return old

    def _kind(self, key: str) -> str:
        """Return why a field of this name is hidden: `extra`, `fragment`, or an empty string."""
        kind = self._known_keys.get(key)
        if kind is None:
            lower = key.lower()
            if any(name in lower for name in self._extra):
                kind = "extra"
            else:
                kind = "fragment" if is_secret_name(key) else ""
            if len(self._known_keys) >= _KNOWN_KEYS_LIMIT:
                self._known_keys.clear()
            self._known_keys[key] = kind
        return kind


def redactor_for(
    config: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    *,
    more_values: Iterable[str] = (),
) -> Redactor:
    """Return the redactor that a resolved blueprint config asks for.

    `environment` gives secret values unless `logging.redact_env_secrets` is false; `more_values`
    are hidden always.
    """
    logging, privacy = _section(config, "logging"), _section(config, "privacy")
    values = set(more_values)
    if environment is not None and logging.get("redact_env_secrets") is not False:
        values |= run_store_secrets(environment)
    fields: list[str] = []
    for named in (logging.get("redact_fields"), privacy.get("redact_fields")):
        if isinstance(named, list):
            fields += [name for name in named if isinstance(name, str)]
    return Redactor(values, fields)


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, dict) else {}


def _forms(value: str) -> set[str]:
    """Return the value as it stands in plain text and in JSON within a text."""
    return {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}


def _is_text(text: str) -> bool:
    """Tell whether it can stand in JSON; the environment may hold bytes that are no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_bytes(text: str) -> bool:
    try:
        text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _lower(content: bytes) -> bytes:
    return content.decode(errors="surrogateescape").lower().encode(errors="surrogateescape")
