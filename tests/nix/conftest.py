"""What tests of our Nix code get: a copy of the tree that is evaluated without a network."""

import shutil
from pathlib import Path

import pytest

from tests.nix.workbench import Workbench


@pytest.fixture(scope="session")
def nix(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """A tree, a store and a stub of nixpkgs of its own."""
    if shutil.which("nix") is None:
        pytest.fail("there is no nix: apt-get install nix-bin")
    return Workbench(Path(tmp_path_factory.mktemp("nix")))
