"""Options whose value is JSON, or a file that holds it."""

import json
from pathlib import Path
from typing import Any

from mnedge.errors import UsageError

_KINDS = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "a truth value"}


class OptionInvalidError(UsageError):
    """An option of the command line has a value that cannot be used."""

    code = "option.invalid"


def given(option: str, text: str) -> dict[str, Any]:
    """Return the JSON object that an option holds, or that the file it names holds.

    Raises: OptionInvalidError.
    """
    value = given_value(option, text)
    if not isinstance(value, dict):
        found = _KINDS.get(type(value), "null")
        raise OptionInvalidError(
            f"{option} must be a JSON object, not {found}", hint='for example {"key": "value"}'
        )
    return value


def given_value(option: str, text: str) -> Any:
    """Return the JSON value that an option holds, or that the file it names holds.

    Raises: OptionInvalidError.
    """
    source = text
    if text.startswith("@"):
        try:
            source = Path(text[1:]).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise OptionInvalidError(
                f"{option} names {text[1:]}, which cannot be read: {why}"
            ) from None
    try:
        return json.loads(source)
    except ValueError as error:
        raise OptionInvalidError(
            f"{option} is not JSON: {error}", hint="quote it for the shell, or give @FILE"
        ) from None
