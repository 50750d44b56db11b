"""A machine of its own for each test, and the program called inside this process."""

import json
from typing import NamedTuple

import pytest

from mnedge.cli.main import main


class Told(NamedTuple):
    """What a call came to."""

    code: int
    out: str
    err: str

    @property
    def value(self):
        """What a program reads."""
        return json.loads(self.out)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder for mnedge."""
    folder = tmp_path / "home"
    monkeypatch.setenv("MN_HOME", str(folder))
    monkeypatch.delenv("NO_COLOR", raising=False)
    return folder


@pytest.fixture
def mnedge(home, capsys):
    """Call the program: `mnedge("job", "list")`."""
    del home

    def call(*words, code=0):
        got = main(list(words))
        told = Told(got, *capsys.readouterr())
        assert "Traceback" not in told.out + told.err
        assert code is None or got == code, told
        return told

    return call
