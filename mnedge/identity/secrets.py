"""References to secrets, and the values behind them: `env`, `file`, `cred`.

A value joins the redactor, in all the forms it may travel in, before anybody gets it.
Source: platform 1.c.2 and 1.e.
"""

import base64
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

from mnedge.config.settings import SecretRef
from mnedge.errors import NotAllowedError, NotFoundError, UsageError
from mnedge.model.redaction import REDACTED, Redactor

SHORTEST_CHARS = 6
"""A shorter value is hidden nowhere: it would blot out honest text."""
LONGEST_BYTES = 64 << 10
SOURCES = ("env", "file", "cred")
_CREDENTIALS = "CREDENTIALS_DIRECTORY"


class SecretNotFoundError(NotFoundError):
    """Nothing stands where the reference to a secret leads."""

    code = "secret.not_found"


class SecretDeniedError(NotAllowedError):
    """The file with a secret can be read by others, or leads out of its folder; it is not used."""

    code = "secret.denied"


class SecretReferenceError(UsageError):
    """This is no reference to a secret."""

    code = "secret.reference"


class Secrets:
    """Resolves references, and hides what they led to wherever text leaves this process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._values: set[str] = set()
        self._redactor = Redactor()

    def resolve(self, reference: SecretRef | str) -> str:
        """Return the value. A text is `env:VAR`, `file:PATH` or `cred:NAME`.

        Raises: SecretReferenceError, SecretNotFoundError, SecretDeniedError.
        """
        source, key = _parts(reference)
        match source:
            case "env":
                value = self._environ.get(key)
                if not value:
                    raise SecretNotFoundError(
                        f"the environment has no variable {key}", hint="set it for the daemon"
                    )
            case "file":
                value = _read(Path(key))
            case _:
                value = _read(self._credential(key))
        self._hide(value)
        return value

    def text(self, text: str) -> str:
        """Return the text without any value that was resolved so far."""
        return self._redactor.text(text) if self._values else text

    @property
    def values(self) -> frozenset[str]:
        """Everything to hide, in all its forms; for redactors of others."""
        return frozenset(self._values)

    def _credential(self, name: str) -> Path:
        folder = self._environ.get(_CREDENTIALS)
        if not folder:
            raise SecretNotFoundError(
                "systemd passed no credentials", hint=f"LoadCredential={name}:PATH in the unit"
            )
        if not name or "/" in name or name in (".", ".."):
            raise SecretReferenceError(f"{name!r} is no name of a credential")
        return Path(folder) / name

    def _hide(self, value: str) -> None:
        if len(value) >= SHORTEST_CHARS and value not in self._values:
            self._values |= forms(value)
            self._redactor = Redactor(self._values)


def forms(value: str) -> set[str]:
    """Return the value as it may stand in URLs, in base64 and in JSON."""
    content = value.encode(errors="surrogateescape")
    found = {value, json.dumps(value)[1:-1]}
    found |= {quote(value), quote(value, safe=""), quote_plus(value)}
    # In the middle of longer base64 it begins at one of three places.
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + content).decode()
        inner = whole[-(-before * 8 // 6) : len(whole) - (4 if (before + len(content)) % 3 else 0)]
        found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return {form for form in found if len(form) >= SHORTEST_CHARS and form != REDACTED}


def _parts(reference: SecretRef | str) -> tuple[str, str]:
    if isinstance(reference, SecretRef):
        source, key = reference.name, reference.key
    else:
        source, _, key = reference.partition(":")
    if source not in SOURCES or not key:
        raise SecretReferenceError(
            f"{source!r} is no source of secrets",
            hint=f"name one of {', '.join(SOURCES)}, like env:OPENAI_KEY or file:/etc/mnedge/key",
        )
    return source, key


def _read(path: Path) -> str:
    """Return the first line's worth of a file that only its owner and group may read."""
    path = path.expanduser().absolute()
    try:
        real = path.resolve(strict=True)
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise SecretNotFoundError(f"{path} does not exist", hint="make it, mode 0400") from None
    except OSError as error:
        raise SecretDeniedError(f"{path} cannot be read: {error.strerror}") from None
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode):
        os.close(number)
        raise SecretDeniedError(f"{path} is no plain file")
    with os.fdopen(number, "rb") as file:
        mode = stat.S_IMODE(found.st_mode)
        if not real.is_relative_to(path.parent.resolve()):
            raise SecretDeniedError(
                f"{path} leads out of its folder, to {real}", hint="name the real file"
            )
        if mode & 0o037:
            raise SecretDeniedError(
                f"{path} has mode {mode:04o}, so others may read it", hint=f"chmod 400 {path}"
            )
        content = file.read(LONGEST_BYTES + 1)
    if len(content) > LONGEST_BYTES:
        raise SecretDeniedError(f"{path} has more than {LONGEST_BYTES} bytes: this is no secret")
    try:
        return content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise SecretDeniedError(f"{path} is not UTF-8 text") from None
