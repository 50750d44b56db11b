"""Secrets that the configuration names: looked up when they are needed, and kept nowhere."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from mnedge.config.settings import SecretRef
from mnedge.errors import UnavailableError, UsageError


class SecretAbsentError(UnavailableError):
    """A secret that the configuration names is not there."""

    code = "secret.absent"


class SecretStoreUnknownError(UsageError):
    """The configuration names a kind of place for secrets that mnedge does not know."""

    code = "secret.store_unknown"


def resolver(environ: Mapping[str, str]) -> Callable[[SecretRef], str]:
    """Return what finds secrets: in the environment, in files, among systemd's credentials.

    What it returns raises: SecretAbsentError, SecretStoreUnknownError; neither holds a secret.
    """

    def found(reference: SecretRef) -> str:
        match reference.name:
            case "env":
                value = environ.get(reference.key)
                if not value:
                    raise SecretAbsentError(f"the variable {reference.key} is not set")
                return value
            case "file":
                return _read(Path(reference.key))
            case "cred":
                folder = environ.get("CREDENTIALS_DIRECTORY")
                if not folder or os.sep in reference.key:
                    raise SecretAbsentError(
                        f"there is no credential {reference.key}",
                        hint="LoadCredential= or LoadCredentialEncrypted= in the unit gives it",
                    )
                return _read(Path(folder) / reference.key)
            case name:
                raise SecretStoreUnknownError(
                    f"a secret is said to lie in {name!r}", hint="use env, file or cred"
                )

    return found


def _read(path: Path) -> str:
    try:
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SecretAbsentError(f"the secret in {path} cannot be read: {why}") from None
    if not value:
        raise SecretAbsentError(f"the file {path} is empty")
    return value
