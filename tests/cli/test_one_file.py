"""Only the one file is installed and updated; all else is told what is done instead."""

from pathlib import Path

import pytest

from mnedge import shipped
from mnedge.cli.one_file import Hints, NotOneFileError, called_file

HINTS = Hints(nix="by nix", source="by git", folder="by hand")


def refused():
    with pytest.raises(NotOneFileError) as error:
        called_file(HINTS)
    return error.value.hint


def test_the_file_that_was_called_is_found(monkeypatch):
    monkeypatch.setattr(shipped, "frozen", lambda: True)
    monkeypatch.setattr(shipped, "_called", ["/srv/mnedge"])
    assert called_file(HINTS) == Path("/srv/mnedge")


def test_what_is_no_file_by_itself_is_refused_with_what_is_done_instead(monkeypatch):
    assert refused() == "by git"
    monkeypatch.setattr(shipped, "frozen", lambda: True)
    assert refused() == "by hand"
    monkeypatch.setattr(shipped, "NIX", "/")
    assert refused() == "by nix"
