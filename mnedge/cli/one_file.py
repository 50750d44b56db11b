"""The one file that was called: what `install` copies and `update` replaces."""

from pathlib import Path
from typing import NamedTuple

from mnedge import shipped
from mnedge.errors import UsageError


class NotOneFileError(UsageError):
    """Only the one file is installed and updated; this program is something else."""

    code = "program.not_one_file"


class Hints(NamedTuple):
    """What a person does instead, for each way in which mnedge came here."""

    nix: str
    source: str
    folder: str


def called_file(hints: Hints) -> Path:
    """Return the one file that was called.

    Raises: NotOneFileError.
    """
    if shipped.by_nix():
        raise NotOneFileError("this mnedge belongs to Nix", hint=hints.nix)
    file = shipped.file()
    if file is None:
        raise NotOneFileError(
            "this mnedge runs from Python source, and is no file by itself", hint=hints.source
        )
    if not shipped.one_file():
        raise NotOneFileError(
            f"{file} needs the folder it stands in, and is no file by itself", hint=hints.folder
        )
    return file
